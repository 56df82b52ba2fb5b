"""Complete settings of a training, and where a search may look for better ones."""

from collections.abc import Mapping
from typing import Any, get_args

from models.card import Card
from models.errors import BadSetting, InputError
from models.families.kinds import KINDS
from models.families.recipes import NOT_TUNED, Settings, resolved
from models.settings.training import TrainingSettings
from service.pointing import about, refused
from service.problems import brief
from service.schemas.training import TrainingRequest
from workers.contract import Range, TrainOrder, TuneOrder


def settings_of(
    asked: TrainingRequest, family: str, start: Card | None, *, classifies: bool
) -> Settings:
    """Complete settings; what a model was made with stays when going on from it. Raises: InputError."""
    check_types(family, asked.settings)
    brought = kept(start) if start else {}
    found = resolved(
        family,
        asked.recipe,
        brought | asked.settings,
        targets=len(asked.wanted),
        classifies=classifies,
    )
    weights = found.training.target_weights
    if weights is not None and len(weights) != len(asked.wanted):
        raise BadSetting(
            "There are other targets than weights for them.",
            place="settings.target_weights",
            expected=f"{len(asked.wanted)} numbers",
            got=str(len(weights)),
        )
    if not found.training.epochs and start is None:
        raise BadSetting(
            "Without an epoch nothing is learned.",
            place="settings.epochs",
            hint="0 epochs judge anew what a training goes on from: name it by `start_from`.",
        )
    if start is not None:
        check_start(asked, start, found, classifies=classifies)
    return found


def check_types(family: str, settings: Mapping[str, Any]) -> None:
    """Neither true nor a text is a number. Raises: BadSetting."""
    for name, value in settings.items():
        kinds = setting_types(family, name)
        if isinstance(value, bool | str) and kinds & {int, float} and not kinds & {bool, str}:
            raise BadSetting(
                f"The setting {name} cannot be {brief(repr(value), 60)}.",
                place=f"settings.{name}",
                expected="a number",
                got=type(value).__name__,
            )


def kept(of: Card | Settings) -> dict[str, Any]:
    """Settings of input and network that a model brings along."""
    made = of.input.model_dump(mode="json") | of.network.model_dump(mode="json")
    return {name: value for name, value in made.items() if name not in NOT_TUNED}


def check_start(asked: TrainingRequest, start: Card, found: Settings, *, classifies: bool) -> None:
    """Whether this model can be gone on from. Raises: InputError."""
    made = kept(found)
    for name, value in kept(start).items():
        if made[name] != value:
            raise BadSetting(
                f"{name} is {value!r} in {start.id}, and stays so when going on from it.",
                place=f"settings.{name}",
                expected=repr(value),
                got=repr(made[name])[:80],
            )
    if not found.training.epochs and found.network != start.network:
        raise InputError(
            f"{start.id} answers with {answer(len(start.targets), classifies=start.classifies)}; "
            f"this data set is to judge {answer(len(asked.wanted), classifies=classifies)}.",
            place="targets",
            hint="Without epochs the task stays the same, and there are as many targets.",
        )


def answer(targets: int, *, classifies: bool) -> str:
    """What a model answers with."""
    if classifies:
        return "a class"
    return "1 number" if targets == 1 else f"{targets} numbers"


def tuned(
    asked: TrainingRequest, order: TrainOrder, start: Card | None, *, classifies: bool
) -> TuneOrder:
    """The same as a search; both ends of every range must be possible settings. Raises: Problem."""
    assert asked.search is not None
    space = {
        name: range_of(asked, order.family, start, name, classifies=classifies)
        for name in asked.search.space
    }
    return TuneOrder(train=order, space=space, trials=asked.search.trials, seed=asked.search.seed)


def range_of(
    asked: TrainingRequest, family: str, start: Card | None, name: str, *, classifies: bool
) -> Range:
    """Where to look for one setting. Raises: Problem."""
    assert asked.search is not None
    where, pointer = asked.search.space[name], f"/search/space/{brief(name, 60)}"
    for value in where.choices or (where.low, where.high):
        tried = asked.model_copy(update={"settings": asked.settings | {name: value}})
        with about(pointer):
            settings_of(tried, family, start, classifies=classifies)
    kinds = setting_types(family, name)
    if where.choices is None and not kinds & {int, float}:
        raise refused("bad_setting", f"{name} is no number, so its choices have to be listed.", pointer,
                      f'For example {{"{name}": [true, false]}}.')  # fmt: skip
    return Range(**where.model_dump() | {"whole": where.choices is None and float not in kinds})


def setting_types(family: str, name: str) -> set[type]:
    """The types that a setting's value can have."""
    kind = KINDS[family]
    for part in (kind.input, kind.network, TrainingSettings):
        if name in part.model_fields:
            annotation = part.model_fields[name].annotation
            return set(get_args(annotation)) or {annotation}
    return set()

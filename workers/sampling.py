"""Which settings a trial of a search tries, given what the trials before it have found; by Optuna's TPE."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import BadSetting
from models.families.recipes import NOT_TUNED, resolved
from workers.contract import Range, TrainOrder, TuneOrder
from workers.following import put, result_of

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SEARCH, TRIED = "search.json", "tried.json"


def begin(folder: Path, order: TuneOrder) -> None:
    """What the trials below this folder need to know. Raises: BadSetting."""
    for name, where in order.space.items():
        _distribution(name, where)
    folder.mkdir(parents=True, exist_ok=True)
    space = {name: where.model_dump() for name, where in order.space.items()}
    put(folder / SEARCH, {"space": space, "seed": order.seed})


def with_settings(folder: Path, order: TrainOrder) -> TrainOrder:
    """The order of a trial, with the settings that it tries; another order as it is. Raises: BadSetting."""
    search = folder.parents[1] / SEARCH
    if order.trial is None or not search.exists():
        return order
    return merged(order, _tried(folder, order.trial, json.loads(search.read_bytes())))


def merged(order: TrainOrder, tried: Mapping[str, Any]) -> TrainOrder:
    """The order with these settings in place of its own. Raises: BadSetting."""
    before = {**order.input, **order.network, **order.training}
    wanted = {name: value for name, value in before.items() if name not in NOT_TUNED}
    made = resolved(
        order.family,
        order.recipe,  # type: ignore[arg-type]
        wanted | dict(tried),
        targets=order.network.get("outputs", 1),
        classifies=order.network.get("task") == "classification",
    )
    return order.model_copy(
        update={
            "input": made.input.model_dump(mode="json"),
            "network": made.network.model_dump(mode="json"),
            "training": made.training.model_dump(mode="json"),
        }
    )


def tried(folder: Path) -> dict[str, Any] | None:
    """The settings of a trial that has begun."""
    try:
        found: dict[str, Any] = json.loads((folder / TRIED).read_bytes())
    except FileNotFoundError:
        return None
    return found


def score(result: Mapping[str, Any]) -> float:
    """How bad the validation rows were answered; less is better, infinite when nobody can tell."""
    figures = result["metrics"].get("val", {})
    if "auc" in figures:
        return 1 - float(figures["auc"])
    found = float(figures.get("mae", math.inf))
    return found if math.isfinite(found) else math.inf


def _tried(folder: Path, number: int, search: dict[str, Any]) -> dict[str, Any]:
    """Asked once: a trial that is taken up again tries the same."""
    found = tried(folder)
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        space = {name: Range.model_validate(where) for name, where in search["space"].items()}
        found = _asked(folder.parent, number, space, search["seed"])
        put(folder / TRIED, found)
    return found


def _asked(trials: Path, number: int, space: Mapping[str, Range], seed: int) -> dict[str, Any]:
    # The library takes a second to load, and only trials need it.
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution(name, where) for name, where in space.items()}
    # From the files each time: no state of the sampler can be lost, or written by two workers at once.
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed + number))
    for params, value in _found(trials):
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=value)
        )
    return dict(study.ask(distributions).params)


def _found(trials: Path) -> Iterator[tuple[dict[str, Any], float]]:
    """What the trials that have ended tried, and how good it was."""
    for folder in sorted(trials.iterdir(), key=lambda each: int(each.name)):
        params, result = tried(folder), result_of(folder)
        if params is not None and result is not None and math.isfinite(score(result)):
            yield params, score(result)


def _distribution(name: str, where: Range) -> "BaseDistribution":
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    try:
        if where.choices is not None:
            return CategoricalDistribution(where.choices)
        if where.low is None or where.high is None:
            raise ValueError("neither choices nor low and high")
        if where.whole:
            return IntDistribution(int(where.low), int(where.high), log=where.log)
        return FloatDistribution(where.low, where.high, log=where.log)
    except ValueError as error:
        raise BadSetting(
            f"The range of {name} cannot be searched: {error}.",
            place=f"search.space.{name}",
            expected="choices, or low and high with low ≤ high; low > 0 where log",
            got=where.model_dump_json(exclude_defaults=True),
        ) from error

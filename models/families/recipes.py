"""From what a user sets to complete settings: a recipe, then the user's own words. Light."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from models.errors import BadSetting
from models.families.kinds import KINDS, AnyNetwork
from models.settings.frozen import Frozen, InputSettings
from models.settings.training import TrainingSettings

RecipeName = Literal["best", "paper"]
NOT_TUNED = frozenset({"kind", "outputs", "task", "image"})  # follow from family, targets, input

# What differs from the settings' defaults. `best` was found by comparison: see docs/explanation/recipes.md.
_CYCLE: dict[str, Any] = {"weight_decay": 0.02, "average": 0.998}
# What all papers here have in common: Adam, a constant rate, squared errors, the weights as they are.
_ADAM: dict[str, Any] = {
    "optimiser": "adam", "schedule": "constant", "warm_up": 0.0, "loss": "squared", "average": 0.0,
    "weight_decay": 0.0,
}  # fmt: skip
RECIPES: dict[str, dict[RecipeName, dict[str, Any]]] = {
    "crystal": {
        "best": {
            **_CYCLE, "epochs": 200, "batch_size": 64, "learning_rate": 6e-3,
            "readout": "linear", "site_layers": 1,
        },
        # The paper names a range of rates, e⁻⁸ to e⁻³, and not the one it took; sizes are those of its released code.
        "paper": {
            **_ADAM, "epochs": 120, "batch_size": 128, "learning_rate": 1e-3, "ties": "released",
        },
    },
    "site": {
        "best": {
            **_CYCLE, "epochs": 30, "batch_size": 8, "learning_rate": 5e-3, "convolutions": 4,
        },
        "paper": {
            **_ADAM, "epochs": 120, "batch_size": 128, "learning_rate": 1e-3, "ties": "released",
        },
    },
    "bond": {
        "best": {
            **_CYCLE, "epochs": 25, "batch_size": 32, "convolutions": 3, "width": 46,
            "edge_features": "both",
        },
        "paper": {
            **_ADAM, "epochs": 200, "batch_size": 214, "learning_rate": 5.6e-3, "convolutions": 8,
            "width": 46, "edge_features": "angle", "initial_distance": False,
        },
    },
    "image": {
        "best": {"epochs": 60, "learning_rate": 1e-3, "average": 0.99},
        # Network 1 with its image; its 256 pixels and 500 epochs are for a GPU.
        "paper": {
            **_ADAM, "epochs": 500, "learning_rate": 1e-4, "pixels": 256, "gamma": 0.2,
            "centred": False, "reducing_layers": 7, "keeping_layers": 2, "reducing_filters": 64,
            "hidden_width": 1024,
        },
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a training needs to know beside its data."""

    input: InputSettings
    network: AnyNetwork
    training: TrainingSettings


def resolved(
    family: str, recipe: RecipeName, wanted: Mapping[str, Any], *, targets: int, classifies: bool
) -> Settings:
    """Complete settings; `wanted` is flat, because no two parts share a name.

    Raises: BadSetting naming the setting, what it can be, and what it is.
    """
    kind = KINDS[family]
    parts: tuple[type[Frozen], ...] = (kind.input, kind.network, TrainingSettings)
    known = {name for part in parts for name in part.model_fields} - NOT_TUNED
    for name in wanted:
        if name not in known:
            raise _unknown(name, family, known)
    # The user's own words first: where several do not go together, the first is named.
    values = {**wanted, **RECIPES[family][recipe], **wanted}
    forced: dict[str, Any] = {"outputs": targets}
    if classifies and "task" not in kind.network.model_fields:
        raise BadSetting(
            f"The family {family} learns numbers only.",
            place="task",
            expected="regression",
            got="classification",
            hint="Classes are learned of whole crystals, by the family crystal.",
        )
    if classifies:
        forced = {"outputs": 2, "task": "classification"}
    made: list[BaseModel] = []
    for part in parts:
        names = part.model_fields
        made.append(
            _checked(
                part, {key: each for key, each in {**values, **forced}.items() if key in names}
            )
        )
        forced.setdefault("image", made[0])
    return Settings(*made)  # type: ignore[arg-type]


def _checked(part: type[Frozen], values: dict[str, Any]) -> BaseModel:
    try:
        return part.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        together = {name: value for name, value in values.items() if name not in NOT_TUNED}
        names = [str(step) for step in first["loc"]] or list(together) or ["settings"]
        wrong = repr(first["input"] if first["loc"] else together)[:80]
        expected = first["msg"].removeprefix("Value error, ")
        field = part.model_fields.get(names[0])
        raise BadSetting(
            f"The setting {'.'.join(names)} cannot be {wrong}: {expected}.",
            place=f"settings.{names[0]}",
            expected=expected,
            got=wrong,
            hint=field.description if field else None,
        ) from error


def _unknown(name: str, family: str, known: set[str]) -> BadSetting:
    import difflib

    near = difflib.get_close_matches(name, known, 1, 0.6)
    return BadSetting(
        f"The family {family} has no setting {name[:60]!r}.",
        place=f"settings.{name[:60]}",
        expected="one of " + ", ".join(sorted(known)),
        got=repr(name[:60]),
        hint=f"Did you mean {near[0]}?" if near else None,
    )

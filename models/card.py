"""What lies beside the weights: all that is needed to use, trust and repeat a model."""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from models.settings import Frozen, GraphSettings, NetworkSettings

CARD_FORMAT = 1


class Target(Frozen):
    """One property that a model answers with."""

    property: str = Field(
        description="The property's name, for example `formation-energy-per-atom`."
    )
    unit: str = Field(description="Its unit, spelled out; `1` when it has none.")
    mean: float = Field(
        0.0, allow_inf_nan=False, description="The normaliser: value = mean + std × output."
    )
    std: float = Field(1.0, gt=0, allow_inf_nan=False)


class TrainingRecord(Frozen):
    """Where a model comes from."""

    dataset: str = Field(description="Name and source of the data.")
    dataset_sha256: str | None = None
    citation: str | None = None
    licence: str | None = None
    split: str | None = Field(None, description="How the rows were split.")
    rows: dict[str, int] = Field(
        default_factory=dict, description="Rows per part: train, val, test."
    )
    seed: int | None = None
    settings: dict[str, str | int | float | bool] = Field(default_factory=dict)
    duration_s: float | None = None
    device: str | None = None
    libraries: dict[str, str] = Field(default_factory=dict)


class Card(Frozen):
    """A model's card, `card.json` beside `weights.safetensors`."""

    format: int = CARD_FORMAT
    name: str
    version: int = Field(ge=1)
    family: Literal["crystal"] = "crystal"
    title: str = Field(description="One line for people.")
    origin: Literal["released", "imported", "trained"]
    targets: tuple[Target, ...] = Field(min_length=1)
    classes: tuple[str, ...] | None = Field(
        None,
        description="Names of a classifier's two classes; its answer is the probability of the last one.",
    )
    graph: GraphSettings
    network: NetworkSettings
    elements_sha256: str = Field(
        description="Hash of the element table the network was trained with."
    )
    elements_seen: tuple[int, ...] | None = Field(
        None,
        description="Atomic numbers in the training data; none when unknown (a published checkpoint).",
    )
    training: TrainingRecord | None = None
    metrics: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Figures per part, for example {test: {mae: …}}."
    )
    baselines: dict[str, dict[str, float]] = Field(default_factory=dict)
    notes: tuple[str, ...] = Field((), description="What a user of this model should know.")
    weights_sha256: str
    created_at: datetime

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        classifies = self.network.task == "classification"
        if len(self.targets) != (1 if classifies else self.network.outputs):
            raise ValueError("the targets are not as many as the network answers")
        if self.classes is not None and not (classifies and len(self.classes) == 2):
            raise ValueError("a classifier has two classes, other models none")
        return self

    @property
    def id(self) -> str:
        """`name@version`, the only name under which results are stored."""
        return f"{self.name}@{self.version}"

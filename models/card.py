"""What lies beside the weights: all that is needed to use, trust and repeat a model."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from models.families.kinds import KINDS, AnyInput, AnyNetwork, FamilyName
from models.settings.frozen import Frozen
from models.training.plan import MOST_MEMBERS, Division
from models.trust.told import Domain, Intervals, Reliability

CARD_FORMAT = 2


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


class Point(Frozen):
    """A training after so many epochs."""

    epoch: int
    loss: float = Field(description="Of the training rows.")
    learning_rate: float
    val: dict[str, float] = Field(
        default_factory=dict, description="Figures of the validation rows."
    )


class Spread(Frozen):
    """A figure over the seeds of a training."""

    mean: float
    std: float


class Learned(Frozen):
    """What a model had learned from when a training went on from it."""

    model: str = Field(description="`name@version`.")
    dataset: str | None = Field(None, description="Name and source of the data, where known.")
    citation: str | None = None
    licence: str | None = None
    rows: int | None = Field(None, description="Rows that it has learned from.")


class TrainingRecord(Frozen):
    """Where a model comes from."""

    dataset: str = Field(description="Name and source of the data.")
    dataset_id: str | None = None
    dataset_sha256: str | None = None
    columns: tuple[str, ...] = Field((), description="What was learned, as the data set calls it.")
    citation: str | None = None
    licence: str | None = None
    beside: dict[str, str] = Field(
        default_factory=dict, description="Columns read with them: `adsorbate` and `partners`."
    )
    split: str | None = Field(None, description="How the rows were split, in words.")
    division: Division | None = Field(None, description="The same, to be done again.")
    rows: dict[str, int] = Field(
        default_factory=dict, description="Rows per part: train, val, test."
    )
    unlabelled: int | None = Field(None, description="Rows without a label, which were left out.")
    refused: int | None = Field(None, description="Rows that this family could not read.")
    seed: int | None = None
    seeds: tuple[int, ...] = Field(
        (), description="All that were trained: the best is `seed`, or each is a member's."
    )
    spread: dict[str, dict[str, Spread]] = Field(
        default_factory=dict, description="Per part, each figure over all seeds."
    )
    recipe: str | None = None
    settings: dict[str, Any] = Field(
        default_factory=dict, description="How it was trained; input and network have their own."
    )
    start_from: str | None = Field(None, description="The model it went on from.")
    judged: bool = Field(
        False,
        description="Whether nothing was learned from these data: they judged the weights of `start_from`.",
    )
    before: tuple[Learned, ...] | None = Field(
        None,
        description="What those weights had been learned from, the first first, unless from the same rows; "
        "rows that judge may be among it. None when that is not known.",
    )
    best_epoch: int | None = Field(None, description="The epoch whose weights these are.")
    curve: tuple[Point, ...] = Field((), description="How it went, in at most 200 points.")
    stopped: bool = Field(False, description="Whether it was cancelled before its end.")
    duration_s: float | None = None
    device: str | None = None
    libraries: dict[str, str] = Field(default_factory=dict)


class Card(Frozen):
    """A model's card, `card.json` beside `weights.safetensors`."""

    format: int = CARD_FORMAT
    name: str
    version: int = Field(ge=1)
    family: FamilyName = "crystal"
    title: str = Field(description="One line for people.")
    origin: Literal["released", "imported", "trained"]
    targets: tuple[Target, ...] = Field(min_length=1)
    members: int = Field(
        1, ge=1, le=MOST_MEMBERS, description="Networks that answer together, with their mean."
    )
    classes: tuple[str, ...] | None = Field(
        None,
        description="Names of a classifier's two classes; its answer is the probability of the last one.",
    )
    input: AnyInput
    network: AnyNetwork
    elements_sha256: str = Field(
        description="Hash of the element table the network was trained with."
    )
    elements_seen: tuple[Annotated[int, Field(ge=1, le=118)], ...] | None = Field(
        None,
        description="Atomic numbers in the training data; none when unknown (a published checkpoint).",
    )
    training: TrainingRecord | None = None
    metrics: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Figures per part, for example {test: {mae: …}}."
    )
    baselines: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description="What simple methods come to on the part that judges, test (or val where there is none).",
    )
    intervals: tuple[Intervals | None, ...] | None = Field(
        None,
        description="How wide the answers' intervals are, one a target, null of one with too few labels; none for classes.",
    )
    reliability: Reliability | None = Field(
        None, description="Of a classifier: how often its probabilities are right."
    )
    domain: Domain | None = Field(None, description="What the model knows, beyond which it warns.")
    notes: tuple[str, ...] = Field((), description="What a user of this model should know.")
    weights_sha256: str
    guide_sha256: str | None = Field(
        None, description="Hash of `guide.safetensors`, by which answers are judged."
    )
    figures_sha256: str | None = Field(
        None, description="Of `figures.json`, from which the drawings of its page are made."
    )
    created_at: datetime

    @model_validator(mode="before")
    @classmethod
    def _upgraded(cls, card: Any) -> Any:
        return _upgraded(card) if isinstance(card, dict) else card

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        kind = KINDS[self.family]
        if not (isinstance(self.input, kind.input) and isinstance(self.network, kind.network)):
            raise ValueError(  # noqa: TRY004 - pydantic's way
                f"these are not the settings of the {self.family} family"
            )
        if getattr(self.network, "image", self.input) != self.input:
            raise ValueError("the network reads other images than the input makes")
        classifies = self.classifies
        if len(self.targets) != (1 if classifies else self.network.outputs):
            raise ValueError("the targets are not as many as the network answers")
        if self.intervals is not None and len(self.intervals) != len(self.targets):
            raise ValueError("the intervals are not as many as the targets")
        if self.classes is not None and not (classifies and len(self.classes) == 2):
            raise ValueError("a classifier has two classes, other models none")
        return self

    @property
    def classifies(self) -> bool:
        """Whether it answers with the probability of a class."""
        return getattr(self.network, "task", "") == "classification"

    @property
    def id(self) -> str:
        """`name@version`, the only name under which results are stored."""
        return f"{self.name}@{self.version}"


def learned(card: Card) -> tuple[Learned, ...]:
    """All that the weights of a model were learned from."""
    record = card.training
    if record is None:
        return (Learned(model=card.id),)
    if record.judged:
        return learned_before(record)
    now = Learned(
        model=card.id, rows=record.rows.get("train"),
        dataset=record.dataset, citation=record.citation, licence=record.licence,
    )  # fmt: skip
    return (*learned_before(record), now)


def learned_before(record: TrainingRecord) -> tuple[Learned, ...]:
    """The same without the training itself."""
    if record.before is not None or record.start_from is None:
        return record.before or ()
    return (Learned(model=record.start_from),)


def _upgraded(card: dict[str, Any]) -> dict[str, Any]:
    """A card as this version writes it, from any earlier format."""
    card = dict(card)
    if card.get("format", 1) == 1 and "graph" in card:  # there were crystals only
        card["input"] = card.pop("graph")
        card["format"] = 2
    kind = KINDS.get(str(card.get("family", "crystal")))
    if kind is None:
        return card
    if isinstance(card.get("input"), dict):
        card["input"] = kind.input.model_validate(card["input"])
    if isinstance(card.get("network"), dict):
        card["network"] = kind.network.model_validate(card["network"])
    return card

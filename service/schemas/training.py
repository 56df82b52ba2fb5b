"""Trainings on the wire."""

from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.families.kinds import FamilyName
from models.families.recipes import RecipeName
from models.training.plan import MOST_MEMBERS
from service.schemas.job import JobStatus, JobView, PageLinks

By = Literal["random", "composition", "group", "given"]
Value = str | int | float | bool | None

TRAINING_EXAMPLE: dict[str, Any] = {
    "dataset": "perovskites",
    "targets": [{"column": "heat", "property": "heat-of-formation", "unit": "eV"}],
    "settings": {"epochs": 200},
    "split": "composition",
    "seeds": [0, 1],
    "register_as": "perovskite-heat",
}


def or_short(kind: dict[str, Any]) -> Any:
    """The schema of an object that may be written shorter."""

    def widened(schema: dict[str, Any]) -> None:
        whole = dict(schema)
        schema.clear()
        about = {key: whole.pop(key) for key in ("title", "description") if key in whole}
        schema.update(about | {"anyOf": [kind, whole]})

    return widened


class TargetRequest(BaseModel):
    """What is to be learned from one column; the column's name alone will do."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=or_short({"type": "string"}))

    column: str = Field(max_length=200, description="A column of the data set.")
    property: str | None = Field(
        None, max_length=200, description="What it is; the column's name if not given."
    )
    unit: str | None = Field(
        None,
        max_length=60,
        description="Its unit. Needless for a known property, and where the column's name tells it, "
        "as in `band gap (eV)`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _column_alone(cls, sent: Any) -> Any:
        return {"column": sent} if isinstance(sent, str) else sent


class SplitRequest(BaseModel):
    """Which rows teach, which choose, which judge; the word alone will do."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=or_short({"type": "string", "enum": list(get_args(By))}),
    )

    by: By = Field(
        "random",
        description="`random`: rows of one structure stay together. `composition`: those of one composition. "
        "`group`: rows with the same value in `column`. `given`: `column` says `train`, `val` or `test`.",
    )
    column: str | None = Field(
        None, max_length=200, description="For `group`; for `given`, unless it is called `split`."
    )
    together: str | None = Field(
        None,
        max_length=200,
        description="Of `given`: a column whose groups it kept in one part each, as the molecule of an adsorbate. "
        "Intervals are then calibrated group by group, and hold for new groups.",
    )
    val: float = Field(0.1, ge=0, lt=1, description="Share of the rows that choose the best epoch.")
    test: float = Field(0.1, ge=0, lt=1, description="Share of the rows that judge the result.")
    seed: int = Field(0, ge=0, lt=2**32, description="Another seed, another split.")

    @model_validator(mode="after")
    def _rows_are_left(self) -> Self:
        if self.val + self.test >= 1:
            raise ValueError("val and test leave no rows to learn from")
        if self.together is not None and self.by != "given":
            raise ValueError("`together` belongs to `given`: name groups to split by with `group`")
        return self

    @model_validator(mode="before")
    @classmethod
    def _word_alone(cls, sent: Any) -> Any:
        return {"by": sent} if isinstance(sent, str) else sent


class RangeRequest(BaseModel):
    """Where a search may look for one setting: a list of choices, or from `low` to `high`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=or_short({"type": "array", "items": {}, "minItems": 1}),
    )

    choices: list[Value] | None = Field(None, min_length=1, max_length=100)
    low: float | None = Field(None, allow_inf_nan=False, description="Least value.")
    high: float | None = Field(None, allow_inf_nan=False, description="Greatest value.")
    log: bool = Field(False, description="Even in the logarithm; `low` lies above zero.")

    @model_validator(mode="before")
    @classmethod
    def _list_alone(cls, sent: Any) -> Any:
        return {"choices": sent} if isinstance(sent, list) else sent

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        bounds = (self.low, self.high)
        if (self.choices is None) == (bounds == (None, None)):
            raise ValueError("either a list of choices, or `low` and `high`")
        if self.choices is not None:
            return self
        if self.low is None or self.high is None or self.low >= self.high:
            raise ValueError("`low` lies below `high`")
        if self.log and self.low <= 0:
            raise ValueError("a logarithmic range lies above zero")
        return self


class SearchRequest(BaseModel):
    """A search for the best settings: many trainings, of which the best becomes the model."""

    model_config = ConfigDict(extra="forbid")

    space: dict[str, RangeRequest] = Field(
        min_length=1, max_length=32, description="Settings by name, each with where to look."
    )
    trials: int = Field(20, ge=1, le=1000, description="Trainings to be made.")
    seed: int = Field(0, ge=0, lt=2**32, description="Another seed, another order of trials.")


class TrainingRequest(BaseModel):
    """A model to be made of a data set; only `dataset` and `target` are needed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [TRAINING_EXAMPLE]})

    dataset: str = Field(max_length=200, description="Its id, or its name for the newest so named.")
    target: TargetRequest | None = Field(None, description="What is learned, when it is one thing.")
    targets: list[TargetRequest] | None = Field(
        None, min_length=1, max_length=64, description="What is learned, instead of `target`."
    )
    family: FamilyName | None = Field(
        None,
        description="Kind of model. If not given: `crystal` for a number a row, `site` for numbers a site, "
        "`bond` for a list a row.",
    )
    task: Literal["regression", "classification"] | None = Field(
        None,
        description="`classification` learns a column of two values; it is meant when `classes` are given, "
        "or the target is a column of words.",
    )
    classes: list[str] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="Names of the two classes, no and yes: of 0 and 1, or the words of the column. Without them "
        "yes is the word whose probability the property is (`metal` of `metal-probability`), else the later one.",
    )
    recipe: RecipeName = Field(
        "best",
        description="`best`: what works best here. `paper`: as the family's paper trained.",
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        max_length=100,
        description="What differs from the recipe; `/v1/models/families/{family}` lists all names.",
    )
    split: SplitRequest = Field(
        default_factory=SplitRequest, description="Which rows teach, which choose, which judge."
    )
    seeds: list[int] | None = Field(
        None,
        min_length=1,
        max_length=32,
        description="One training for each; the best of them becomes the model, or all with `members`. `[0]` if not given.",
    )
    seed: int | None = Field(None, ge=0, lt=2**32, description="The seed, when it is one.")
    members: int | None = Field(
        None,
        ge=1,
        le=MOST_MEMBERS,
        description="Train an ensemble: the networks of so many seeds become one model, which answers with their mean "
        "and tells how far they differ. Seeds that are not given count up from `seed`.",
    )
    register_as: str | None = Field(
        None,
        max_length=100,
        description="Name of the model; an existing one gets a new version. If not given, made of data set and target.",
    )
    title: str | None = Field(None, max_length=200, description="One line for people.")
    start_from: str | None = Field(
        None,
        max_length=140,
        description="A model to go on from (fine-tuning): `name`, `name@3` or `name@alias`. Of an ensemble all members "
        "go on, unless `seed`, `seeds` or `members` say otherwise.",
    )
    columns: dict[Literal["adsorbate", "partners"], str] = Field(
        default_factory=dict,
        description="Bond family: columns with the adsorbed atom's index (`anchor_index` if not given) and with "
        "the atoms that its bonds lead to (`neighbor_indices`).",
    )
    rows: int | None = Field(None, ge=1, description="Use only so many training rows.")
    devices: int = Field(1, ge=1, le=64, description="Processes or GPUs that share the work.")
    search: SearchRequest | None = Field(None, description="Look for the best settings first.")
    label: str | None = Field(
        None, max_length=200, description="A word of yours to find the job by."
    )

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        if self.target is not None and self.targets is not None:
            raise ValueError("either `target` or `targets`")
        if self.seed is not None and self.seeds is not None:
            raise ValueError("either `seed` or `seeds`")
        if self.seeds and (min(self.seeds) < 0 or max(self.seeds) >= 2**32):
            raise ValueError("seeds are whole numbers from 0 to 4294967295")
        if self.members and self.seeds and len(self.seeds) != self.members:
            raise ValueError("as many `seeds` as `members`, or only one of the two")
        for name in ("seeds", "classes"):
            given = getattr(self, name) or []
            if len(set(given)) < len(given):
                raise ValueError(f"each of the `{name}` once")
        return self

    @property
    def wanted(self) -> list[TargetRequest]:
        """The targets, in whichever field they came."""
        return self.targets or ([self.target] if self.target else [])


class TargetView(BaseModel):
    """What is learned from one column."""

    column: str
    property: str
    unit: str


class TrainingLinks(BaseModel):
    """Where to go on."""

    self: str = Field(description="This training.")
    job: str = Field(description="The job: cancel, retry or delete it there.")
    events: str = Field(description="Its events: `metric` tells of every epoch.")
    dataset: str = Field(description="What it learns from.")
    model: str | None = Field(None, description="The version it has made.")
    trials: str | None = Field(None, description="The trainings of a search.")


class TrainingView(BaseModel):
    """A training: what was ordered, where it stands, and what came of it."""

    id: str = Field(description="Id of its job.")
    status: JobStatus
    dataset: str = Field(description="Id of the data set.")
    family: str
    task: str
    targets: list[TargetView]
    classes: list[str] | None = None
    recipe: str
    settings: dict[str, Any] = Field(description="All settings, complete.")
    split: dict[str, Any]
    seeds: list[int]
    members: int = Field(1, description="Networks that the model holds.")
    register_as: str | None = None
    title: str | None = None
    start_from: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    rows: int | None = None
    devices: int = 1
    search: dict[str, Any] | None = Field(
        None, description="Space, trials and seed of a search; its trials are trainings as well."
    )
    trial: int | None = Field(None, description="Number of this trial in its search.")
    latest: dict[str, Any] | None = Field(
        None, description="While it runs: epoch, loss, figures and rate of the latest epoch."
    )
    model: str | None = Field(None, description="The version it has made, `name@3`.")
    result: dict[str, Any] | None = Field(
        None,
        description="Once it has ended: `metrics` and `baselines` of each part, `seeds`, `curves`, and in `trust` how "
        "well its intervals hold and what it has learned from.",
    )
    job: JobView
    links: TrainingLinks


class TrainingPage(BaseModel):
    """Trainings, the newest first."""

    trainings: list[TrainingView]
    links: PageLinks

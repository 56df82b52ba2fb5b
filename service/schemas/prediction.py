"""Predictions on the wire."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from service.schemas.job import JobStatus
from service.schemas.problem import ErrorItem

RECORD_EXAMPLE: dict[str, Any] = {
    "index": 0,
    "name": "NaCl.cif",
    "formula": "NaCl",
    "n_sites": 8,
    "status": "succeeded",
    "predictions": [
        {
            "model": "formation-energy@5",
            "property": "formation-energy-per-atom",
            "value": -2.0538,
            "unit": "eV/atom",
            "interval": [-2.17, -1.9375],
            "level": 0.9,
            "std": 0.0176,
            "in_domain": True,
            "domain_score": 0.3596,
            "reasons": [],
        }
    ],
    "warnings": [],
}

ANSWER_EXAMPLE: dict[str, Any] = {
    "job": "job_01JD3Q5T8Z6M4W2K7N9V1X3B5C",
    "status": "succeeded",
    "records": [RECORD_EXAMPLE],
    "links": {
        "self": "/v1/predictions/job_01JD3Q5T8Z6M4W2K7N9V1X3B5C",
        "job": "/v1/jobs/job_01JD3Q5T8Z6M4W2K7N9V1X3B5C",
        "results": "/v1/predictions/job_01JD3Q5T8Z6M4W2K7N9V1X3B5C",
        "events": "/v1/jobs/job_01JD3Q5T8Z6M4W2K7N9V1X3B5C/events",
    },
}


ADSORBATE = (
    "For models of bonds: the index of the adsorbate's site (from 0), the indices of all its sites with spaces "
    "between, or its element. Found when it is not given."
)


LEVEL = (
    "Of the intervals: the share of structures like those of the training whose true value lies inside, above 0 and "
    "below 1."
)


LEVEL_IF_NONE = 0.9
_Level = Annotated[float, Field(gt=0, lt=1)]
Level = Annotated[
    _Level,
    BeforeValidator(
        lambda sent: LEVEL_IF_NONE if sent is None else sent, json_schema_input_type=_Level | None
    ),
]  # null in JSON is as if it were not there


class Include(StrEnum):
    """What else a record can hold."""

    SITES = "sites"
    FEATURES = "features"
    NEIGHBOURS = "neighbours"


class Disorder(StrEnum):
    """What to do with a site that several elements share."""

    REFUSE = "refuse"
    MAJORITY = "majority"


class StructureText(BaseModel):
    """One structure file as text."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(
        None, max_length=255, description="Shown in the record; `structure-N` if none."
    )
    format: str | None = Field(None, description="Kind of the text; recognised when not given.")
    text: str = Field(
        description="The content of the file: CIF, POSCAR, extended XYZ, pymatgen or OPTIMADE JSON."
    )


class PredictionRequest(BaseModel):
    """A prediction asked for in JSON."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "models": ["formation-energy"],
                    "structures": [
                        {
                            "name": "CsCl",
                            "format": "poscar",
                            "text": "CsCl\n1.0\n4.12 0 0\n0 4.12 0\n0 0 4.12\nCs Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n",
                        }
                    ],
                }
            ]
        },
    )

    structures: list[StructureText] = Field(min_length=1, description="The structures, in order.")
    models: list[str] = Field(
        min_length=1,
        description="Models to predict with: `name`, `name@3` or `name@alias`.",
    )
    format: str | None = Field(
        None, description="Kind of every structure that does not tell its own."
    )
    disorder: Disorder = Field(
        Disorder.REFUSE,
        description="Sites shared by several elements: `refuse` the structure, or take the `majority` element.",
    )
    primitive: bool = Field(False, description="Reduce each structure to its primitive cell first.")
    include: list[Include] = Field(
        default_factory=list,
        description="`sites`: contributions of the sites. `features`: the crystal's vector inside the network. "
        "`neighbours`: the structures most like it that the model has learned from.",
    )
    level: Level = Field(LEVEL_IF_NONE, description=LEVEL)
    adsorbate: str | None = Field(
        None,
        max_length=2_000,
        description=ADSORBATE,
    )
    label: str | None = Field(
        None, max_length=200, description="A word of yours to find the job by."
    )


class PredictionForm(BaseModel):
    """A prediction asked for with files."""

    model_config = ConfigDict(extra="forbid")

    files: list[bytes] = Field(
        description="Structure files or archives (zip, tar, tar.gz, tar.zst); repeat the field for several.",
        min_length=1,
    )
    model: list[str] = Field(
        min_length=1,
        description="Model to predict with: `name`, `name@3` or `name@alias`; repeat the field for several.",
    )
    format: str | None = Field(
        None, description="Kind of all files; recognised from name and content if not given."
    )
    disorder: Disorder = Field(Disorder.REFUSE, description="Sites shared by several elements.")
    primitive: bool = Field(False, description="Reduce each structure to its primitive cell first.")
    include: list[Include] = Field(
        default_factory=list,
        description="`sites`, `features`, `neighbours`; repeat the field or separate by commas.",
    )
    level: float = Field(LEVEL_IF_NONE, gt=0, lt=1, description=LEVEL)
    adsorbate: str | None = Field(
        None,
        max_length=2_000,
        description=ADSORBATE,
    )
    label: str | None = Field(
        None, max_length=200, description="A word of yours to find the job by."
    )


class BondView(BaseModel):
    """One bond of the adsorbate, as it will be after relaxation."""

    rank: int = Field(description="From 1, the shortest.")
    site: int = Field(description="Index of the site it leads to, in the order of the input.")
    element: str = Field(description="Element of that site.")
    distance: float = Field(description="Predicted length in Å.")
    interval: list[float] | None = Field(
        None,
        description="Lower and upper bound of the length, at the prediction's `level`; null where there is none.",
    )
    std: float | None = Field(
        None, description="Standard deviation over the model's members; null of a single network."
    )


class NeighbourView(BaseModel):
    """A structure that the model has learned from."""

    name: str = Field(description="Its name in the data set.")
    formula: str = Field(description="Its formula.")
    distance: float = Field(
        description="Between the two inside the network; 1 is where the domain of the model ends."
    )
    value: float | None = Field(
        None,
        description="What the model was told of it, in the prediction's unit, if that is kept.",
    )


class PredictionView(BaseModel):
    """One property, of one model, for one structure."""

    model: str = Field(description="The model with its version, for example `formation-energy@1`.")
    property: str = Field(
        description="What was predicted, for example `formation-energy-per-atom`."
    )
    value: float | None = Field(
        description="The prediction; null when this model could not answer, or answers with `values` or `bonds`."
    )
    values: list[float] | None = Field(
        None, description="Models of sites: one number a site, in the order of `sites`."
    )
    adsorbate: int | None = Field(
        None, description="Models of bonds: the site from which the bonds lead."
    )
    bonds: list[BondView] | None = Field(
        None, description="Models of bonds: the four shortest after relaxation."
    )
    unit: str = Field(description="Unit of the value; `1` when it has none.")
    of_class: str | None = Field(
        None, description="Classifiers: the class whose probability the value is."
    )
    label: str | None = Field(None, description="Classifiers: the more probable class.")
    interval: list[float] | None = Field(
        None,
        description="Lower and upper bound at `level`, within what the property can be; null when the model was not "
        "calibrated, or not by enough rows for such a level (a warning says so), gives a probability, where the whole "
        "interval lies beyond what the property can be (a warning says so), or where the answer is `values` or "
        "`bonds`, which have their own.",
    )
    level: float | None = Field(
        None,
        description="Of the intervals, as asked for: so many of them hold the true value of structures like those of "
        "the training.",
    )
    std: float | None = Field(
        None,
        description="Standard deviation over the model's members; null of a single network, and where the answer is "
        "`values` or `bonds`, which have their own.",
    )
    intervals: list[list[float] | None] | None = Field(
        None,
        description="Models of sites: an interval a site, beside `values`; null for a site that has none.",
    )
    stds: list[float] | None = Field(
        None, description="Models of sites: a standard deviation a site, beside `values`."
    )
    in_domain: bool | None = Field(
        None,
        description="Whether the structure is like those of the training; null when that is not known.",
    )
    domain_score: float | None = Field(
        None,
        description="How far it is from those of the training: above 1 it is outside. Null when the model has no guide.",
    )
    reasons: list[str] = Field(
        default_factory=list, description="Why it is not in the domain, in sentences."
    )
    neighbours: list[NeighbourView] | None = Field(
        None,
        description="The structures most like it that the model has learned from (`include=neighbours`).",
    )
    features: list[float] | None = Field(
        None,
        description="The crystal's vector; those of all members one after the other (`include=features`).",
    )
    error: ErrorItem | None = Field(None, description="Why this model could not answer.")


class SiteView(BaseModel):
    """What is said of one site."""

    index: int = Field(
        description="Index of the site: the order of the input; of a CIF with symmetry, each listed site followed "
        "by its images; with `primitive` the order of the reduced cell."
    )
    element: str = Field(description="Its element.")
    values: dict[str, float] | None = Field(
        None, description="Models of sites: the value per `model@version/property`."
    )
    intervals: dict[str, list[float] | None] | None = Field(
        None,
        description="Models of sites: the interval per `model@version/property`; null where there is none.",
    )
    stds: dict[str, float] | None = Field(
        None, description="Models of sites: the standard deviation per `model@version/property`."
    )
    contributions: dict[str, float] | None = Field(
        None,
        description="Contribution per `model@version/property`; those of all sites sum to the value.",
    )


class RecordView(BaseModel):
    """The answer for one structure."""

    model_config = ConfigDict(json_schema_extra={"examples": [RECORD_EXAMPLE]})

    index: int = Field(description="Position in the answer, from 0.")
    name: str = Field(description="`file`, `file#block` or `archive/member`.")
    formula: str | None = Field(
        None, description="Reduced formula; null when the structure could not be read."
    )
    n_sites: int | None = Field(None, description="Sites in the cell as used.")
    status: Literal["succeeded", "partial", "failed"] = Field(
        description="`partial`: some of the models could not answer."
    )
    predictions: list[PredictionView] = Field(
        description="One for each property of each model, in order."
    )
    sites: list[SiteView] | None = Field(
        None,
        description="The sites, with their contributions (`include=sites`) or the values of site models.",
    )
    warnings: list[str] = Field(
        default_factory=list, description="What to know before trusting the numbers."
    )
    error: ErrorItem | None = Field(None, description="Why there is no answer for this structure.")


class PredictionLinks(BaseModel):
    """Where to go on."""

    self: str = Field(description="This answer.")
    job: str = Field(description="The job.")
    results: str = Field(description="The records, paged; also as JSON lines.")
    events: str = Field(description="Server-sent events of the job.")
    next: str | None = Field(None, description="The next page of records.")


class PredictionAnswer(BaseModel):
    """The job of a prediction and, once it has ended, its records."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWER_EXAMPLE]})

    job: str = Field(description="Id of the job.")
    status: JobStatus = Field(description="Where the job stands.")
    records: list[RecordView] = Field(
        description="One record a structure, in the order of the input."
    )
    error: ErrorItem | None = Field(None, description="Why the job as a whole failed, if it did.")
    links: PredictionLinks

"""Predictions on the wire."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
            "model": "formation-energy@1",
            "property": "formation-energy-per-atom",
            "value": -2.05,
            "unit": "eV/atom",
            "interval": None,
            "std": None,
            "in_domain": None,
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


class Include(StrEnum):
    """What else a record can hold."""

    SITES = "sites"
    FEATURES = "features"


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
        max_length=16,
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
        description="`sites`: contributions of the sites. `features`: the crystal's vector inside the network.",
    )
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
        max_length=16,
        description="Model to predict with: `name`, `name@3` or `name@alias`; repeat the field for several.",
    )
    format: str | None = Field(
        None, description="Kind of all files; recognised from name and content if not given."
    )
    disorder: Disorder = Field(Disorder.REFUSE, description="Sites shared by several elements.")
    primitive: bool = Field(False, description="Reduce each structure to its primitive cell first.")
    include: list[Include] = Field(
        default_factory=list,
        description="`sites`, `features`; repeat the field or separate by commas.",
    )
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
    interval: list[float] | None = Field(
        None, description="Lower and upper bound, if the model gives them."
    )
    std: float | None = Field(None, description="Standard deviation, if the model gives one.")
    in_domain: bool | None = Field(
        None, description="Whether the structure is like the training data, if known."
    )
    reasons: list[str] = Field(default_factory=list, description="Why it is not in the domain.")
    features: list[float] | None = Field(
        None, description="The crystal's vector (`include=features`)."
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
    contributions: dict[str, float] | None = Field(
        None,
        description="Contribution per `model@version/property`; they sum (or average) to the value as the model's card says.",
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

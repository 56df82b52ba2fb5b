"""Screenings on the wire."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.job import JobStatus, JobView, PageLinks, Progress
from service.schemas.prediction import ADSORBATE, LEVEL, LEVEL_IF_NONE, Disorder, Level
from service.schemas.problem import ErrorItem

JOB = "job_01JD3Q5T8Z6M4W2K7N9V1X3B5C"
DATASET = "Id or name of a data set, whose structures are screened."
LOCATION = (
    "What the service can read itself, below one of its MATPROP_INPUT_ROOTS: the absolute path of a file or folder, "
    "`s3://bucket/key` for an object, or `s3://bucket/prefix/` for all objects below."
)


class ScreeningRequest(BaseModel):
    """A screening of a data set or of a location."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"models": ["formation-energy", "band-gap"], "dataset": "candidates"}]
        },
    )

    models: list[str] = Field(
        default_factory=list, description="`name`, `name@3` or `name@alias`; one at least."
    )
    dataset: str | None = Field(None, max_length=200, description=DATASET)
    location: str | None = Field(None, max_length=2_000, description=LOCATION)
    format: str | None = Field(None, description="Kind of every file, where it is not recognised.")
    disorder: Disorder = Field(
        Disorder.REFUSE, description="What to do with sites that several elements share."
    )
    primitive: bool = Field(False, description="Reduce to primitive cells first.")
    level: Level = Field(LEVEL_IF_NONE, description=LEVEL)
    adsorbate: str | None = Field(None, max_length=2_000, description=ADSORBATE)
    label: str | None = Field(
        None, max_length=200, description="A word of yours to find the job by."
    )


class ScreeningForm(BaseModel):
    """A screening of files, sent as a form; or of a data set or location."""

    model_config = ConfigDict(extra="forbid")

    files: list[bytes] = Field(
        default_factory=list,
        description="Structure files, zip or tar archives, JSON lines; repeat the field for several.",
    )
    model: list[str] = Field(
        description="`name`, `name@3` or `name@alias`; repeat the field or separate by commas."
    )
    dataset: str | None = Field(None, max_length=200, description=DATASET)
    location: str | None = Field(None, max_length=2_000, description=LOCATION)
    format: str | None = Field(None, description="Kind of every file, where it is not recognised.")
    disorder: Disorder = Field(
        Disorder.REFUSE, description="What to do with sites that several elements share."
    )
    primitive: bool = Field(False, description="Reduce to primitive cells first.")
    level: float = Field(LEVEL_IF_NONE, gt=0, lt=1, description=LEVEL)
    adsorbate: str | None = Field(None, max_length=2_000, description=ADSORBATE)
    label: str | None = Field(
        None, max_length=200, description="A word of yours to find the job by."
    )


class ScreeningLinks(BaseModel):
    """Where to go on."""

    self: str = Field(description="This screening.")
    job: str = Field(description="The job: to poll it.")
    events: str = Field(description="Its events.")
    results: str = Field(description="The table: rows as JSON, page by page, from the first on.")
    csv: str = Field(description="The whole table as CSV.")
    jsonl: str = Field(description="The whole table as JSON lines.")
    parquet: str = Field(description="The whole table as Parquet.")
    errors: str = Field(description="The structures that failed, and why.")
    columns: str = Field(description="The columns of the table.")
    cancel: str = Field(description="POST here to stop it; what is done stays.")
    retry: str = Field(description="POST here to do the failed structures again.")
    dataset: str | None = Field(None, description="The data set that is screened.")


class ScreeningView(BaseModel):
    """A screening: what was asked, and where it stands."""

    id: str = Field(description="Id of its job.", examples=[JOB])
    status: JobStatus
    complete: bool = Field(description="Whether no more rows will come.")
    models: list[str] = Field(description="The models, with their versions.")
    source: Literal["files", "dataset", "location"] = Field(
        description="Where structures are from."
    )
    dataset: str | None = Field(None, description="Id of the data set.")
    location: str | None = Field(None, description="The place that is read.")
    format: str | None = None
    disorder: Disorder
    primitive: bool
    level: float
    adsorbate: str | None = None
    job: JobView
    links: ScreeningLinks


class ScreeningPage(BaseModel):
    """Screenings, the newest first."""

    screenings: list[ScreeningView]
    links: PageLinks


class ColumnView(BaseModel):
    """A column of a screening's table."""

    name: str = Field(description="As `where`, `sort` and `columns` have it.")
    type: Literal["int64", "int32", "double", "bool", "string"]
    about: str = Field(description="What it holds.")


class ColumnsView(BaseModel):
    """The columns of a screening's table, in order."""

    columns: list[ColumnView]


class RowsPage(BaseModel):
    """Some rows of a screening's table."""

    job: str
    status: JobStatus
    complete: bool = Field(description="Whether no more rows will come.")
    progress: Progress
    count: int | None = Field(
        None, description="How many rows `where` keeps, if `count=true` asked for it."
    )
    rows: list[dict[str, Any]] = Field(
        description="One object a structure, with the columns asked for; null where there is no value.",
        examples=[[{"index": 4, "name": "NaCl.cif", "formula": "NaCl", "band-gap": 5.01}]],
    )
    links: PageLinks


class FailedItem(BaseModel):
    """A structure that failed."""

    index: int = Field(description="Its place in the source, from 0.")
    name: str | None = Field(None, description="As the source calls it.")
    error: ErrorItem | None = None


class FailedPage(BaseModel):
    """Some of the structures that failed, in the order of the source."""

    job: str
    status: JobStatus
    complete: bool = Field(description="Whether no more of them will come.")
    errors: list[FailedItem]
    links: PageLinks

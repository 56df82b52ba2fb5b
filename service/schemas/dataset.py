"""Data sets on the wire."""

from pydantic import BaseModel, ConfigDict, Field

from models.datasets.manifest import Manifest
from service.schemas.job import PageLinks
from service.schemas.problem import ErrorItem

SET_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
AS_AN_ID = r"^set_[0-9A-Z]{26}$"  # what a name must not look like


class DatasetForm(BaseModel):
    """A data set to be kept."""

    model_config = ConfigDict(extra="forbid")

    file: bytes = Field(
        description="A zip or tar of structure files with `id_prop.csv`, JSON lines, extended XYZ, Parquet, or CSV."
    )
    name: str | None = Field(
        None,
        pattern=SET_NAME,
        description="What it is called; the name of the file if not given. The newest set of a name is meant by it.",
    )
    format: str | None = Field(
        None, description="What kind of file it is, where name and content do not tell."
    )
    coordinates: str | None = Field(
        None,
        max_length=100,
        description="The column that holds the fractional coordinates, if not `frac_coords`.",
    )
    columns: list[str] | None = Field(
        None,
        max_length=500,
        description="Labels to keep, all if not given; repeat the field or separate by commas.",
    )
    good_share: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Least share of rows that must be good; below it no set is made.",
    )
    label: str | None = Field(None, max_length=200, description="A note of yours on the job.")


class DatasetLinks(BaseModel):
    """Where to go on."""

    self: str
    report: str = Field(description="The rows that are not in it, and why.")


class DatasetView(Manifest):
    """A data set; it never changes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    links: DatasetLinks


class DatasetPage(BaseModel):
    """Data sets, the newest first."""

    datasets: list[DatasetView]
    links: PageLinks


class DatasetAnswer(BaseModel):
    """The job that makes a data set and, once it has ended, the set."""

    job: str
    status: str
    dataset: DatasetView | None = None
    links: dict[str, str]


class BadRow(BaseModel):
    """A row of the source that is not in the set."""

    row: int = Field(
        description="Its number in the source, from 1; of a zip the line of the table."
    )
    name: str = Field(description="Its id, if it has one.")
    error: ErrorItem


class ReportPage(BaseModel):
    """Bad rows, in the order of the source."""

    rows: list[BadRow]
    links: PageLinks

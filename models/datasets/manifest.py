"""What is known of a data set without reading its rows; `manifest.json` in its folder. Light."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from models.settings.frozen import Frozen

MANIFEST_FORMAT = 1


class Column(Frozen):
    """One column of labels."""

    name: str
    kind: Literal["number", "text", "site", "list"] = Field(
        description="`number` and `text`: one a row. `site`: `width` numbers a site. `list`: any other numbers."
    )
    known: int = Field(description="Rows that have a value.")
    width: int | None = Field(None, description="Numbers a site, or a row where all have as many.")
    min: float | None = Field(None, description="Of all numbers in it, as the next three.")
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    distinct: int | None = Field(None, description="Different values (`number`, `text`).")


class Manifest(Frozen):
    """A data set: immutable, named by its id, or by its name for the newest of that name."""

    format: int = MANIFEST_FORMAT
    id: str = Field(description="`set_…`; sorts by time of creation.")
    name: str
    owner: str
    sha256: str = Field(
        description="Of the rows as they were understood, whatever file they came in."
    )
    source: str = Field(description="Name of the file that was sent.")
    created_at: datetime
    rows: int
    refused: int = Field(0, description="Rows of the source that are not in it; see its report.")
    sites: int = Field(description="Sites of all rows.")
    smallest: int = Field(description="Sites of the smallest structure.")
    largest: int = Field(description="Sites of the largest structure.")
    elements: dict[str, int] = Field(description="Symbol → structures that hold it.")
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> Column | None:
        """The column of this name."""
        return next((column for column in self.columns if column.name == name), None)

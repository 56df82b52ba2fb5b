"""A table of a paper: which figures of which runs stand beside which of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.papers.run import Run


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of a run: `test.mae` of its figures, or of a baseline `mlp/mae`."""

    run: Run
    figure: str = "test.mae"

    @property
    def is_share(self) -> bool:
        """Whether it is shown in per cent."""
        return self.figure.startswith("flagged ")


@dataclass(frozen=True, slots=True)
class Line:
    """One line; the paper's figures as the paper prints them."""

    label: str
    cells: tuple[Cell, ...]
    paper: str = "–"
    paper_train: int | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and what has to be known to read it."""

    name: str
    title: str
    text: str
    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    paper_head: str = "the paper"
    curve: str | None = None  # drawn as a curve, whose vertical axis is this
    note: str = ""  # below

    @property
    def runs(self) -> Sequence[Run]:
        """Each once, in order."""
        return list(
            {cell.run.name: cell.run for line in self.lines for cell in line.cells}.values()
        )

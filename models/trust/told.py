"""What a card tells of how far a model can be trusted. Light: no numpy here."""

from bisect import bisect_left
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from models.settings.frozen import Frozen

LEVELS = ("0.5", "0.8", "0.9", "0.95")  # at which coverage is measured
DOUBT = 1e-9

Share = Annotated[float, Field(ge=0, le=1)]


class Intervals(Frozen):
    """Calibrated intervals of one target: half the width is `factor(level)` × the answer's difficulty."""

    rows: int = Field(
        ge=1,
        description="Structures it was calibrated on: validation rows, never learned from. Those that the split keeps "
        "together count once.",
    )
    levels: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        min_length=1, max_length=200, description="Ascending; the last is the highest there is."
    )
    factors: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = Field(
        description="Half of the interval's width over the difficulty, at each level."
    )
    judged: int = Field(0, ge=0, description="Structures by which the figures below were measured.")
    coverage: dict[str, Share] = Field(
        default_factory=dict,
        description="By level, the share of labels of the test rows that lie within.",
    )
    rank_correlation: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="Spearman's, of width and absolute error, on the test rows.",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if len(self.levels) != len(self.factors):
            raise ValueError("as many factors as levels are needed")
        if any(high <= low for low, high in pairwise(self.levels)):
            raise ValueError("the levels do not ascend")
        if any(high < low for low, high in pairwise(self.factors)):
            raise ValueError("a higher level has a narrower interval")
        return self

    @property
    def highest(self) -> float:
        """The highest level that so many rows can tell of."""
        return self.levels[-1]

    def factor(self, level: float) -> float | None:
        """At this level; none beyond the highest, where no finite width would be honest."""
        if level > self.highest + DOUBT:
            return None
        at = min(bisect_left(self.levels, level), len(self.levels) - 1)
        low, below = (0.0, 0.0) if at == 0 else (self.levels[at - 1], self.factors[at - 1])
        share = min(1.0, (level - low) / (self.levels[at] - low))
        return below + share * (self.factors[at] - below)


class Bin(Frozen):
    """Answers of a classifier that are alike."""

    count: int = Field(ge=1)
    told: Share = Field(description="Their mean probability.")
    found: Share = Field(description="The share that are of the last class.")


class Reliability(Frozen):
    """Whether a classifier's probabilities are as often right as they say, on the test rows."""

    bins: tuple[Bin, ...] = Field((), max_length=50)
    error: Share = Field(
        description="Mean difference of told and found, weighted by how many: the expected calibration error."
    )
    brier: Share = Field(description="Mean squared difference of probability and class.")


class Domain(Frozen):
    """What the model has learned from: beyond it an answer is flagged."""

    rows: int = Field(ge=1, description="Structures it has learned from.")
    elements: dict[str, int] = Field(
        default_factory=dict, description="By symbol, how many of them hold the element."
    )
    sites: tuple[int, int] = Field(description="The fewest and the most sites of a structure.")
    nearest: tuple[float, float] = Field(
        description="Å, the least and the largest of the structures' shortest distances between sites."
    )
    flagged: dict[str, Share] = Field(
        default_factory=dict, description="By part, the share of rows that are flagged as outside."
    )

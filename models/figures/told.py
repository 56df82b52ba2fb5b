"""The numbers behind a model's page, `figures.json` beside the card; light, and bounded whoever wrote them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from models.settings.frozen import Frozen
from models.structures.composition import NUMBERS

POINTS = 2_000  # of all parity plots of a model together
FEWEST_POINTS = 100  # of each of them
FIGURES_BYTES = 4_000_000
MOST_TARGETS = 64
LARGEST = 1e100  # so that differences and sums stay finite

Number = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Size = Annotated[float, Field(allow_inf_nan=False, ge=0, le=LARGEST)]
Share = Annotated[float, Field(allow_inf_nan=False, ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Symbol = Annotated[str, Field(max_length=2, pattern="^[A-Z][a-z]?$")]


class Parity(Frozen):
    """Answers beside the truth, a few lines of them chosen by chance."""

    true: tuple[Number, ...] = Field(max_length=POINTS)
    predicted: tuple[Number, ...] = Field(max_length=POINTS)
    half_width: tuple[Size, ...] | None = Field(
        None, max_length=POINTS, description="Half the width of the interval of `level`."
    )
    level: Share | None = None
    rank: tuple[Annotated[int, Field(ge=1, le=64)], ...] | None = Field(
        None, max_length=POINTS, description="Of bonds: 1 is the shortest."
    )

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        columns = (self.true, self.predicted, self.half_width, self.rank)
        if len({len(column) for column in columns if column is not None}) > 1:
            raise ValueError("the columns are not of one length")
        return self


class ElementError(Frozen):
    """The lines that hold an element; of sites those of the element."""

    element: Symbol
    mae: Size
    n: Count


class Calibration(Frozen):
    """How many of the lines lay within their interval, for each level that was wanted."""

    levels: tuple[Share, ...] = Field(max_length=100)
    coverage: tuple[Share, ...] = Field(max_length=100)
    n: Count

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        if len(self.levels) != len(self.coverage):
            raise ValueError("the columns are not of one length")
        return self


class WidthBin(Frozen):
    """Lines with intervals of about the same width."""

    half_width: Size = Field(description="The mean of them.")
    mae: Size
    within: Size = Field(description="The error that the level's share of them does not exceed.")
    n: Count


class RankError(Frozen):
    """All lines of one rank."""

    rank: Annotated[int, Field(ge=1, le=64)]
    mae: Size
    n: Count


class Bin(Frozen):
    """Lines to which a classifier gave about the same probability."""

    probability: Share = Field(description="The mean of them.")
    share: Share = Field(description="How many are of the last class.")
    n: Count


class Classified(Frozen):
    """What there is to see of a classifier."""

    auc: Share | None = None
    false_positive: tuple[Share, ...] = Field((), max_length=500)
    true_positive: tuple[Share, ...] = Field((), max_length=500)
    bins: tuple[Bin, ...] = Field((), max_length=50)

    @model_validator(mode="after")
    def _of_one_length(self) -> Self:
        if len(self.false_positive) != len(self.true_positive):
            raise ValueError("the columns are not of one length")
        return self


class TargetFigures(Frozen):
    """Of one target, in its unit."""

    n: Count = Field(description="Lines with a label and an answer: structures, sites or bonds.")
    mae: Size | None = None
    parity: Parity | None = None
    by_element: tuple[ElementError, ...] = Field((), max_length=118)
    calibration: Calibration | None = None
    widths: tuple[WidthBin, ...] = Field((), max_length=50)
    ranks: tuple[RankError, ...] = Field((), max_length=64)
    classified: Classified | None = None


class ElementMean(Frozen):
    """What a model says of an element, on the mean over the sites that it was asked for."""

    element: Symbol
    mean: Number
    std: Size | None = Field(None, description="Over these sites; none of a single one.")
    n: Count = Field(description="Sites.")


class ElementTable(Frozen):
    """A periodic table: of all sites, or of those of one kind."""

    site: Literal["any", "A", "B"] = "any"
    elements: tuple[ElementMean, ...] = Field(max_length=118)


Kind = Literal["contributions", "predictions"]


class Elements(Frozen):
    """Mean contribution, or mean predicted value, of each element over the training structures."""

    kind: Kind
    structures: Count
    perovskites: Count = Field(0, description="Of them the cells ABX3 of five sites.")
    targets: tuple[tuple[ElementTable, ...], ...] = Field(max_length=MOST_TARGETS)

    @model_validator(mode="after")
    def _no_site_twice(self) -> Self:
        for tables in self.targets:
            if len({table.site for table in tables}) != len(tables):
                raise ValueError("two tables of the same sites")
        return self


class Figures(Frozen):
    """All figures of a model."""

    format: Literal[1] = 1
    part: Literal["train", "val", "test"] = Field(description="The rows that judge.")
    targets: tuple[TargetFigures, ...] = Field(min_length=1, max_length=MOST_TARGETS)
    elements: Elements | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.elements is not None and len(self.elements.targets) != len(self.targets):
            raise ValueError("the tables of elements are not as many as the targets")
        if sum(len(each.parity.true) for each in self.targets if each.parity) > max(
            POINTS, FEWEST_POINTS * len(self.targets)
        ):
            raise ValueError("too many points")
        unknown = {each for each in _symbols(self) if each not in NUMBERS}
        if unknown:
            raise ValueError(f"no elements: {', '.join(sorted(unknown))}")
        return self


def figures_bytes(figures: Figures) -> bytes:
    """The text of `figures.json`."""
    return figures.model_dump_json(exclude_none=True).encode() + b"\n"


def _symbols(figures: Figures) -> list[Any]:
    errors = [each.element for target in figures.targets for each in target.by_element]
    tables = figures.elements.targets if figures.elements else ()
    means = [each.element for target in tables for table in target for each in table.elements]
    return errors + means

"""How well intervals, probabilities and flags do on rows that had no part in making them."""

from typing import TYPE_CHECKING, Any

import numpy as np

from models.structures.composition import SYMBOLS
from models.training.dataset import Dataset
from models.trust.calibration import Difficulty, covered, factors, out_of_fold, votes_of
from models.trust.geometry import Floats, Integers
from models.trust.guide import Guide
from models.trust.ranks import rank_correlation
from models.trust.rows import Answered, Errors, Part, errors

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.trust.told import Domain, Intervals, Reliability

BINS = 10


def intervals(
    guide: Guide, data: Dataset, parts: dict[str, Part]
) -> "tuple[Intervals | None, ...] | None":
    """Calibrated by the validation rows, measured on the test rows; none of a target with too few labels."""
    if not guide.difficulties:
        return None
    return tuple(
        _interval(
            errors(guide, data, parts["val"], target),
            errors(guide, data, parts["test"], target) if "test" in parts else None,
            guide.difficulties[target],
        )
        for target in range(len(guide.mean))
    )


def _interval(val: Errors, test: Errors | None, difficulty: Difficulty) -> "Intervals | None":
    from models.trust.told import Intervals

    if not val.enough:
        return None
    scores = out_of_fold(val.table, val.kinds, val.errors, val.witnesses)
    levels, found = factors(scores, val.witnesses)
    made = Intervals(rows=len(np.unique(val.witnesses)), levels=levels, factors=found)
    if test is None or not len(test.errors):
        return made
    hard = difficulty.of(test.table, test.kinds) * test.beyond
    measured = measure(made, hard, test.errors * test.beyond, test.owners)
    return made.model_copy(update=measured)


def measure(
    intervals: "Intervals", difficulty: Floats, errors: Floats, owners: Integers
) -> dict[str, Any]:
    """How intervals do on lines that they were not made from."""
    from models.trust.told import LEVELS

    votes, coverage = votes_of(owners), {}
    for level in LEVELS:
        factor = intervals.factor(float(level))
        if factor is not None:
            coverage[level] = round(covered(errors, factor * difficulty, votes), 4)
    correlation = rank_correlation(difficulty, np.abs(errors))
    return {
        "judged": len(np.unique(owners)),
        "coverage": coverage,
        "rank_correlation": None if correlation is None else round(correlation, 4),
    }


def domain(guide: Guide, parts: dict[str, Part]) -> "Domain":
    """What the guide knows, and how often it flags rows like those it knows."""
    from models.trust.told import Domain

    known = guide.known
    flagged = {
        name: round(float((guide.scores(part.looked)[1] > 1).mean()), 4)
        for name, part in parts.items()
    }
    held = np.flatnonzero(known.elements)
    return Domain(
        rows=known.rows,
        elements={SYMBOLS[number]: int(known.elements[number]) for number in held.tolist()},
        sites=(int(known.sites[0]), int(known.sites[1])),
        nearest=(round(float(known.shortest[0]), 3), round(float(known.shortest[-1]), 3)),
        flagged=flagged,
    )


def reliability(data: Dataset, of: Answered) -> "Reliability | None":
    """Of a classifier. Answers in as many bins of equally many."""
    from models.trust.told import Bin, Reliability

    if not len(of):
        return None
    told = np.array([value[0] for value in of.values])
    found = data.labels.values[data.labels.places(of.rows)][:, 0]
    known = np.isfinite(found)
    told, found = told[known], found[known]
    if not len(told):
        return None
    groups = [some for some in np.array_split(np.argsort(told, kind="stable"), BINS) if len(some)]
    bins = tuple(
        Bin(
            count=len(some),
            told=round(float(told[some].mean()), 4),
            found=round(float(found[some].mean()), 4),
        )
        for some in groups
    )
    error = sum(each.count * abs(each.told - each.found) for each in bins) / len(told)
    return Reliability(
        bins=bins, error=round(error, 4), brier=round(float(((told - found) ** 2).mean()), 4)
    )

"""Answers beside the truth, and the figures that tell how far they are apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.training import metrics
from models.training.dataset import Dataset, Rows

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One line a structure, a site, or a bond."""

    answers: Values  # (lines, targets)
    labels: Values  # (lines, targets)
    rows: Rows  # (lines,) whose each line is
    ranks: Rows | None = None  # (lines,) of bonds: 0 is the shortest

    @classmethod
    def bonds(cls, rows: Rows, answers: Values, labels: Values) -> Self:
        """Distances, the shortest first.  # (rows, ranks) both"""
        ranks = np.tile(np.arange(labels.shape[1]), len(rows))
        lines = np.repeat(rows, labels.shape[1])
        return cls(answers.reshape(-1, 1), labels.reshape(-1, 1), lines, ranks)

    def only(self, lines: NDArray[np.bool_]) -> "Judged":
        """Some of the lines."""
        ranks = None if self.ranks is None else self.ranks[lines]
        return Judged(self.answers[lines], self.labels[lines], self.rows[lines], ranks)


def beside(data: Dataset, rows: Rows, values: Values) -> Judged:
    """What a network answers for these rows, beside their labels.  # (n, targets)"""
    places = data.labels.places(rows)
    sizes = data.labels.first[rows + 1] - data.labels.first[rows]
    if data.distances is None:
        return Judged(values, data.labels.values[places], np.repeat(rows, sizes))
    ranks, parts = data.distances.shape[1], np.split(values, np.cumsum(sizes)[:-1])
    told = [
        data.family.told(data.samples[row], part)[:ranks]
        for row, part in zip(rows, parts, strict=True)
    ]
    return Judged.bonds(rows, np.array(told), data.distances[rows])


def figures(
    judged: Judged, *, classifies: bool, properties: Sequence[str] = ()
) -> dict[str, float]:
    """Of several targets the mean over them, and the mean absolute error of each."""
    figure = metrics.classification if classifies else metrics.regression
    targets = range(judged.labels.shape[1])
    each = [figure(judged.answers[:, at], judged.labels[:, at]) for at in targets]
    known = [one for one in each if one]
    found = {
        name: float(np.mean([one[name] for one in known if name in one]))
        for name in (known[0] if known else ())
    }
    if len(each) > 1:
        named = zip(properties, each, strict=False)
        found |= {f"mae:{name}": one["mae"] for name, one in named if one}
    if judged.ranks is not None:
        found |= {f"mae_{rank + 1}": mae for rank, (mae, _) in _each(judged, judged.ranks).items()}
    return found


def by_element(
    judged: Judged, numbers: Rows, name: Callable[[int], str]
) -> dict[str, dict[str, float]]:
    """Mean absolute error and number of labels of each element; numbers are those of the lines' sites."""
    return {
        name(number): {"mae": mae, "n": n} for number, (mae, n) in _each(judged, numbers).items()
    }


def _each(judged: Judged, kinds: Rows) -> dict[int, tuple[float, int]]:
    error = np.abs(judged.answers - judged.labels)
    found = {}
    for kind in np.unique(kinds).tolist():
        some = error[kinds == kind]
        some = some[np.isfinite(some)]
        if len(some):
            found[kind] = float(some.mean()), len(some)
    return found

"""Conformal intervals: half their width is a factor times a difficulty, which is learned from few rows with few numbers.

The factor of a level is a quantile of |error| / difficulty over rows that the networks have not learned from, with
the correction for so many rows. Lines of one structure (its sites, its bonds) are no independent witnesses, nor are
structures that a split keeps together (of one composition, of one group): each such owner has one vote, shared by its
lines (hierarchical conformal prediction).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LEVELS = (
    *(round(0.05 * step, 2) for step in range(1, 18)),
    *(0.875, 0.9, 0.925, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998, 0.999),
)
FOLDS = 10
RIDGE = 3.0  # so many lines of no information
ROUNDS = 60
STEP = 1.0  # at most, in the logarithm
FAR = 4.0  # deviations from the mean, beyond which a column tells no more
SHRINK = 10.0  # lines by which a kind's error is drawn towards the mean of all
LEAST = 1e-9  # of the mean error
MOST = 100.0  # of a difficulty's logarithm: a guide of someone else's may hold any weights


@dataclass(frozen=True, slots=True, eq=False)
class Difficulty:
    """exp(constant + weights · columns), of one target; columns are standardised, and bounded, as the sum is."""

    centre: Floats  # (columns,)
    scale: Floats  # (columns,)
    weights: Floats  # (columns,)
    constant: float
    kinds: Floats  # (kinds,) the logarithm of each kind's error relative to that of all, another column
    most: float = MOST  # its logarithm's ceiling: of what is harder, too little is known

    @classmethod
    def fitted(cls, columns: Floats, kinds: Integers, errors: Floats, votes: Floats) -> Self:
        """By the likelihood of Laplace's distribution; a column that should shrink the interval is left out."""
        errors = np.abs(errors)
        unit = errors.mean() or 1.0
        errors = errors / unit + LEAST
        votes = votes / votes.mean()
        table = _by_kind(kinds, errors, votes)
        columns = np.column_stack([columns, table[kinds]])
        centre = np.average(columns, axis=0, weights=votes)
        scale = np.sqrt(np.average((columns - centre) ** 2, axis=0, weights=votes))
        used = scale > 1e-6
        scale = np.where(used, scale, 1.0)
        z = np.clip((columns - centre) / scale, -FAR, FAR)
        while True:
            weights, constant = _weights(z * used, errors, votes)
            if not used.any() or weights.min() >= 0:
                most = _ceiling(constant + z @ weights, errors, votes)
                of_unit = float(np.log(unit))
                return cls(centre, scale, weights, constant + of_unit, table, most + of_unit)
            used = used & (np.arange(len(used)) != weights.argmin())

    @classmethod
    def unknown(cls, columns: int, kinds: int) -> Self:
        """Of a target of which there are too few labels."""
        none = np.zeros(columns + 1)
        return cls(none, none + 1, none, 0.0, np.zeros(kinds))

    def of(self, columns: Floats, kinds: Integers) -> Floats:
        """The difficulty of each line."""
        columns = np.column_stack([columns, self.kinds[kinds]])
        z = np.clip(np.nan_to_num((columns - self.centre) / self.scale), -FAR, FAR)
        return np.asarray(np.exp(np.minimum(self.constant + z @ self.weights, self.most)))


def factors(scores: Floats, owners: Integers) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Levels that so many structures can tell of, and the factor of each."""
    votes = votes_of(owners)
    structures = round(float(votes.sum()))
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(votes[order]) / (structures + 1)
    highest = structures / (structures + 1)
    levels = [*(level for level in LEVELS if level < highest - 1e-9), highest]
    at = np.searchsorted(reached, np.array(levels) - 1e-9)
    found = scores[order][np.minimum(at, len(scores) - 1)]
    return tuple(levels), tuple(found.tolist())


def out_of_fold(columns: Floats, kinds: Integers, errors: Floats, owners: Integers) -> Floats:
    """|error| / difficulty of each line, the difficulty learned from the other structures."""
    votes, scores = votes_of(owners), np.empty(len(errors))
    for some in _folds(owners):
        learned = Difficulty.fitted(columns[~some], kinds[~some], errors[~some], votes[~some])
        scores[some] = np.abs(errors[some]) / learned.of(columns[some], kinds[some])
    return scores


def covered(errors: Floats, half: Floats, votes: Floats) -> float:
    """The share of lines within their interval."""
    return float(np.average(np.abs(errors) <= half, weights=votes))


def votes_of(owners: Integers) -> Floats:
    """What each line counts: one vote a structure."""
    _, where, counts = np.unique(owners, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / counts[where])


def _folds(owners: Integers) -> Iterator[NDArray[np.bool_]]:
    structures = np.unique(owners)
    if len(structures) < 2:
        return
    part = np.random.default_rng(0).permutation(len(structures)) % min(FOLDS, len(structures))
    mine = part[np.searchsorted(structures, owners)]
    for fold in range(min(FOLDS, len(structures))):
        yield mine == fold


def _weights(z: Floats, errors: Floats, votes: Floats) -> tuple[Floats, float]:
    """The minimum of Σ votes (u + errors exp(-u)), u = constant + z · weights: convex, by Fisher's scoring."""
    design = np.column_stack([z, np.ones(len(z))])
    ridge = np.diag([RIDGE] * z.shape[1] + [0.0])
    left = design.T @ (votes[:, None] * design) + ridge + 1e-9 * np.eye(len(ridge))
    found = np.zeros(design.shape[1])
    found[-1] = np.log(np.average(errors, weights=votes))
    for _ in range(ROUNDS):
        slope = votes * (errors * np.exp(-np.clip(design @ found, -50, 50)) - 1)
        step = np.linalg.solve(left, design.T @ slope - ridge @ found)
        step *= min(1.0, STEP / max(1e-12, float(np.abs(step).max()))) * 0.7
        found += step
        if np.abs(step).max() < 1e-6:
            break
    return found[:-1], float(found[-1])


def _ceiling(hard: Floats, errors: Floats, votes: Floats) -> float:
    """By the same likelihood: for what few rows tell of the hardest, the exponential goes too far."""
    order = np.argsort(hard)
    hard, errors, votes = hard[order], errors[order], votes[order]
    left = np.cumsum(votes * (hard + errors * np.exp(-hard)))
    above = (np.cumsum(each[::-1])[::-1] for each in (votes, votes * errors))
    count, sums = (np.append(each[1:], 0.0) for each in above)
    return float(hard[np.argmin(left + count * hard + sums * np.exp(-hard))])


def _by_kind(kinds: Integers, errors: Floats, votes: Floats) -> Floats:
    mean = np.average(errors, weights=votes)
    size = int(kinds.max()) + 1
    sums = np.bincount(kinds, votes * errors, size) + SHRINK * mean
    table = np.zeros(max(size, 128))
    table[:size] = np.log(sums / (np.bincount(kinds, votes, size) + SHRINK) / mean)
    return table

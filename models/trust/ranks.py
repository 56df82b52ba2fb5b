"""Ranks, and how rare a value is among others."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEPS = 64  # values that tell a distribution
RARE = 0.01  # as rare a value lies where the domain ends
MARGIN = 0.5  # of few rows, the limit lies so much beyond the last of them


def ranks(values: Floats) -> Floats:
    """From 1; equals share their mean rank."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[where])


def rank_correlation(first: Floats, second: Floats) -> float | None:
    """Spearman's; none where one of the two is all alike."""
    if len(first) < 3:
        return None
    a, b = ranks(first), ranks(second)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip(a @ b / size, -1, 1)) if size > 0 else None


def auroc(ordinary: Floats, strange: Floats) -> float:
    """How often a strange one has the higher score."""
    placed = ranks(np.concatenate([ordinary, strange]))[len(ordinary) :]
    above = placed.sum() - len(strange) * (len(strange) + 1) / 2
    return float(above / (len(ordinary) * len(strange)))


def told(values: Floats, least: float) -> Floats:
    """A distribution in few numbers: quantiles, and where the domain ends.  # (STEPS + 1,)

    It is drawn out to `least`, so that what is smaller is ordinary, however much smaller all of these are.
    """
    shares = 1 - np.logspace(0, np.log10(RARE), STEPS)
    found = np.quantile(values, shares)
    # Of few rows none may be as rare as that: their largest, and a margin, has to do.
    missing = max(0.0, 1 - RARE * len(values))
    limit = found[-1] + missing * MARGIN * max(0.0, found[-1] - float(np.median(values)))
    drawn_out = np.maximum(found, least * np.arange(STEPS) / STEPS)
    return np.append(drawn_out, max(limit, least))


def strangeness(values: Floats, distribution: Floats) -> Floats:
    """0 to 1 within the domain, by the logarithm of how rare a value is; beyond, by how far it lies beyond."""
    steps, limit = distribution[:-1], distribution[-1]
    at = np.searchsorted(steps, values, "left")
    inside = at / len(steps)
    return np.asarray(np.where(values > limit, values / limit, np.minimum(inside, 1.0)))

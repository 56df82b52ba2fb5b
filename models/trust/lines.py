"""The numbers of many answers, one a line, and what tells how hard each is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

COLUMNS = 7  # and one of the errors around, where these are known
FLOOR = 0.02  # of a target's deviation: less than that is nothing
NEAR = 0.02  # as much in units of the domain
SMALL = 0.1  # of the mean error: smaller ones are all alike


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Structure after structure, in each as its answer has them."""

    owner: Integers  # (lines,) the structure of each
    target: Integers  # (lines,)
    kind: Integers  # (lines,) of sites the element, of bonds the rank, else 0
    value: Floats  # (lines,)
    std: Floats  # (lines,) 0 where there is but one member

    @property
    def ends(self) -> Integers:
        """Where the lines of each structure end."""
        return np.cumsum(np.bincount(self.owner))


def lines(
    family: str,
    samples: Sequence[Any],
    values: Sequence[Sequence[float]],
    stds: Sequence[Sequence[float] | None],
    targets: int,
) -> Lines:
    """Of the answers for these samples, flat as a family tells them."""
    if family == "bond":
        values = [each[: len(each) // 2] for each in values]
    sizes = np.array([len(each) for each in values])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    each = sizes[owner] if family == "bond" else sizes[owner] // targets  # lines of one target
    kind = np.zeros(len(owner), np.int64)
    if family == "site":
        numbers = [np.tile(sample.numbers, targets) for sample in samples]
        kind = np.concatenate(numbers).astype(np.int64)
    elif family == "bond":
        kind = within
    known = all(each is not None for each in stds)
    return Lines(
        owner,
        within // each,
        kind,
        np.concatenate([np.asarray(each, float) for each in values]),
        np.concatenate([np.asarray(each, float) for each in stds])
        if known
        else np.zeros(len(owner)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """What is known of the place of each structure among those learned from."""

    distance: Floats  # (structures,) to the nearest, 1 where the domain ends
    middle: Floats  # (structures, targets) mean of the labels there; NaN where there are none
    spread: Floats  # (structures, targets) and their deviation
    rare: Floats  # (structures,) how few structures hold its rarest element, a logarithm
    stretch: Floats  # (structures,) as the gauge has it
    errors: Floats | None  # (structures, targets) of what lies there, relative to the mean


def columns(of: Lines, around: Around, level: Floats, std: Floats) -> Floats:
    """What an answer's difficulty follows from; `level` is what its kind would lead one to expect.

    # (lines, columns)
    """
    whose, target = of.owner, of.target
    # Outside of the domain nothing tells that a kind is easy.
    level = np.where(around.distance[whose] > 1, np.maximum(level, 0.0), level)
    scale = std[target]
    beside = np.abs(of.value - around.middle[whose, target]) / scale
    found = np.column_stack(
        [
            np.log(of.std / scale + FLOOR),
            np.log(around.distance + NEAR)[whose],
            level,
            np.log(np.nan_to_num(beside) + FLOOR),
            np.log(around.spread[whose, target] / scale + FLOOR),
            around.rare[whose],
            around.stretch[whose],
        ]
    )
    if around.errors is None:
        return found
    return np.column_stack([found, np.log(around.errors[whose, target] + SMALL)])

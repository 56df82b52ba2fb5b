"""Labelled samples: packed arrays only, so that a machine with torch and numpy alone can train."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.families.family import Batch, Family

Rows = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """As many rows of labels a sample as its family answers with; NaN where there is none."""

    values: Values  # (n, targets); of classifiers the class's number
    first: Rows  # (rows + 1,) where each sample's labels begin
    at_least: NDArray[np.bool_] | None = None  # (n, targets) the value is a lower bound only

    @classmethod
    def one_a_row(cls, values: Values) -> Self:
        """Labels of whole structures.  # (rows, targets)"""
        return cls(values, np.arange(len(values) + 1))

    def exact(self, rows: Rows) -> Values:
        """The labels of these samples without those that are bounds only."""
        places = self.places(rows)
        if self.at_least is None:
            return self.values[places]
        return np.where(self.at_least[places], np.nan, self.values[places])

    def places(self, rows: Rows) -> Rows:
        """Where the labels of these samples lie, one after the other."""
        first, size = self.first[rows], self.first[rows + 1] - self.first[rows]
        starts = np.cumsum(size) - size
        return np.repeat(first - starts, size) + np.arange(size.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """One row a structure."""

    samples: Sequence[Any]
    labels: Labels
    family: Family
    properties: tuple[str, ...] = ()  # names of the targets
    distances: Values | None = (
        None  # (rows, ranks) of bonds: what is judged is sorted, what is learned is not
    )
    groups: Rows | None = None  # (rows,) which were kept together, and so are one witness

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, rows: Rows) -> tuple[Batch, Tensor]:
        """These rows, and their labels.  # (n, targets) float32"""
        values = self.labels.values[self.labels.places(rows)]
        return self.family.collate([self.samples[row] for row in rows]), torch.tensor(
            values, dtype=torch.float32
        )

    def shuffled(self, rows: Rows, size: int, source: np.random.Generator) -> Iterator[Rows]:
        """Rows in a new order, so many at once; the last few join the batch before them."""
        order = source.permutation(rows)
        count = max(1, len(order) // size)
        yield from np.array_split(order, count)

    def elements(self, rows: Rows) -> tuple[int, ...]:
        """Atomic numbers that occur in these rows."""
        seen = np.zeros(256, bool)
        for row in rows:
            seen[self.samples[row].numbers] = True
        return tuple(np.flatnonzero(seen).tolist())

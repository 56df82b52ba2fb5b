"""Labelled graphs in memory: packed arrays only, so that a machine with torch and numpy alone can train."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.graphs.collate import Batch, collate
from models.graphs.graph import Graph

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """One row a crystal; a target that is NaN has no label."""

    graphs: Sequence[Graph]
    targets: NDArray[np.float64]  # (rows, targets); of classifiers the class's number

    def __len__(self) -> int:
        return len(self.graphs)

    def batch(self, rows: Rows) -> tuple[Batch, Tensor]:
        """These rows, and their targets.  # (rows, targets) float32"""
        return collate([self.graphs[row] for row in rows]), torch.tensor(
            self.targets[rows], dtype=torch.float32
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
            seen[self.graphs[row].numbers] = True
        return tuple(np.flatnonzero(seen).tolist())

"""Which rows teach, which choose, which judge."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from models.training.dataset import Rows
from models.training.parts import PARTS, divided


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Rows of each part."""

    train: Rows
    val: Rows
    test: Rows

    @classmethod
    def of(cls, parts: Sequence[str | None]) -> Self:
        """From the part of each row."""
        named = np.array(parts, dtype=object)
        return cls(*(np.flatnonzero(named == part) for part in PARTS))

    def sizes(self) -> dict[str, int]:
        """How many rows each part has."""
        return {part: len(getattr(self, part)) for part in PARTS}


def split(groups: Sequence[Hashable], val: float, test: float, seed: int) -> Split:
    """Shares of the rows by chance; rows of one group stay together.

    Give each row a group of its own for a plain random split.
    """
    return Split.of(divided(groups, val, test, seed))

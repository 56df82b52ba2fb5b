"""Rows of the data sets that benchmarks and the released models are made from: one parquet file a set."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from models.structures.composition import SYMBOLS
from models.structures.structure import Structure


@dataclass(frozen=True, slots=True)
class Row:
    """A structure with its figures."""

    structure: Structure
    figures: dict[str, Any]

    @property
    def composition(self) -> str:
        """Rows of one composition stay on one side of a split."""
        numbers, counts = np.unique(self.structure.numbers, return_counts=True)
        counts = counts // np.gcd.reduce(counts)
        parts = zip(numbers.tolist(), counts.tolist(), strict=True)
        return "".join(f"{SYMBOLS[number]}{count}" for number, count in parts)


def read(data: Path, name: str) -> Iterator[Row]:
    """All rows of the set in this folder."""
    for row in pq.read_table(data / name / "structures.parquet").to_pylist():
        structure = Structure(
            str(row["id"]),
            np.array(row.pop("lattice"), float).reshape(3, 3),
            np.array(row.pop("numbers"), np.uint8),
            np.array(row.pop("frac_coords"), float).reshape(-1, 3),
        )
        yield Row(structure, row)


def sha256(data: Path, name: str) -> str:
    """Of the file of this set."""
    return hashlib.sha256((data / name / "structures.parquet").read_bytes()).hexdigest()

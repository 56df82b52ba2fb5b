"""The fixed splits by which every figure of ours is judged: a row's part follows from its group's name alone.

Rows of one group stay together: frameworks of one family, slabs with one molecule, a material that is in several
sets under one id. So a part never changes when rows are added or left out. Where a set brings a test part of its
own, that one holds.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.rows import Row
from models.training.split import Split

VAL, TEST = 0.1, 0.1
VALS = {"gamenet_fg": 0.2}  # some thirty molecules: fewer hardly calibrate an interval

GROUP: dict[str, Callable[[Row], str]] = {
    "coremof_ddec": lambda row: row.structure.name[:4],
    "gamenet_fg": lambda row: f"{row.figures['family']}/{row.figures['molecule']}",
}


def _id(row: Row) -> str:
    return row.structure.name


def group(row: Row, name: str) -> str:
    """What decides the part of this row of the set."""
    return GROUP.get(name, _id)(row)


def part(row: Row, name: str) -> str:
    """`train`, `val` or `test`."""
    place = int.from_bytes(hashlib.sha256(group(row, name).encode()).digest()[:8]) / 2**64
    if name == "perov_5_partial":
        return "test" if row.figures["split"] == "test" else "val" if place < VAL else "train"
    val = VALS.get(name, VAL)
    return "test" if place < TEST else "val" if place < TEST + val else "train"


def split(rows: Sequence[Row], name: str) -> Split:
    """The rows of each part of this data set."""
    parts = np.array([part(row, name) for row in rows])
    return Split(*(np.flatnonzero(parts == which) for which in ("train", "val", "test")))

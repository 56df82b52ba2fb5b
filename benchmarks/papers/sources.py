"""Where rows come from: public sets with the fixed splits, sets with folds, pairs that the generator makes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from benchmarks.rows import Row, read, sha256
from benchmarks.splits import part
from models.generators.dimers import Dimers, dimers
from models.training.parts import chosen

Range = tuple[float, float]
FOLDS = "cv_fold"
SHORTEST, LONGEST = 1.0, 3.0  # Å, of pairs
TEST, VAL = 0.3, 0.07  # of pairs, as in the paper: 70/30, and a tenth of the 70 to choose the epoch


@dataclass(frozen=True, slots=True)
class Lines:
    """Labelled rows and the part of each: train, val, test, or beyond what is learned from."""

    rows: Sequence[Row]
    labels: Sequence[Any]
    parts: Sequence[str]
    all_train: int  # training rows there are, of which some may have been chosen
    data: str  # differs whenever the rows or what is in them differ


@dataclass(frozen=True)
class Set:
    """One thing to learn from a public set."""

    name: str
    set: str
    unit: str
    label: Callable[[Row], Any]  # None leaves the row out
    family: str = "crystal"
    classifies: bool = False
    folds: int | None = None
    columns: tuple[str, ...] = ()

    def told(self) -> list[str]:
        """What it is, for a key."""
        return [self.set, self.name]

    def is_in(self, data: Path) -> bool:
        """Whether the set is there."""
        return (data / self.set / "structures.parquet").exists()

    def lines(self, data: Path, rows: int | None, seed: int) -> Lines:
        """The rows that are needed: all that choose and judge, and as many training rows as asked for."""
        known = [
            (row, label) for row in _read(data, self.set) if (label := self.label(row)) is not None
        ]
        parts = [self._part(row, seed) for row, _ in known]
        train = [at for at, part in enumerate(parts) if part == "train"]
        taken = set(train if rows is None else chosen(train, rows, seed))
        kept = [at for at, part in enumerate(parts) if part != "train" or at in taken]
        return Lines(
            [known[at][0] for at in kept],
            [known[at][1] for at in kept],
            [parts[at] for at in kept],
            len(train),
            _sha256(data, self.set)[:12],
        )

    def _part(self, row: Row, seed: int) -> str:
        if self.folds is None:
            return part(row, self.set)
        away = (row.figures[FOLDS] - seed) % self.folds
        return {0: "test", 1: "val"}.get(away, "train")


@dataclass(frozen=True)
class Pairs:
    """Pairs of atoms in a box; what is learned is seen within the ranges only."""

    target: Literal["dimer_distance", "dimer_energy"]
    dimensions: Literal[2, 3] = 2
    seen: tuple[Range, ...] = ((SHORTEST, LONGEST),)
    family: str = "image"
    classifies: bool = False
    folds: None = None

    @property
    def unit(self) -> str:
        """Of the target."""
        return "Å" if self.target == "dimer_distance" else "ε"

    def told(self) -> list[Any]:
        """What it is, for a key."""
        return ["dimers", self.target, self.dimensions, self.seen]

    def is_in(self, data: Path) -> bool:  # noqa: ARG002
        """They are made."""
        return True

    def lines(self, data: Path, rows: int | None, seed: int) -> Lines:  # noqa: ARG002
        """So many training rows, and in the papers' shares those that choose and judge."""
        assert rows is not None
        share = sum(high - low for low, high in self.seen) / (LONGEST - SHORTEST)
        count = round(rows / (1 - TEST - VAL) / share)
        wanted = Dimers(count, self.dimensions, SHORTEST, LONGEST, seed=seed)
        found, labels, parts = [], [], []
        for at, (structure, (distance, energy)) in enumerate(dimers(wanted)):
            part = "test" if at < TEST * count else "val" if at < (TEST + VAL) * count else "train"
            if not any(low <= distance <= high for low, high in self.seen):
                if part != "test":
                    continue
                part = "beyond"
            found.append(Row(structure, {}))
            labels.append(distance if self.target == "dimer_distance" else energy)
            parts.append(part)
        return Lines(found, labels, parts, parts.count("train"), f"dimers-{count}-{seed}")


@cache
def _read(data: Path, name: str) -> list[Row]:
    return list(read(data, name))


@cache
def _sha256(data: Path, name: str) -> str:
    return sha256(data, name)

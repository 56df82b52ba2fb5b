"""What is learned for a table: one network, or one classic method, and how much of it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from benchmarks.papers.sources import Pairs, Set

SizeName = Literal["short", "full"]
Method = Literal[
    "network", "random forest", "perceptron", "kernel ridge, linear", "kernel ridge, Gaussian"
]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is learned."""

    epochs: int
    rows: int | None = None  # training rows; None is all
    seeds: tuple[int, ...] = (0,)  # of a set with folds they are its folds
    settings: Mapping[str, Any] = field(default_factory=dict)  # beside those of the run


@dataclass(frozen=True, slots=True)
class Run:
    """One line or more of a table."""

    name: str
    source: Set | Pairs
    short: Size
    full: Size
    settings: Mapping[str, Any] = field(default_factory=dict)  # what differs from the recipe `best`
    method: Method = "network"

    def size(self, name: SizeName) -> Size:
        """How much of it."""
        return self.short if name == "short" else self.full

    def wanted(self, size: SizeName) -> dict[str, Any]:
        """The settings, but for those of the recipe."""
        return {**self.settings, **self.size(size).settings, "epochs": self.size(size).epochs}

    def only(self, seeds: Sequence[int]) -> "Run":
        """The same with those of its seeds that are among these."""
        short, full = (
            replace(size, seeds=tuple(seed for seed in size.seeds if seed in seeds))
            for size in (self.short, self.full)
        )
        return replace(self, short=short, full=full)

    def key(self, size: SizeName, seed: int, train: int, data: str) -> str:
        """A name that differs whenever what is learned, or from what, differs."""
        what = [self.source.told(), self.method, self.wanted(size), seed, train, data]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

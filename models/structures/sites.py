"""Sites as a CIF lists them, and the order in which a cell's sites come."""

from dataclasses import dataclass, field
from math import isnan

import numpy as np
from numpy.typing import NDArray

from models.structures.composition import ELECTRONEGATIVITY, RANK, SYMBOLS
from models.structures.draft import ReadOptions
from models.structures.symmetry import Floats

_NO_VALUE = frozenset(z for z, value in enumerate(ELECTRONEGATIVITY) if isnan(value))
_RANKS = np.array([0] + [RANK[z] for z in range(1, len(SYMBOLS))])


@dataclass(slots=True)
class Sites:
    """The listed sites, before symmetry."""

    labels: list[str]
    numbers: list[int]
    coordinates: Floats  # (m, 3)
    occupancy: list[float] | None = None  # none: all full
    states: list[str] | None = None  # species with their charges, where the file tells them
    parts: list[tuple[str, str]] | None = None  # disorder assembly and group


@dataclass(slots=True)
class Reading:
    """What is known of a block on its way to a structure."""

    name: str
    lattice: Floats
    sites: Sites
    options: ReadOptions
    warnings: list[str] = field(default_factory=list)


def sorted_sites(
    listed: Sites, numbers: NDArray[np.uint8], source: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """The order by electronegativity, then symbol; equals as listed: pymatgen's sorted structure.

    Nothing when the sites are in it already.
    """
    ranks = [RANK[z] for z in listed.numbers]
    if listed.states is None and _NO_VALUE.isdisjoint(listed.numbers):
        if ranks == sorted(ranks):  # and so are their images, which follow each other
            return None
        return np.argsort(_RANKS[numbers], kind="stable")
    states = listed.states or [SYMBOLS[z] for z in listed.numbers]
    keys = [_Species(ELECTRONEGATIVITY[z], states[i]) for i, z in enumerate(listed.numbers)]
    first = sorted(range(len(source)), key=lambda row: -_RANKS[numbers[row]])
    return np.array(sorted(first, key=lambda row: keys[source[row]]))


@dataclass(frozen=True, slots=True, eq=False)
class _Species:
    """Compares as pymatgen's sites do, also where an electronegativity is not known."""

    value: float
    state: str

    def __lt__(self, other: "_Species") -> bool:
        if self.value < other.value:
            return True
        if self.value > other.value:
            return False
        return self.state < other.state

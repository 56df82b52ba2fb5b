"""Pairs of atoms in a box, with their distance and Lennard-Jones energy (σ = 1 Å, ε = 1)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import BadSetting
from models.structures.structure import Structure

Floats = NDArray[np.float64]

BOX = 10.0  # Å
NEAREST, FARTHEST = (
    0.5,
    5.0,
)  # Å; nearer is no structure, farther a pair has no empty space around it
LOWEST = 2 ** (1 / 6)  # Å, where the energy is -1
NAMES = ("dimer_distance", "dimer_energy")


@dataclass(frozen=True, slots=True)
class Dimers:
    """What pairs are wanted."""

    count: int
    dimensions: Literal[2, 3] = 2
    shortest: float = 1.0  # Å
    longest: float = 2.0  # Å
    # `distance`: every distance as often. `energy`: every energy from -1 to 0 as often, beyond the minimum.
    even: Literal["distance", "energy"] = "distance"
    seed: int = 0

    def __post_init__(self) -> None:
        if not NEAREST <= self.shortest < self.longest <= FARTHEST:
            raise BadSetting(
                "These distances cannot be made.",
                expected=f"{NEAREST:g} ≤ shortest < longest ≤ {FARTHEST:g} Å",
                got=f"{self.shortest:g} and {self.longest:g} Å",
            )


def dimers(wanted: Dimers) -> Iterator[tuple[Structure, tuple[float, ...]]]:
    """Each pair, and its values in the order of NAMES."""
    places, distances = pairs(wanted)
    numbers = np.ones(2, np.uint8)
    for at, (place, distance) in enumerate(zip(places, distances, strict=True)):
        structure = Structure(f"dimer-{at}", np.eye(3) * BOX, numbers, place / BOX)
        yield structure, (float(distance), float(energy(distance)))


def pairs(wanted: Dimers) -> tuple[Floats, Floats]:
    """Positions within the box, and distances.  # (pairs, 2, 3), (pairs,) Å"""
    chance = np.random.default_rng(wanted.seed)
    distances = _distances(wanted, chance)
    first = chance.uniform(0, BOX, (wanted.count, 3))
    if wanted.dimensions == 2:
        first[:, 2] = BOX / 2
    second = np.full_like(first, -1.0)
    while len(rows := np.flatnonzero(((second < 0) | (second > BOX)).any(1))):
        second[rows] = first[rows] + _directions(wanted, len(rows), chance) * distances[rows, None]
    return np.stack([first, second], 1), distances


def energy(distance: Floats) -> Floats:
    """The Lennard-Jones energy."""
    sixth: Floats = distance**-6.0
    return 4 * (sixth**2 - sixth)


def _distances(wanted: Dimers, chance: np.random.Generator) -> Floats:
    if wanted.even == "distance":
        return chance.uniform(wanted.shortest, wanted.longest, wanted.count)
    low, high = energy(np.array([max(wanted.shortest, LOWEST), wanted.longest]))
    # Beyond the minimum, where 4 (x² - x) with x = r⁻⁶ is the drawn energy.
    root = np.sqrt(1 + chance.uniform(low, high, wanted.count))
    outer: Floats = ((1 - root) / 2) ** (-1 / 6)
    return outer


def _directions(wanted: Dimers, count: int, chance: np.random.Generator) -> Floats:
    drawn = chance.normal(size=(count, 3))
    if wanted.dimensions == 2:
        drawn[:, 2] = 0
    directions: Floats = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return directions

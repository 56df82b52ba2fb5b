"""Sheets of graphene, hexagonal boron nitride and both side by side, shaken by heat, with and without defects."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import BadSetting
from models.structures.structure import Structure

Floats = NDArray[np.float64]
Numbers = NDArray[np.uint8]
Kind = Literal["graphene", "hbn", "mixture"]
Defect = Literal["none", "vacancy", "stone-wales"]

KINDS: tuple[Kind, ...] = ("graphene", "hbn", "mixture")
DEFECTS: tuple[Defect, ...] = ("none", "vacancy", "stone-wales")
SPACING = 2.506  # Å, of all sheets as in the paper: five cells are 12.53 Å
HEIGHT = 10.0  # Å
BORON, CARBON, NITROGEN = 5, 6, 7
# The orthogonal cell of a honeycomb, SPACING × √3 SPACING: two sites of one kind, two of the other.
CELL = np.array([[0, 0], [0.5, 0.5], [0, 1 / 3], [0.5, 5 / 6]])
BONDED = 1.2 * SPACING / np.sqrt(3)  # Å


@dataclass(frozen=True, slots=True)
class Sheets:
    """What sheets are wanted; kinds and defects are drawn from these, each as often."""

    columns: int = 5
    rows: int = 3
    displacement: float = 0.1  # Å; a sheet's deviation along each axis is drawn between 0 and this
    kinds: tuple[Kind, ...] = KINDS
    defects: tuple[Defect, ...] = DEFECTS
    seed: int = 0

    def __post_init__(self) -> None:
        for name, asked, known in (
            ("kinds", self.kinds, KINDS),
            ("defects", self.defects, DEFECTS),
        ):
            if not asked or not set(asked) <= set(known):
                raise BadSetting(
                    f"There are no such {name} of sheets.",
                    expected="one or several of " + ", ".join(known),
                    got=", ".join(asked),
                )
        if not (2 <= self.columns <= 20 and 2 <= self.rows <= 20):
            raise BadSetting(
                "A sheet has too few or too many cells.",
                expected="2 to 20 columns and rows",
                got=f"{self.columns} and {self.rows}",
            )
        if not 0 <= self.displacement <= 0.2:
            raise BadSetting(
                "Sheets shaken so much fall apart.",
                expected="a displacement of 0 to 0.2 Å",
                got=f"{self.displacement:g} Å",
            )


def sheet(wanted: Sheets, at: int, attempt: int = 0) -> Structure:
    """The sheet of this number: the same for the same seed, whatever was made before."""
    chance = np.random.default_rng([wanted.seed, at, attempt])
    kind = wanted.kinds[chance.integers(len(wanted.kinds))]
    defect = wanted.defects[chance.integers(len(wanted.defects))]
    numbers, places, size = _honeycomb(wanted, kind)
    if defect == "vacancy":
        left = np.delete(np.arange(len(numbers)), chance.integers(len(numbers)))
        numbers, places = numbers[left], places[left]
    elif defect == "stone-wales":
        places = _turned(places, size, chance)
    places = places + chance.normal(0, chance.uniform(0, wanted.displacement), places.shape)
    fractional = np.zeros((len(numbers), 3))
    fractional[:, :2] = (places / size + chance.uniform(size=2)) % 1.0
    fractional[:, 2] = 0.5
    return Structure(f"{kind}-{defect}-{at}", np.diag([*size, HEIGHT]), numbers, fractional)


def _honeycomb(wanted: Sheets, kind: Kind) -> tuple[Numbers, Floats, Floats]:
    """Elements, positions, and the size of the sheet.  # (N,), (N, 2) Å, (2,) Å"""
    cell = np.array([SPACING, SPACING * np.sqrt(3)])
    grid = np.array([(x, y) for x in range(wanted.columns) for y in range(wanted.rows)])
    places = ((grid[:, None] + CELL) * cell).reshape(-1, 2)
    column = np.repeat(grid[:, 0], len(CELL))
    carbon = {"graphene": wanted.columns, "hbn": 0, "mixture": wanted.columns // 2}[kind]
    pair = np.tile([BORON, BORON, NITROGEN, NITROGEN], len(grid))
    numbers = np.where(column < carbon, CARBON, pair).astype(np.uint8)
    return numbers, places, cell * [wanted.columns, wanted.rows]


def _turned(places: Floats, size: Floats, chance: np.random.Generator) -> Floats:
    """A Stone-Wales defect: one bond turned by a right angle about its middle."""
    first = int(chance.integers(len(places)))
    away = places - places[first]
    away -= np.rint(away / size) * size
    distance = np.hypot(*away.T)
    near = np.flatnonzero((distance > 0) & (distance < BONDED))
    second = int(chance.choice(near))
    half = away[second] / 2
    middle, across = places[first] + half, np.array([-half[1], half[0]])
    places = places.copy()
    places[first], places[second] = middle - across, middle + across
    return places

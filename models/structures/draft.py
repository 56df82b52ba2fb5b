"""From sites as a file lists them to a checked structure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.errors import ImpossibleGeometry, UnreadableStructure
from models.structures import bounds
from models.structures.checks import check_cell, closest, overlap
from models.structures.structure import Structure

Floats = NDArray[np.float64]


class Disorder(StrEnum):
    """What to do with sites that several species share."""

    REFUSE = "refuse"
    MAJORITY = "majority"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the sender may choose about reading."""

    disorder: str = Disorder.REFUSE
    primitive: bool = False


def finished(
    name: str,
    lattice: Floats,
    numbers: Sequence[int] | NDArray[np.uint8],
    fractional: Floats,
    *,
    warnings: Sequence[str],
    options: ReadOptions,
) -> Structure:
    """The structure of these sites, wrapped to the cell and checked.

    Raises: ImpossibleGeometry, TooLarge, UnreadableStructure.
    """
    check_coordinates(fractional)
    wrapped = fractional - np.floor(fractional)
    kinds = np.asarray(numbers, np.uint8)
    thickness = check_cell(lattice, len(kinds))
    pair = closest(lattice, thickness, kinds, wrapped)
    if pair:
        raise overlap(kinds, pair)
    return seal(name, lattice, kinds, wrapped, warnings=warnings, options=options)


def seal(
    name: str,
    lattice: Floats,
    numbers: NDArray[np.uint8],
    fractional: Floats,
    *,
    warnings: Sequence[str],
    options: ReadOptions,
) -> Structure:
    """A structure of checked arrays, reduced if that was asked for."""
    if options.primitive:
        from models.structures.primitive import reduced

        lattice, numbers, fractional, note = reduced(lattice, numbers, fractional)
        warnings = [*warnings, note] if note else warnings
    return Structure(name, lattice, numbers, np.ascontiguousarray(fractional), tuple(warnings))


def check_coordinates(fractional: Floats) -> None:
    """Raises: ImpossibleGeometry on NaN, infinity or digits lost; UnreadableStructure on no sites."""
    if len(fractional) == 0:
        raise UnreadableStructure("The structure has no sites.", place="sites")
    largest = np.abs(fractional).max()
    if largest <= bounds.COORDINATE:  # False for NaN
        return
    odd = int(np.argmin(np.all(np.abs(fractional) <= bounds.COORDINATE, axis=1)))
    raise ImpossibleGeometry(
        f"Site {odd + 1} has no usable coordinates.",
        place=f"site {odd + 1}",
        expected=f"finite numbers, fractional ones within ±{bounds.COORDINATE:g}",
        got=", ".join(f"{value:.6g}" for value in fractional[odd]),
    )

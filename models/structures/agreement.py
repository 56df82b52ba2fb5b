"""What a CIF says twice, of its symmetry and of its cell, held against itself."""

from functools import lru_cache
from typing import Any, NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from models.errors import UnreadableStructure
from models.structures.cif_values import volume_warnings
from models.structures.spacegroup import plain_operations, settings
from models.structures.symmetry import (
    LOOSE,
    Floats,
    Operations,
    misfit,
    no_fit,
    operation,
    operations,
)

_CLOSED = 0.02  # of a cell: rounded translations lie nearer to the exact ones
_NEAR = 0.02  # of a cell: within it, a site is the image of another
_MOST_IMAGES = 200_000
_ENTRY = 20  # the largest one of an operation that is read


class Said(NamedTuple):
    """What the file says beside its operations and sites."""

    symbol: str | None = None
    number: str | None = None
    volume: str | None = None


@lru_cache(maxsize=256)
def group(texts: tuple[str, ...]) -> Operations:
    """The listed operations.

    Raises: TooLarge, and UnreadableStructure on operations that are no group.
    """
    ops = operations(texts)
    if ops.table() is None:
        _check_closed(texts)
    return ops


def _check_closed(texts: tuple[str, ...]) -> None:
    from scipy.spatial import cKDTree

    read = [operation(text) for text in texts]
    rotations = np.array([rotation for rotation, _ in read])
    shifts = np.array([shift for _, shift in read])
    products = np.einsum("iab,jbc->ijac", rotations, rotations).reshape(-1, 3, 3)
    moved = (np.einsum("iab,jb->ija", rotations, shifts) + shifts[:, None]).reshape(-1, 3)
    kinds = np.unique(_codes(rotations))
    tree = cKDTree(_points(shifts, np.searchsorted(kinds, _codes(rotations))), boxsize=[1, 1, 1, 0])
    codes = _codes(products)
    at = np.searchsorted(kinds, codes).clip(max=len(kinds) - 1)
    at[(kinds[at] != codes) | (np.abs(products).max(axis=(1, 2)) > _ENTRY)] = len(kinds)
    apart, _ = tree.query(_points(moved, at), p=np.inf, distance_upper_bound=_CLOSED)
    if np.isfinite(apart).all():
        return
    first, second = divmod(int(np.flatnonzero(~np.isfinite(apart))[0]), len(texts))
    raise UnreadableStructure(
        "The listed symmetry operations are no group.",
        place="symmetry operations",
        expected="all operations, x,y,z among them",
        got=f"{texts[first].strip()[:60]!r} after {texts[second].strip()[:60]!r}, which makes one that is not listed",
        hint="Export the file again with its symmetry, or in P 1 with all sites.",
    )


def _codes(rotations: Floats) -> NDArray[np.int64]:
    """A number for each rotation, which no other has."""
    weights = (2 * _ENTRY + 1) ** np.arange(9)
    found: NDArray[np.int64] = np.rint(rotations).astype(np.int64).reshape(-1, 9) @ weights
    return found


def _points(places: Floats, kinds: NDArray[Any]) -> Floats:
    """Places of the cell, those of several kinds far apart in the fourth direction."""
    wrapped = places - np.floor(places)
    wrapped[wrapped >= 1] = 0
    return np.column_stack([wrapped, kinds])


def check_fit(ops: Operations, lattice: Floats) -> None:
    """Raises: UnreadableStructure on a cell that the listed operations do not map onto itself."""
    if not ops.identity and misfit(ops, lattice) > LOOSE:
        raise no_fit("The listed symmetry operations do", lattice)


def disagreements(
    said: Said, ops: Operations, lattice: Floats, numbers: NDArray[np.uint8], fractional: Floats
) -> list[str]:
    """What the file says beside that its operations, cell and sites do not."""
    warnings, named = _claims(said.symbol, said.number, ops)
    found = [*warnings, *volume_warnings(said.volume, lattice)]
    if named and not _symmetric(named, lattice, numbers, fractional):
        found.append(
            f"The file names the space group {named[0].hm} but lists other symmetry operations, and its "
            "sites are not symmetric by it: are operations or sites missing?"
        )
    return found


Settings = tuple[gemmi.SpaceGroup, ...]


@lru_cache(maxsize=1024)
def _claims(
    symbol: str | None, number: str | None, ops: Operations
) -> tuple[tuple[str, ...], Settings]:
    """What is wrong whatever the sites are, and the group that the operations are not."""
    by_symbol, by_number = settings(symbol, None), settings(None, number)
    told: tuple[str, ...] = ()
    if by_symbol and by_number and by_symbol[0].number != by_number[0].number:
        its = by_symbol[0].number
        told = (f"The file calls its space group {symbol}, number {its}, and number {number}.",)
    named = by_symbol or by_number
    if not named or _is_one_of(
        ops, {one[0].number for one in (by_symbol, by_number) if one}, named
    ):
        return told, ()
    if _rotations(ops) > _rotations(plain_operations(named[0].xhm())):
        more = f"The file names the space group {named[0].hm} but lists more symmetry than it has."
        return (*told, more), ()
    return told, named


def _is_one_of(ops: Operations, numbers: set[int], named: Settings) -> bool:
    """Whether the operations are of one of these groups; in an unusual setting their count has to do."""
    found = None if ops.table() is None else gemmi.find_spacegroup_by_ops(_gemmis(ops))
    if found is not None:
        return found.number in numbers
    return _rotations(ops) == _rotations(plain_operations(named[0].xhm()))


def _gemmis(ops: Operations) -> gemmi.GroupOps:
    made = []
    for rotation, shift in zip(ops.rotations, ops.translations, strict=True):
        one = gemmi.Op()
        one.rot = np.rint(rotation * one.DEN).astype(int).tolist()
        one.tran = np.rint(shift * one.DEN).astype(int).tolist()
        made.append(one)
    return gemmi.GroupOps(made)


def _rotations(ops: Operations) -> int:
    return len({rotation.tobytes() for rotation in np.rint(ops.rotations).astype(np.int8)})


def _symmetric(
    named: Settings, lattice: Floats, numbers: NDArray[np.uint8], fractional: Floats
) -> bool:
    """Whether the sites are all that the group makes of them; also when it does not fit the cell."""
    fitting = [ops for one in named if misfit(ops := plain_operations(one.xhm()), lattice) <= LOOSE]
    return not fitting or any(_maps(ops, numbers, fractional) for ops in fitting)


def _maps(ops: Operations, numbers: NDArray[np.uint8], fractional: Floats) -> bool:
    """Whether the operations map the sites onto sites; of very many images some are looked at."""
    from scipy.spatial import cKDTree

    tree = cKDTree(_points(fractional, numbers), boxsize=[1, 1, 1, 0])
    step = 1 + len(numbers) * len(ops) // _MOST_IMAGES
    images = ops.images(fractional[::step]).reshape(-1, 3)
    points = _points(images, np.repeat(numbers[::step], len(ops)))
    apart, _ = tree.query(points, p=np.inf, distance_upper_bound=_NEAR)
    return bool(np.isfinite(apart).all())

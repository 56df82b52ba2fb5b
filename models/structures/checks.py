"""What no crystal is: cells out of range, sites on top of each other, numbers that are none."""

from collections.abc import Sequence
from functools import lru_cache
from math import cos, isfinite, radians, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ImpossibleGeometry
from models.structures import bounds
from models.structures.composition import SYMBOLS

try:
    from models.structures import _near as compiled
except ImportError:  # built without a compiler
    compiled = None  # type: ignore[assignment]

Floats = NDArray[np.float64]

_ONES = np.ones(3)
_DENSE_COMPILED = 160
_DENSE = 48  # up to here all pairs are cheaper than a tree


def said_of_directions(periodic: Sequence[Any]) -> tuple[str, ...]:
    """What to warn of when a structure does not repeat along all of its vectors."""
    if all(periodic):
        return ()
    if any(periodic):
        return ("Not periodic in every direction; read as a crystal with the given cell.",)
    return ("Not periodic in any direction; read as repeated by the given cell.",)


def check_cell(matrix: Floats, sites: int) -> list[float]:
    """The distances of the cell's opposite faces.

    Raises: ImpossibleGeometry.
    """
    rows = matrix.tolist()
    a, b, c = rows
    if not all(isfinite(value) for row in rows for value in row):
        raise ImpossibleGeometry("The cell holds NaN or infinity.", place="cell")
    squares = [x * x + y * y + z * z for x, y, z in rows]
    lengths = [sqrt(square) for square in squares]
    longest, shortest = max(lengths), min(lengths)
    if longest > bounds.LENGTH or shortest < bounds.THICKNESS:
        wrong = longest if longest > bounds.LENGTH else shortest
        raise ImpossibleGeometry(
            f"A cell edge is {wrong:.4g} Å long.",
            place="cell",
            expected=f"{bounds.THICKNESS} to {bounds.LENGTH:g} Å",
            got=f"{wrong:.4g} Å",
            hint="Are the lengths in Å?",
        )
    _check_angles(rows, lengths)
    bc = _cross(b, c)
    volume = abs(a[0] * bc[0] + a[1] * bc[1] + a[2] * bc[2])
    areas = [_length(bc), _length(_cross(c, a)), _length(_cross(a, b))]
    thickness = [volume / area if area else 0.0 for area in areas]
    if min(thickness) < bounds.THICKNESS:
        raise ImpossibleGeometry(
            f"The cell is flat: two of its faces are {min(thickness):.3g} Å apart.",
            place="cell",
            expected=f"at least {bounds.THICKNESS} Å",
            got=f"{min(thickness):.3g} Å",
        )
    if volume < bounds.VOLUME_PER_SITE * sites:
        raise ImpossibleGeometry(
            f"{sites:,} sites share a cell of {volume:.4g} Å³.",
            place="cell",
            expected=f"at least {bounds.VOLUME_PER_SITE} Å³ a site",
            got=f"{volume / sites:.3g} Å³ a site",
            hint="Are the lengths in Å, and is each site listed once?",
        )
    return thickness


def _check_angles(rows: list[list[float]], lengths: list[float]) -> None:
    limit = _cosine_limit()
    for first, second in ((1, 2), (0, 2), (0, 1)):
        u, v = rows[first], rows[second]
        cosine = (u[0] * v[0] + u[1] * v[1] + u[2] * v[2]) / (lengths[first] * lengths[second])
        if abs(cosine) > limit:
            raise ImpossibleGeometry(
                "Two cell edges are (nearly) parallel.",
                place="cell",
                expected=f"angles of {bounds.ANGLE:g} to {180 - bounds.ANGLE:g}°",
            )


@lru_cache(maxsize=1)
def _cosine_limit() -> float:
    return cos(radians(bounds.ANGLE)) * (1 + 1e-12)


def _cross(u: list[float], v: list[float]) -> list[float]:
    return [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]


def _length(u: list[float]) -> float:
    return sqrt(u[0] * u[0] + u[1] * u[1] + u[2] * u[2])


def closest(
    matrix: Floats, thickness: list[float], numbers: NDArray[np.uint8], fractional: Floats
) -> tuple[int, int, float] | None:
    """A pair of sites that is nearer than two atoms can be, with its distance; usually nothing."""
    n = len(numbers)
    if n < 2:
        return None
    if min(thickness) < 2.2 * bounds.DISTANCE:  # more than one image of a pair can be near
        fractional, images = _with_images(fractional)
    else:
        images = 1
    if images == 1 and n <= _DENSE_COMPILED and compiled is not None:
        near = (bounds.DISTANCE, bounds.DISTANCE_H)
        if compiled.apart(matrix, np.ascontiguousarray(fractional), numbers, *near):
            return None
    if n * images <= _DENSE:
        return _worst(matrix, numbers, fractional, _pairs(n * images), n)
    return _closest_of_many(matrix, thickness, numbers, fractional, n)


def _with_images(fractional: Floats) -> tuple[Floats, int]:
    """The sites of 3 x 3 x 3 cells, as sites of one cell of the same size, the original first."""
    shifts = np.array([(0, 0, 0), *(s for s in np.ndindex(3, 3, 3) if any(s))])
    return (fractional[None] + shifts[:, None]).reshape(-1, 3), len(shifts)


@lru_cache(maxsize=_DENSE)
def _pairs(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first, second = np.triu_indices(n, 1)
    return first, second


def _worst(
    matrix: Floats,
    numbers: NDArray[np.uint8],
    fractional: Floats,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    n: int,
) -> tuple[int, int, float] | None:
    first, second = pairs
    apart = fractional.take(first, 0) - fractional.take(second, 0)
    if len(fractional) == n:
        apart -= np.rint(apart)
    apart = apart.dot(matrix)
    apart *= apart
    squares = apart.dot(_ONES)
    if not len(squares) or squares.min() >= bounds.DISTANCE**2:
        return None
    near = np.flatnonzero(squares < bounds.DISTANCE**2)
    for pair in near[np.argsort(squares[near], kind="stable")]:
        i, j = int(first[pair]) % n, int(second[pair]) % n
        limit = bounds.DISTANCE_H if 1 in (numbers[i], numbers[j]) else bounds.DISTANCE
        if squares[pair] < limit**2:
            return min(i, j), max(i, j), float(sqrt(squares[pair]))
    return None


def _closest_of_many(
    matrix: Floats,
    thickness: list[float],
    numbers: NDArray[np.uint8],
    fractional: Floats,
    n: int,
) -> tuple[int, int, float] | None:
    from scipy.spatial import cKDTree

    # Measured across the faces, no two points are farther apart than in space,
    # so every pair that is too near is among the tree's pairs.
    if len(fractional) == n:
        box = np.array(thickness)
        points = (fractional - np.floor(fractional)) * box
        points[points >= box] = 0.0
        tree = cKDTree(points, boxsize=box)
    else:
        points = fractional * np.array(thickness)
        tree = cKDTree(points)
    near, _ = tree.query(points[:n], k=2, p=np.inf, distance_upper_bound=bounds.DISTANCE)
    crowded = np.flatnonzero(np.isfinite(near[:, 1]))
    for start in range(0, len(crowded), 64):
        part = crowded[start : start + 64]
        found = tree.query_ball_point(points[part], bounds.DISTANCE, p=np.inf)
        first = np.repeat(part, [len(row) for row in found])
        second = np.concatenate([np.asarray(row, np.int64) for row in found])
        others = first != second
        worst = _worst(matrix, numbers, fractional, (first[others], second[others]), n)
        if worst:
            return worst
    return None


def overlap(numbers: NDArray[np.uint8], pair: tuple[int, int, float]) -> ImpossibleGeometry:
    """The error for two sites that are nearer than two atoms can be."""
    i, j, distance = pair
    first, second = SYMBOLS[numbers[i]], SYMBOLS[numbers[j]]
    limit = bounds.DISTANCE_H if "H" in (first, second) else bounds.DISTANCE
    return ImpossibleGeometry(
        f"Sites {i + 1} ({first}) and {j + 1} ({second}) are {distance:.3f} Å apart.",
        place=f"sites {i + 1} and {j + 1}",
        expected=f"at least {limit} Å",
        got=f"{distance:.3f} Å",
        hint="Is a site listed twice, or the cell too small?",
    )

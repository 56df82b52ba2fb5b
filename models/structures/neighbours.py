"""Who is near whom in a crystal: looked for only as far as needed, in bounded memory.

Positions and distances come by plain sums in one fixed order: the same bits on every machine, and the
same that pymatgen's neighbour search computes where its BLAS adds in that order too (some kernels do not).
That is what makes a choice among equals repeatable.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from models.structures.cells import Floats, Rows, inverse, product, reach_of, reduction

try:
    from models.structures import _near as compiled
except ImportError:  # built without a compiler: the same bits, several times slower
    compiled = None  # type: ignore[assignment]

Ints = NDArray[np.int64]

SAME_PLACE = 1e-8  # Å; a site is no neighbour of itself
MARGIN = 1e-6  # Å; wider than rounding, narrower than any distance
FIRST_GUESS = 1.25  # of the radius at which an even crystal has its neighbours
ALL_PAIRS = 100_000  # above, a tree is quicker
ALL_PAIRS_COMPILED = 1_000_000
MANY_POINTS = 200_000  # above, another cell of the same lattice may need fewer


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Sites and their images, by ascending image, then site."""

    position: Floats  # (3, M), Å
    site: Ints  # (M,)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Sites with what is near them, by ascending centre, then point."""

    points: Points
    centre: Ints  # (E,)
    point: Ints  # (E,) place in `points`
    distance: Floats  # (E,), Å
    last: Floats  # (N,) distance of the last neighbour asked for; infinite where there are fewer


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for: every pair up to the `count`-th of its centre × `stretch` + `beyond`."""

    count: int
    radius: float
    stretch: float = 1.0
    beyond: float = 0.0

    @property
    def edge(self) -> float:
        """The radius as pymatgen takes it."""
        return math.sqrt(self.radius * self.radius + 1e-8)

    def limit(self, last: Floats) -> Floats:
        """How far each centre looks."""
        return np.minimum(last * self.stretch + self.beyond, self.edge)


class Surroundings:
    """A crystal's sites, with as many images as a radius asks for."""

    def __init__(self, lattice: Floats, fractional: Floats) -> None:
        self._lattice = np.ascontiguousarray(lattice, np.float64)
        self._given = np.ascontiguousarray(fractional, np.float64)

    @cached_property
    def centres(self) -> Floats:
        """Where the sites are, as given.  # (3, N), Å"""
        given = self._given
        if np.abs(given).max() > 4:  # far outside its cell: bring it home
            given = given - np.floor(given)
        return product(given.T, self._rows)

    @cached_property
    def _rows(self) -> Rows:
        rows: Rows = self._lattice.tolist()
        return rows

    @cached_property
    def _back(self) -> tuple[Rows, float]:
        return inverse(self._rows)

    @cached_property
    def _fractional(self) -> Floats:  # (3, N)
        return product(self.centres, self._back[0])

    @cached_property
    def _wrapped(self) -> Floats:
        return np.mod(self._fractional, 1)

    @cached_property
    def _home(self) -> Floats:  # (3, N), Å, inside the cell
        return product(self._wrapped, self._rows)

    @cached_property
    def _reach(self) -> list[float]:
        return reach_of(self._back[0])

    def points(self, radius: float) -> Points:
        """All that lies within the radius of any site, and some more."""
        grids = _grids(self._fractional, self._reach, radius)
        if math.prod(map(len, grids)) * self._home.shape[1] > MANY_POINTS:
            return self._points_of_reduced_cell(radius)
        image, site = _inside(grids, self._wrapped, self._fractional, self._reach, radius)
        return Points(product(image, self._rows) + self._home[:, site], site)

    def _points_of_reduced_cell(self, radius: float) -> Points:
        """The same points, found along the short vectors of another cell of the same lattice."""
        whole = reduction(self._rows)  # integers: short vectors = whole @ rows
        back, _ = inverse((whole @ np.array(self._rows)).tolist())
        centres, wrapped, reach = (
            product(self.centres, back),
            product(self._home, back),
            reach_of(back),
        )
        cell = np.floor(wrapped)
        grids = _grids(centres, reach, radius)
        image, site = _inside(grids, wrapped - cell, centres, reach, radius)
        image = ((image - cell[:, site]).T @ whole).T  # along the vectors as given
        order = np.lexsort((site, image[2], image[1], image[0]))
        image, site = image[:, order], site[order]
        return Points(product(image, self._rows) + self._home[:, site], site)

    def near(self, wanted: Wanted) -> Pairs:
        """All pairs that are wanted."""
        return self._near_compiled(wanted) or self._near_in_python(wanted)

    def _near_compiled(self, wanted: Wanted) -> Pairs | None:
        if compiled is None:
            return None
        how = (
            wanted.count,
            wanted.edge,
            wanted.stretch,
            wanted.beyond,
            FIRST_GUESS,
            ALL_PAIRS_COMPILED,
        )
        found = compiled.near(self._lattice, self._given, *how)
        if found is None:  # a large cell
            return None
        centre, site, position, distance, last = found
        edges = len(distance) // 8
        points = Points(np.frombuffer(position).reshape(3, edges), np.frombuffer(site, np.int64))
        return Pairs(
            points,
            np.frombuffer(centre, np.int64),
            np.arange(edges),
            np.frombuffer(distance),
            np.frombuffer(last),
        )

    def _near_in_python(self, wanted: Wanted) -> Pairs:
        """Looks further only where the first guess was short."""
        sites, volume = len(self._given), self._back[1]
        even = (3 * (wanted.count + 1) * volume / (4 * math.pi * sites)) ** (1 / 3)
        reach = min(wanted.edge, FIRST_GUESS * even * wanted.stretch + wanted.beyond)
        while True:
            points = self.points(reach)
            few = sites * len(points.site) <= ALL_PAIRS
            pairs = (_all_pairs if few else _tree_pairs)(self.centres, points, wanted)
            # `last` is never too small, however few points there were.
            furthest = float(wanted.limit(pairs.last).max())
            if furthest <= reach:
                return pairs
            reach = furthest


def _grids(fractional: Floats, reach: list[float], radius: float) -> list[Floats]:
    """The images to look at along each axis."""
    low, high = fractional.min(1).tolist(), fractional.max(1).tolist()
    return [
        np.arange(math.ceil(a - each * radius) - 1, math.floor(b + each * radius) + 1, dtype=float)
        for a, b, each in zip(low, high, reach, strict=True)
    ]


def _inside(
    grids: list[Floats], wrapped: Floats, fractional: Floats, reach: list[float], radius: float
) -> tuple[Floats, Ints]:
    """Images and sites that lie between planes `radius` outside the outermost sites."""
    margin = (radius + MARGIN) * np.array(reach)
    low, high = fractional.min(1) - margin, fractional.max(1) + margin
    kept = []
    for axis, grid in enumerate(grids):
        along = grid[:, None] + wrapped[axis]  # (images, N)
        kept.append((along >= low[axis]) & (along <= high[axis]))
    first, second, third, site = np.nonzero(kept[0][:, None, None] & kept[1][:, None] & kept[2])
    return np.stack((grids[0][first], grids[1][second], grids[2][third])), site


def _all_pairs(centres: Floats, points: Points, wanted: Wanted) -> Pairs:
    square = points.position[:, None, :] - centres[:, :, None]  # (3, N, M)
    square *= square
    distance = np.sqrt((square[0] + square[1]) + square[2])  # (N, M)
    distance[distance <= SAME_PLACE] = np.inf
    if distance.shape[1] < wanted.count:
        last = np.full(len(distance), np.inf)
    else:
        last = np.partition(distance, wanted.count - 1, axis=1)[:, wanted.count - 1]
    limit = wanted.limit(last)
    centre, point = np.nonzero(distance <= limit[:, None])
    return Pairs(points, centre, point, distance[centre, point], last)


def _tree_pairs(centres: Floats, points: Points, wanted: Wanted) -> Pairs:
    tree = cKDTree(points.position.T)
    rough = tree.query(centres.T, k=[wanted.count + 1])[0][:, 0]  # one more: the site itself
    near = tree.query_ball_point(
        centres.T, wanted.limit(rough + MARGIN) + MARGIN, return_sorted=True
    )
    centre = np.repeat(np.arange(len(near)), [len(each) for each in near])
    point = np.concatenate(near).astype(np.int64)
    square = points.position[:, point] - centres[:, centre]  # (3, E)
    square *= square
    distance = np.sqrt((square[0] + square[1]) + square[2])
    apart = distance > SAME_PLACE
    centre, point, distance = centre[apart], point[apart], distance[apart]
    last = nth_smallest(centre, distance, len(near), wanted.count)
    kept = distance <= wanted.limit(last)[centre]
    return Pairs(points, centre[kept], point[kept], distance[kept], last)


def nth_smallest(centre: Ints, values: Floats, sites: int, count: int) -> Floats:
    """The `count`-th smallest value of each centre; infinite where there are fewer."""
    ordered = values[np.lexsort((values, centre))]
    counts = np.bincount(centre, minlength=sites)
    at = np.cumsum(counts) - counts + count - 1
    last = np.full(sites, np.inf)
    enough = counts >= count
    last[enough] = ordered[at[enough]]
    return last

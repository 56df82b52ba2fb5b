"""How atoms lie to each other, of many structures at once: from their samples alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.graphs.elements import cordero_radii
from models.graphs.graph import Graph
from models.images.picture import Picture
from models.slabs.slab import Slab

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

KINDS = 128  # more than there are elements
ROOM = 64.0  # Å; more than any edge is long
CHUNK = 256  # atoms of a picture
ALIKE = 0.02  # Å, of sums over the neighbours of a site
FAINT = 0.5  # edges of less weight are beyond the shell of nearest neighbours
UNKNOWN_RADIUS = 1.7  # Å, of elements whose covalent radius is not published


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Sites are sorted by structure."""

    numbers: Integers  # (sites,)
    first: Integers  # (structures + 1,) where each one's sites begin
    nearest: Floats  # (sites,) Å, to the nearest neighbour; infinite where there is none
    partner: Integers  # (sites,) the neighbour's atomic number
    around: Floats  # (sites,) Å, what sites that are alike have in common
    # (structures,) Å, mean gap between distances of a site to neighbours of one element
    uneven: Floats
    tall: NDArray[np.bool_]  # (structures,) the picture does not show all

    def __len__(self) -> int:
        return len(self.uneven)

    @property
    def owner(self) -> Integers:
        """The structure of each site."""
        return np.repeat(np.arange(len(self)), np.diff(self.first))

    def most(self, values: Floats) -> Floats:
        """The largest over the sites of each structure."""
        return np.asarray(np.maximum.reduceat(values, self.first[:-1]))

    def least(self, values: Floats) -> Floats:
        """The smallest over the sites of each structure."""
        return np.asarray(np.minimum.reduceat(values, self.first[:-1]))

    def only(self, at: int) -> "Geometry":
        """One of them."""
        first, last = self.first[at : at + 2].tolist()
        return Geometry(
            self.numbers[first:last],
            np.array([0, last - first]),
            self.nearest[first:last],
            self.partner[first:last],
            self.around[first:last],
            self.uneven[at : at + 1],
            self.tall[at : at + 1],
        )

    @property
    def kinds(self) -> Integers:
        """Different elements of each structure."""
        held = np.unique(self.owner * KINDS + self.numbers)
        return np.bincount(held // KINDS, minlength=len(self))

    def unlike(self, at: int) -> int:
        """Sites of a structure but for repetition: each kind of site occurs as often in every one of its cells."""
        mine = slice(*self.first[at : at + 2])
        order = np.lexsort((self.around[mine], self.numbers[mine]))
        numbers, around = self.numbers[mine][order], self.around[mine][order]
        starts = np.flatnonzero((np.diff(numbers) > 0) | (np.diff(around) > ALIKE)) + 1
        return len(order) // int(np.gcd.reduce(np.diff([0, *starts, len(order)])))

    def pairs(self) -> tuple[Integers, Integers]:
        """The atomic numbers of each site and its nearest neighbour, the smaller first."""
        return np.minimum(self.numbers, self.partner), np.maximum(self.numbers, self.partner)


def geometry(samples: Sequence[Any]) -> Geometry:
    """Of graphs, slabs, or pictures."""
    if isinstance(samples[0], Picture):
        return _of_pictures(samples)
    return _of_graphs([each.graph if isinstance(each, Slab) else each for each in samples])


@cache
def radii() -> Floats:
    """Covalent radii by atomic number, Å.  # (KINDS,)"""
    found = np.full(KINDS, UNKNOWN_RADIUS)
    known = cordero_radii()
    found[: len(known)] = np.where(np.isfinite(known), known, UNKNOWN_RADIUS)
    return found


def kept(values: Floats) -> Floats:
    """As a guide's file has them: in half precision."""
    return values.astype(np.float16).astype(np.float64)


def _of_graphs(graphs: Sequence[Graph]) -> Geometry:
    numbers = np.concatenate([graph.numbers for graph in graphs]).astype(np.int64)
    sizes = np.array([graph.n_sites for graph in graphs])
    counts = np.concatenate([graph.counts for graph in graphs])
    edges = np.array([graph.n_edges for graph in graphs])
    distance = np.concatenate([graph.distance for graph in graphs]).astype(np.float64)
    first = np.concatenate([[0], np.cumsum(sizes)])
    element = numbers[
        np.concatenate([graph.index for graph in graphs]) + np.repeat(first[:-1], edges)
    ]
    centre = np.repeat(np.arange(len(numbers)), counts)
    first_edge = np.cumsum(counts) - counts
    nearest = np.minimum.reduceat(distance, first_edge)
    # Of several equally near ones the heaviest, so that no order of edges matters.
    near = distance <= nearest[centre] + 1e-4
    partner = np.maximum.reduceat(np.where(near, element, 0), first_edge)
    weight = np.concatenate(
        [
            np.ones(graph.n_edges, np.float32) if graph.weight is None else graph.weight
            for graph in graphs
        ]
    )
    close = weight > FAINT
    around = np.add.reduceat(weight * distance * (1 + element / KINDS), first_edge)
    owner = np.repeat(np.arange(len(graphs)), sizes)
    uneven = _gaps(centre[close], element[close], distance[close], owner)
    return Geometry(numbers, first, nearest, partner, around, uneven, np.zeros(len(graphs), bool))


def _gaps(centre: Integers, element: Integers, distance: Floats, owner: Integers) -> Floats:
    """How far each distance is from the next like it; in symmetric crystals most are the same."""
    size = int(owner[-1]) + 1
    if not len(distance):
        return np.zeros(size)
    ordered = np.sort((centre * KINDS + element) * ROOM + distance)
    group = np.floor(ordered / ROOM)
    step = np.where(np.diff(group) == 0, np.diff(ordered), np.inf)
    gap = np.minimum(np.append(step, np.inf), np.append(np.inf, step))
    known = np.isfinite(gap)
    whose = owner[(group[known] // KINDS).astype(np.int64)]
    sums = np.bincount(whose, gap[known], size)
    return np.asarray(sums / np.maximum(1, np.bincount(whose, minlength=size)))


def _of_pictures(pictures: Sequence[Picture]) -> Geometry:
    sizes = [picture.n_sites for picture in pictures]
    found = [_nearest(picture) for picture in pictures]
    nearest = np.concatenate([one[0] for one in found])
    return Geometry(
        np.concatenate([picture.numbers for picture in pictures]).astype(np.int64),
        np.concatenate([[0], np.cumsum(sizes)]),
        nearest,
        np.concatenate([one[1] for one in found]),
        nearest,
        np.zeros(len(pictures)),
        np.array([picture.thick for picture in pictures]),
    )


def _nearest(picture: Picture) -> tuple[Floats, Integers]:
    """Distance and number of each atom's nearest neighbour."""
    places = picture.fractional.astype(np.float64)
    count = len(places)
    distance, partner = np.empty(count), np.empty(count, np.int64)
    for start in range(0, count, CHUNK):  # of large sheets not all pairs at once
        some = np.arange(start, min(start + CHUNK, count))
        apart = places[some, None] - places[None]
        if picture.periodic:
            apart -= np.rint(apart)
        length = np.linalg.norm(apart * picture.lengths, axis=2)
        own = picture.lengths.min() if picture.periodic else np.inf  # to its next image
        length[np.arange(len(some)), some] = own
        near = length.argmin(1)
        distance[some], partner[some] = length[np.arange(len(some)), near], picture.numbers[near]
    return distance, partner

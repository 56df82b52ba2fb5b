"""Which sites of a perovskite's cell ABX3 are A and B: told by the neighbours, whatever the elements are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.structures.composition import ELECTRONEGATIVITY, NUMBERS

Near = tuple[NDArray[Any], NDArray[Any]]  # neighbours and their distances, the nearest first

OTHER, A, B = 0, 1, 2
ANIONS = frozenset(NUMBERS[symbol] for symbol in ("H", "N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I"))  # fmt: skip
OCTAHEDRON, CUBOCTAHEDRON = 6, 12
LONGER = 1.2  # how much farther than the mean of the six a seventh neighbour of B is at least
FEWEST = 30
SHARE = 0.5


def roles(graph: Any) -> NDArray[np.int8] | None:
    """`A`, `B` or `OTHER` of each site; none for what is no perovskite of five sites.

    X are the three most electronegative sites, and six around one of the others, each twice. B is nearer to its
    nearest X than A: in a cube at most half an edge, however far atoms have moved along one, and A at least that.
    """
    if graph.n_sites != 5 or graph.counts.min() < OCTAHEDRON + 1:
        return None
    anions = [at for at in range(5) if int(graph.numbers[at]) in ANIONS]
    anions = sorted(anions, key=lambda at: -ELECTRONEGATIVITY[graph.numbers[at]])[:3]
    if len(anions) < 3:
        return None
    first = np.concatenate([[0], np.cumsum(graph.counts)])
    near = [_near(graph, first[at], first[at + 1]) for at in range(5)]
    one, other = (at for at in range(5) if at not in anions)
    if not any(_fits(near[b], near[a], anions) for b, a in ((one, other), (other, one))):
        return None
    found = np.zeros(5, np.int8)
    b, a = sorted((one, other), key=lambda at: _nearest(near[at], anions))
    found[b], found[a] = B, A
    return found


def are_perovskites(found: Sequence[NDArray[np.int8] | None]) -> bool:
    """Whether a set of structures is one of perovskites."""
    known = sum(each is not None for each in found)
    return known >= FEWEST and known >= SHARE * len(found)


def _near(graph: Any, first: int, last: int) -> Near:
    order = np.argsort(graph.distance[first:last], kind="stable")
    return graph.index[first:last][order], graph.distance[first:last][order]


def _nearest(near: Near, anions: list[int]) -> float:
    sites, distance = near
    return float(distance[np.isin(sites, anions)].min(initial=np.inf))


def _fits(b: Near, a: Near, anions: list[int]) -> bool:
    if _octahedron(*b) != sorted(anions):
        return False
    return bool(np.isin(a[0][:CUBOCTAHEDRON], anions).mean() >= 2 / 3)


def _octahedron(sites: NDArray[Any], distance: NDArray[Any]) -> list[int] | None:
    """The three sites that are the corners, each and its image on the other side."""
    corners, times = np.unique(sites[:OCTAHEDRON], return_counts=True)
    if len(corners) != 3 or (times != 2).any():
        return None
    if distance[OCTAHEDRON] < LONGER * distance[:OCTAHEDRON].mean():
        return None
    return [int(each) for each in corners]

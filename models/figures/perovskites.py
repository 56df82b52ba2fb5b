"""Which sites of a perovskite's cell ABX3 are A and B: told by the neighbours, whatever the elements are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.structures.composition import NUMBERS

OTHER, A, B = 0, 1, 2
ANIONS = frozenset(NUMBERS[symbol] for symbol in ("H", "N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I"))  # fmt: skip
OCTAHEDRON, CUBOCTAHEDRON = 6, 12
LONGER = 1.2  # how much farther than the mean of the six a seventh neighbour of B is at least
FEWEST = 30
SHARE = 0.5


def roles(graph: Any) -> NDArray[np.int8] | None:
    """`A`, `B` or `OTHER` of each site; none for what is no perovskite of five sites.

    B has six nearest neighbours, each of the three anions twice; around A there are the same three, four times each.
    """
    if graph.n_sites != 5 or graph.counts.min() < OCTAHEDRON + 1:
        return None
    first = np.concatenate([[0], np.cumsum(graph.counts)])
    near = [_near(graph, first[at], first[at + 1]) for at in range(5)]
    for site, (sites, distance) in enumerate(near):
        anions = _octahedron(sites, distance)
        if anions is None or site in anions:
            continue
        if not all(int(graph.numbers[at]) in ANIONS for at in anions):
            continue
        other = next(at for at in range(5) if at != site and at not in anions)
        around = near[other][0][:CUBOCTAHEDRON]
        if np.isin(around, anions).mean() < 2 / 3:
            continue
        found = np.zeros(5, np.int8)
        found[site], found[other] = B, A
        return found
    return None


def are_perovskites(found: Sequence[NDArray[np.int8] | None]) -> bool:
    """Whether a set of structures is one of perovskites."""
    known = sum(each is not None for each in found)
    return known >= FEWEST and known >= SHARE * len(found)


def _near(graph: Any, first: int, last: int) -> tuple[NDArray[Any], NDArray[Any]]:
    order = np.argsort(graph.distance[first:last], kind="stable")
    return graph.index[first:last][order], graph.distance[first:last][order]


def _octahedron(sites: NDArray[Any], distance: NDArray[Any]) -> list[int] | None:
    """The three sites that are the corners, each and its image on the other side."""
    corners, times = np.unique(sites[:OCTAHEDRON], return_counts=True)
    if len(corners) != 3 or (times != 2).any():
        return None
    if distance[OCTAHEDRON] < LONGER * distance[:OCTAHEDRON].mean():
        return None
    return [int(each) for each in corners]

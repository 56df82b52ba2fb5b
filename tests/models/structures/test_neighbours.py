from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from pymatgen.optimization.neighbors import find_points_in_spheres

from models.graphs.featurise import featurise
from models.settings.graph import GraphSettings, Ties
from models.structures.cells import reduction
from models.structures.neighbours import Surroundings, Wanted
from models.structures.structure import Structure

RELEASED = GraphSettings(ties=Ties.RELEASED)


def published_choice(structure: Structure) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The twelve that the published code takes: a stable sort of pymatgen's list.

    Positions are summed here: pymatgen leaves that to BLAS, which rounds otherwise on some machines.
    """
    a, b, c = structure.fractional.T[:, :, None] * structure.lattice[:, None]
    at = np.ascontiguousarray(a + b + c)
    lattice, periodic = np.ascontiguousarray(structure.lattice), np.ones(3, np.int64)
    centre, point, _, distance = find_points_in_spheres(at, at, 8.0, periodic, lattice, 1e-8)
    other = (centre != point) | (distance > 1e-8)
    centre, point, distance = centre[other], point[other], distance[other]
    order = np.lexsort((distance, centre))  # stable
    counts = np.bincount(centre, minlength=len(structure.numbers))
    rank = np.arange(len(order)) - (np.cumsum(counts) - counts)[centre[order]]
    kept = order[rank < 12]
    return point[kept], distance[kept]


def lattices(seed: int, count: int) -> list[Structure]:
    """Crystals with many equal distances: sites on a fine grid in simple cells, some skewed."""
    chance = np.random.default_rng(seed)
    found = []
    for at in range(count):
        cell = np.diag(chance.choice([3.9, 4.2, 5.0, 6.1], 3))
        cell[np.tril_indices(3, -1)] = chance.choice([0, 0, 1.3, -2.5], 3) * (at % 3 == 0)
        cell = cell + chance.normal(size=(3, 3)) * 0.2 * (at % 5 == 0)
        grid = chance.permutation(27)[: chance.integers(1, 9)]
        sites = np.stack(np.unravel_index(grid, (3, 3, 3)), 1) / chance.choice([2, 3, 4])
        sites = np.unique(sites % 1, axis=0) - chance.integers(0, 2, 3)
        found.append(Structure("lattice", cell, np.full(len(sites), 14, np.uint8), sites))
    return found


def test_equals_come_in_pymatgens_order() -> None:
    for structure in lattices(7, 120):
        index, distance = published_choice(structure)
        graph = featurise(structure, RELEASED)
        here = graph.distance < 8.5
        np.testing.assert_array_equal(graph.index[here], index)
        np.testing.assert_array_equal(graph.distance[here], distance.astype(np.float32))


def test_both_searches_agree(crystals: list[Structure]) -> None:
    """All pairs of a small cell, and the tree of a large one."""
    for structure in crystals:
        around = Surroundings(structure.lattice, structure.fractional)
        times = 9 if len(structure.numbers) < 3 else 5
        shifts = np.array(list(np.ndindex(times, times, times)), float)
        sites = (structure.fractional[None] + shifts[:, None]).reshape(-1, 3) / times
        wide = Surroundings(structure.lattice * times, sites).near(Wanted(12, 8.0, beyond=1e-3))
        small = around.near(Wanted(12, 8.0, beyond=1e-3))
        np.testing.assert_allclose(wide.last.reshape(-1, len(small.last))[0], small.last)
        assert len(wide.centre) == len(small.centre) * times**3


def test_a_needle_of_a_cell_is_searched_without_a_flood() -> None:
    needle = Surroundings(np.diag([0.8, 0.9, 300.0]), np.zeros((1, 3)))

    pairs = needle.near(Wanted(12, 8.0))

    assert len(pairs.points.site) < 10_000
    assert pairs.last[0] < 4


def test_a_flat_hostile_cell_is_searched_along_short_vectors() -> None:
    # Three long vectors almost in one plane, each plane half an Å from the next.
    angle = np.deg2rad([0, 119.9, 239.9])
    flat = np.stack([107 * np.cos(angle), 107 * np.sin(angle), [0.2, 0.3, 0.2]], 1)
    sites = np.random.default_rng(4).uniform(size=(40, 3))

    points = Surroundings(flat, sites).points(8.0)

    assert len(points.site) < 2_000_000


def test_reduction_is_the_same_lattice() -> None:
    rows = [[1.0, 0.0, 0.0], [17.0, 1.0, 0.0], [-33.0, 12.0, 1.0]]

    whole = reduction(rows)

    assert abs(round(np.linalg.det(whole))) == 1
    assert np.linalg.norm(whole @ np.array(rows), axis=1).max() == pytest.approx(1)


def test_far_coordinates_are_brought_home(make: Callable[..., Structure]) -> None:
    near = make([4, 5, 6], [11, 17], [[0.1, 0.2, 0.3], [0.6, 0.7, 0.8]])
    far = make([4, 5, 6], [11, 17], [[0.1, 0.2, 0.3], [1000.6, -2000.3, 0.8]])

    distances = [np.sort(featurise(each, RELEASED).distance) for each in (near, far)]

    np.testing.assert_allclose(*distances, atol=1e-5)

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial import ConvexHull, Voronoi

from models.errors import IsolatedSite
from models.graphs.featurise import featurise
from models.graphs.graph import Graph
from models.graphs.voronoi import FRAME, _faces, solid_angles
from models.settings.graph import GraphSettings, Neighbours
from models.structures.neighbours import Surroundings, Wanted
from models.structures.structure import Structure

VORONOI = GraphSettings(neighbours=Neighbours.VORONOI)
FACE_CENTRED = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
OCTAHEDRAL = [[0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]


def around(graph: Graph, site: int) -> list[tuple[int, float]]:
    """Neighbouring element and distance of each of a site's edges, nearest first."""
    start = int(graph.counts[:site].sum())
    edges = slice(start, start + int(graph.counts[site]))
    elements = graph.numbers[graph.index[edges]].tolist()
    return list(zip(elements, graph.distance[edges].astype(float).round(3).tolist(), strict=True))


def test_a_site_of_rock_salt_has_its_six_bonds(make: Callable[..., Structure]) -> None:
    salt = make([5.64] * 3, [11] * 4 + [17] * 4, FACE_CENTRED + OCTAHEDRAL)

    graph = featurise(salt, VORONOI)

    assert [around(graph, site) for site in (0, 4)] == [[(17, 2.82)] * 6, [(11, 2.82)] * 6]


def test_caesium_sees_eight_chlorines_and_six_of_its_own(make: Callable[..., Structure]) -> None:
    chloride = make([4.12] * 3, [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])

    graph = featurise(chloride, VORONOI)

    assert around(graph, 0) == [(17, 3.568)] * 8 + [(55, 4.12)] * 6
    assert around(graph, 1) == [(55, 3.568)] * 8  # two chlorines are too far apart for a bond


def test_graphite_is_bound_within_its_layers_only(crystals: list[Structure]) -> None:
    assert (featurise(crystals[3], VORONOI).counts == 3).all()


def test_aluminium_has_no_bonds(make: Callable[..., Structure]) -> None:
    metal = make([4.05] * 3, [13] * 4, FACE_CENTRED)  # 2.86 Å apart; a bond is 2.67 Å at most

    with pytest.raises(IsolatedSite, match="no bond within 6 Å"):
        featurise(metal, VORONOI)


def test_a_near_site_behind_another_is_no_neighbour(make: Callable[..., Structure]) -> None:
    # Na and Na are within a bond of each other, but H stands between and takes the whole face.
    sites = [[0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]]
    ring = [[0.1, y, z] for y, z in ((0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1))]
    row = make([15] * 3, [11, 1, 11, 1, 1, 1, 1], sites + ring)

    graph = featurise(row, VORONOI)

    assert 11 not in [element for element, _ in around(graph, 0)]


def test_faces_are_those_of_the_voronoi_diagram() -> None:
    for seed in range(20):
        points = np.random.default_rng(seed).uniform(-5, 5, (60, 3))
        points[0] = 0
        ridges = Voronoi(points).ridge_points
        known = {int(pair.max()) for pair in ridges if pair.min() == 0}

        dual = 2 * points[1:] / (points[1:] ** 2).sum(1, keepdims=True)
        angles = _faces([ConvexHull(np.concatenate([dual, FRAME]))], 67)[:59]

        assert {int(at) + 1 for at in np.flatnonzero(angles)} == known
        assert angles.sum() == pytest.approx(4 * np.pi)  # together they are all there is to see


def test_solid_angles_are_the_shares_of_random_rays(crystals: list[Structure]) -> None:
    """A ray leaves the cell through the plane half-way to the neighbour that it meets first."""
    skewed = crystals[-1]
    seen = Surroundings(skewed.lattice, skewed.fractional)
    pairs = seen.near(Wanted(1, 9.0, beyond=9.0))
    found = solid_angles(seen, pairs, np.ones(len(pairs.centre), bool))
    rays = np.random.default_rng(0).normal(size=(40_000, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)

    for centre in (0, 5):
        own = np.flatnonzero(pairs.centre == centre)
        away = (pairs.points.position[:, pairs.point[own]] - seen.centres[:, [centre]]).T
        first = (rays @ away.T / (away**2).sum(1)).argmax(1)
        shares = np.bincount(first, minlength=len(own)) / len(rays)

        assert found[own] / (4 * np.pi) == pytest.approx(shares, abs=0.01)


def test_a_surface_has_the_bonds_of_its_side(make: Callable[..., Structure]) -> None:
    layer = make([3.9, 3.9, 60], [22, 8, 8], [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]])

    graph = featurise(layer, VORONOI)

    assert around(graph, 0) == [(8, 1.95)] * 4


@pytest.mark.parametrize(
    "lattice",
    [
        [0.8, 0.9, 300],
        [[3, 0, 0], [290, 3, 0], [100, -280, 3]],
    ],
)
def test_a_needle_or_a_plate_of_a_cell_has_bonds_too(
    make: Callable[..., Structure], lattice: object
) -> None:
    assert featurise(make(lattice, [11], [[0, 0, 0]]), VORONOI).n_edges >= 4

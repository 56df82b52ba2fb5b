from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from models.errors import IsolatedSite, UnsupportedElement
from models.graphs.featurise import AMBIGUOUS, featurise, notes
from models.graphs.graph import Graph, unpack
from models.settings.graph import GraphSettings, Neighbours, Ties
from models.structures.structure import Structure

SHELL = GraphSettings()
RELEASED = GraphSettings(ties=Ties.RELEASED)
VORONOI = GraphSettings(neighbours=Neighbours.VORONOI)


def portrait(graph: Graph, site: int) -> NDArray[np.float64]:
    """What one site sees, in an order of its own: (neighbour's element, distance, weight)."""
    start = int(graph.counts[:site].sum())
    edges = slice(start, start + int(graph.counts[site]))
    weight = np.ones(graph.n_edges) if graph.weight is None else graph.weight
    rows = np.stack(
        [graph.numbers[graph.index[edges]], graph.distance[edges], weight[edges]], axis=1
    ).astype(float)
    rows = rows[rows[:, 2] > 1e-4]  # what is about to appear or vanish has no say
    return rows[np.lexsort((rows[:, 0], rows[:, 1].round(3)))]


def same_view(one: Graph, other: Graph, of: Sequence[int] = range(1000)) -> None:
    """Site by site of the other graph; `of` tells which site of the first each is."""
    for site in range(other.n_sites):
        np.testing.assert_allclose(portrait(other, site), portrait(one, of[site]), atol=2e-4)


@pytest.mark.parametrize("settings", [SHELL, VORONOI])
def test_moving_the_origin_changes_nothing(
    crystals: list[Structure], settings: GraphSettings
) -> None:
    for crystal in crystals[:4]:
        moved = Structure(
            "moved",
            crystal.lattice,
            crystal.numbers,
            crystal.fractional + np.array([0.37, -0.81, 2.2]),
        )
        same_view(featurise(crystal, settings), featurise(moved, settings))


@pytest.mark.parametrize("settings", [SHELL, VORONOI])
def test_turning_the_crystal_changes_nothing(
    crystals: list[Structure], settings: GraphSettings
) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    for crystal in crystals[:4]:
        turned = Structure("turned", crystal.lattice @ turn, crystal.numbers, crystal.fractional)
        same_view(featurise(crystal, settings), featurise(turned, settings))


@pytest.mark.parametrize("settings", [SHELL, VORONOI])
def test_the_order_of_sites_changes_nothing(
    crystals: list[Structure], settings: GraphSettings
) -> None:
    for crystal in crystals[:4]:
        order = np.random.default_rng(2).permutation(len(crystal.numbers))
        mixed = Structure(
            "mixed", crystal.lattice, crystal.numbers[order], crystal.fractional[order]
        )
        same_view(featurise(crystal, settings), featurise(mixed, settings), order.tolist())


@pytest.mark.parametrize("settings", [SHELL, VORONOI])
def test_a_supercell_has_the_same_sites_again(
    crystals: list[Structure],
    supercell: Callable[[Structure, tuple[int, int, int]], Structure],
    settings: GraphSettings,
) -> None:
    for crystal in crystals[:4]:
        large = supercell(crystal, (2, 2, 3))
        of = np.tile(np.arange(len(crystal.numbers)), 12).tolist()
        same_view(featurise(crystal, settings), featurise(large, settings), of)


def test_rounding_changes_weights_only_as_much_as_distances(crystals: list[Structure]) -> None:
    chance = np.random.default_rng(3)
    for crystal in crystals[:4]:
        noise = chance.uniform(-1e-6, 1e-6, crystal.fractional.shape)
        rough = Structure("rough", crystal.lattice, crystal.numbers, crystal.fractional + noise)
        same_view(featurise(crystal, SHELL), featurise(rough, SHELL))


def test_another_cell_of_the_same_lattice_gives_the_same_view(perovskite: Structure) -> None:
    other = np.array([[1, 0, 0], [7, 1, 0], [-3, 5, 1]])
    skewed = Structure(
        "skewed",
        other @ perovskite.lattice,
        perovskite.numbers,
        perovskite.fractional @ np.linalg.inv(other),
    )

    same_view(featurise(perovskite, SHELL), featurise(skewed, SHELL))


def test_the_twelve_nearest_all_count_in_full(crystals: list[Structure]) -> None:
    for crystal in crystals:
        graph = featurise(crystal, SHELL)
        assert graph.weight is not None
        full = np.add.reduceat(
            graph.weight > 1 - 1e-6, np.cumsum(graph.counts) - graph.counts, dtype=int
        )
        assert (full >= 12).all()


def test_released_rule_gives_every_site_twelve(crystals: list[Structure]) -> None:
    for crystal in crystals:
        graph = featurise(crystal, RELEASED)
        assert (graph.counts == 12).all()
        assert graph.weight is None


def test_released_rule_fills_up_with_the_first_site_beyond_the_radius(
    make: Callable[..., Structure],
) -> None:
    sparse = make([7.5, 30, 30], [11, 17], [[0, 0, 0], [0.4, 0, 0]])

    graph = featurise(sparse, RELEASED)

    missing = graph.distance == 9.0
    assert 0 < missing.sum() < graph.n_edges
    assert (graph.index[missing] == 0).all()
    assert "fewer neighbours" in notes(graph, RELEASED)[0]


def test_a_cut_through_unlike_equals_is_told(
    perovskite: Structure, crystals: list[Structure]
) -> None:
    copper = crystals[1]

    assert notes(featurise(perovskite, RELEASED), RELEASED) == (AMBIGUOUS,)
    assert notes(featurise(copper, RELEASED), RELEASED) == ()
    assert notes(featurise(perovskite, SHELL), SHELL) == ()


@pytest.mark.parametrize("settings", [SHELL, RELEASED, VORONOI])
def test_a_site_on_its_own_is_named(
    make: Callable[..., Structure], settings: GraphSettings
) -> None:
    box = make([25, 25, 25], [8, 1, 2], [[0, 0, 0], [0.04, 0, 0], [0.5, 0.5, 0.5]])

    with pytest.raises(IsolatedSite, match=r"Site 2 \(He\)") as caught:
        featurise(box, settings)

    assert caught.value.place == "site 2 (He)"


def test_an_element_beyond_the_table_is_refused(make: Callable[..., Structure]) -> None:
    with pytest.raises(UnsupportedElement, match="Og"):
        featurise(make([4, 4, 4], [118], [[0, 0, 0]]), SHELL)


def test_packed_is_unpacked_again(crystals: list[Structure]) -> None:
    for settings in (SHELL, RELEASED):
        graph = featurise(crystals[0], settings)
        again = unpack(graph.pack())
        assert again.ambiguous == graph.ambiguous
        for name in ("numbers", "counts", "index", "distance"):
            np.testing.assert_array_equal(getattr(again, name), getattr(graph, name))
        assert (again.weight is None) == (graph.weight is None)

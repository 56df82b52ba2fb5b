"""Figures say what the answers were."""

from typing import Any

import numpy as np
import pytest

from models.figures.elements import sites_of, tables
from models.figures.kept import kind_of
from models.figures.making import made
from models.figures.perovskites import A, B, roles
from models.figures.told import POINTS, Figures, figures_bytes
from models.graphs.featurise import featurise
from models.graphs.graph import Graph
from models.settings.graph import GraphSettings
from models.settings.network import BondNetworkSettings, NetworkSettings, SiteNetworkSettings
from models.structures.composition import NUMBERS
from models.structures.structure import Structure
from models.training.judging import Judged
from tests.models.figures.made_up import card_of

CUBE = ((0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5))


def numbers_of(*symbols: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.array([NUMBERS[symbol] for symbol in symbols], np.uint8)


def judged(answers: Any, labels: Any, rows: Any = None, ranks: Any = None) -> Judged:
    answers, labels = np.array(answers, float), np.array(labels, float)
    answers, labels = answers.reshape(len(answers), -1), labels.reshape(len(labels), -1)
    return Judged(
        answers, labels, np.arange(len(labels)) if rows is None else np.array(rows), ranks
    )


def graph(*symbols: str, stretch: float = 1.0, order: Any = range(5)) -> Graph:
    """A perovskite's cell, its sites A, B, X, X, X in another order."""
    places = np.array(CUBE, float)[list(order)]
    numbers = numbers_of(*symbols)[list(order)]
    lattice = np.diag([4.0, 4.0, 4.0 * stretch])
    found = featurise(Structure("a", lattice, numbers, places), GraphSettings())
    assert isinstance(found, Graph)
    return found


def test_errors_are_those_of_the_answers() -> None:
    found = made(
        judged([1.0, 2.5, 4.0, 9.0], [1.5, 2.5, 3.0, np.nan]),
        [numbers_of("O", "O", "Ti"), numbers_of("O"), numbers_of("U"), numbers_of("H")],
        part="test",
    )
    [target] = found.targets
    assert (target.n, target.mae) == (3, 0.5)
    assert {each.element: (each.mae, each.n) for each in target.by_element} == {
        "O": (0.25, 2), "Ti": (0.5, 1), "U": (1.0, 1),
    }  # fmt: skip
    assert target.parity
    assert (target.parity.true, target.parity.predicted) == ((1.5, 2.5, 3.0), (1.0, 2.5, 4.0))
    assert target.calibration is None


def test_rows_may_come_in_any_order() -> None:
    two = judged([1.0, 2.0, 5.0, 5.0], [0.0] * 4, rows=[7, 7, 3, 3])
    [target] = made(two, [numbers_of("O"), numbers_of("U")], part="val").targets
    assert {each.element: each.mae for each in target.by_element} == {"O": 1.5, "U": 5.0}


def test_of_sites_the_errors_are_the_elements_own() -> None:
    lines = judged([1.0, 2.0, 3.0], [0.0, 0.0, np.nan], rows=[0, 0, 1])
    [target] = made(
        lines, [numbers_of("O", "Ti"), numbers_of("U")], part="test", of_sites=True
    ).targets
    assert {each.element: each.mae for each in target.by_element} == {"O": 1.0, "Ti": 2.0}


def test_coverage_is_counted_at_each_level() -> None:
    labels = np.zeros((100, 1))
    answers = np.linspace(0, 0.99, 100)[:, None]
    halves = {level: np.full((100, 1), level) for level in (0.25, 0.5, 0.9)}
    halves[0.9] = answers + 0.01
    [target] = made(
        judged(answers, labels), [numbers_of("O")] * 100, part="test", half_widths=halves
    ).targets
    assert target.calibration
    assert target.calibration.levels == (0.25, 0.5, 0.9)
    assert target.calibration.coverage == (0.26, 0.51, 1.0)
    assert [each.n for each in target.widths] == [10] * 10
    assert target.widths[0].mae == pytest.approx(0.045)
    assert target.parity
    assert target.parity.level == 0.9


def test_each_structure_has_one_vote() -> None:
    lines = judged([0.0] * 5, [0.0, 0.0, 0.0, 0.0, 9.0], rows=[4, 4, 4, 4, 2])
    halves = {0.9: np.ones((5, 1))}
    numbers = [numbers_of("O"), numbers_of("U")]
    [target] = made(lines, numbers, part="test", half_widths=halves).targets
    assert target.calibration
    assert target.calibration.coverage == (0.5,)


def test_intervals_without_end_are_no_trouble() -> None:
    halves = {0.9: np.full((20, 1), np.inf)}
    halves[0.9][:10] = 0.1
    found = made(
        judged(np.zeros(20), np.full(20, 0.5)), [numbers_of("O")] * 20, part="test", half_widths=halves
    )  # fmt: skip
    assert found.targets[0].calibration
    assert found.targets[0].calibration.coverage == (0.5,)
    Figures.model_validate_json(figures_bytes(found))


def test_a_target_without_intervals_has_no_calibration() -> None:
    halves = {0.9: np.column_stack([np.ones(20), np.full(20, np.nan)])}
    lines = judged(np.zeros((20, 2)), np.full((20, 2), 0.5))
    first, second = made(lines, [numbers_of("O")] * 20, part="test", half_widths=halves).targets
    assert first.calibration
    assert first.calibration.coverage == (1.0,)
    assert second.calibration is None
    assert second.parity
    assert second.parity.half_width is None


def test_ranks_are_told_apart() -> None:
    bonds = Judged.bonds(
        np.array([0, 1]), np.array([[2.0, 3.0], [2.0, 3.0]]), np.array([[2.1, 3.5], [2.1, 3.3]])
    )
    [target] = made(bonds, [numbers_of("O", "Pt")] * 2, part="test").targets
    assert [(each.rank, each.mae, each.n) for each in target.ranks] == [(1, 0.1, 2), (2, 0.4, 2)]
    assert target.parity
    assert target.parity.rank == (1, 2, 1, 2)


def test_a_classifier_has_its_curve_and_its_reliability() -> None:
    lines = judged([0.9, 0.8, 0.3, 0.1], [1.0, 0.0, 1.0, 0.0])
    [target] = made(lines, [numbers_of("O")] * 4, part="test", classifies=True).targets
    found = target.classified
    assert found
    assert found.auc == 0.75
    assert found.false_positive == (0.0, 0.0, 0.5, 0.5, 1.0)
    assert found.true_positive == (0.0, 0.5, 0.5, 1.0, 1.0)
    assert [(each.probability, each.share, each.n) for each in found.bins] == [
        (0.1, 0.0, 1), (0.3, 1.0, 1), (0.8, 0.0, 1), (0.9, 1.0, 1),
    ]  # fmt: skip


def test_the_file_stays_small_however_many_rows_judge() -> None:
    chance = np.random.default_rng(0)
    labels = chance.normal(size=(50_000, 3)) * 1e-3 - 1234.5
    found = made(judged(labels, labels), [numbers_of("O")] * 50_000, part="test")
    points = [len(target.parity.true) for target in found.targets if target.parity]
    assert sum(points) <= POINTS
    assert len(figures_bytes(found)) < 100_000
    first = found.targets[0].parity
    assert first
    assert len(set(first.true)) > 0.9 * len(first.true)  # rounded, but not to one number


def test_answers_beyond_all_bounds_do_not_count() -> None:
    found = made(
        judged([np.inf, 1e300, np.nan, 1.0], [0.0] * 4), [numbers_of("O")] * 4, part="test"
    )
    assert found.targets[0].n == 1


def test_nothing_judged_is_told_too() -> None:
    empty = Judged(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros(0, np.int64))
    assert made(empty, [], part="train").targets[0].n == 0
    assert made(empty, [], part="train", classifies=True).targets[0].n == 0


@pytest.mark.parametrize("stretch", [1.0, 1.1])
@pytest.mark.parametrize("order", [range(5), (2, 1, 4, 0, 3)])
@pytest.mark.parametrize("anions", [("O", "O", "O"), ("N", "N", "O")])
def test_a_and_b_are_told_by_their_neighbours(
    stretch: float, order: Any, anions: tuple[str, ...]
) -> None:
    found = roles(graph("Sb", "Te", *anions, stretch=stretch, order=order))
    assert found is not None
    wanted = np.array([A, B, 0, 0, 0], np.int8)[list(order)]
    assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize("order", [range(5), (2, 1, 4, 0, 3)])
@pytest.mark.parametrize(
    ("symbols", "edge", "heights"),
    [
        (("Re", "Te", "S", "O", "O"), 4.551, (0.305, 0.552, 0.24, 0.398, 0.962)),
        (("Mg", "Te", "F", "N", "O"), 4.366, (0.298, 0.574, 0.304, 0.48, 0.006)),
        (("Zr", "Sr", "N", "N", "O"), 4.424, (0.097, 0.6, 0.136, 0.136, 0.102)),
    ],
)
def test_what_has_moved_far_from_its_place_keeps_its_role(
    symbols: tuple[str, ...], edge: float, heights: tuple[float, ...], order: Any
) -> None:
    """Tellurium beside nitrogen or sulphur is a cation; zirconium in the plane of the anions is still A."""
    across = np.array([(0, 0), (0.5, 0.5), (0, 0.5), (0.5, 0), (0.5, 0.5)])
    places, at = np.column_stack([heights, across]), list(order)
    moved = Structure("a", np.eye(3) * edge, numbers_of(*symbols)[at], places[at])
    found = featurise(moved, GraphSettings())
    assert isinstance(found, Graph)
    told = roles(found)
    assert told is not None
    assert told.tolist() == np.array([A, B, 0, 0, 0])[at].tolist()


def test_what_is_no_perovskite_has_neither(crystals: list[Structure]) -> None:
    assert (
        roles(graph("Ga", "N", "Mn", "Mn", "Mn")) is None
    )  # upside down: metals around a nitrogen
    for each in crystals[1:]:  # the first is strontium titanate
        found = featurise(each, GraphSettings())
        assert isinstance(found, Graph)
        assert roles(found) is None


def test_tables_hold_the_means_of_each_element() -> None:
    graphs = [graph("Ba", "Ti", "O", "O", "O"), graph("Sr", "Ti", "O", "O", "O")] * 20
    one, other = np.array([[1.0], [2], [3], [4], [5]]), np.array([[0.0], [4], [3], [4], [5]])
    found = tables(sites_of("contributions", graphs, [one, other] * 20))
    assert (found.structures, found.perovskites) == (40, 40)
    [(every, a, b)] = found.targets
    assert {each.element: (each.mean, each.n) for each in every.elements} == {
        "O": (4.0, 120), "Ti": (3.0, 40), "Sr": (0.0, 20), "Ba": (1.0, 20),
    }  # fmt: skip
    assert {each.element: each.mean for each in a.elements} == {"Sr": 0.0, "Ba": 1.0}
    assert [(each.element, each.mean, each.n) for each in b.elements] == [("Ti", 3.0, 40)]
    assert b.elements[0].std == pytest.approx(np.std([2.0, 4.0] * 20, ddof=1), rel=1e-4)


def test_a_few_perovskites_among_others_make_no_tables(crystals: list[Structure]) -> None:
    others = [featurise(each, GraphSettings()) for each in crystals[1:]] * 100
    graphs = [*[graph("Ba", "Ti", "O", "O", "O")] * 40, *others]
    values = [np.zeros((each.n_sites, 1)) for each in graphs]
    found = tables(sites_of("contributions", graphs, values))
    assert [each.site for each in found.targets[0]] == ["any"]
    assert found.perovskites == 0


@pytest.mark.parametrize(
    ("family", "network", "kind"),
    [
        ("crystal", NetworkSettings(readout="linear"), "contributions"),
        ("crystal", NetworkSettings(readout="full", hidden_layers=0), "contributions"),
        ("crystal", NetworkSettings(readout="full"), None),
        ("crystal", NetworkSettings(), None),
        ("crystal", NetworkSettings(readout="linear", task="classification", outputs=2), None),
        ("site", SiteNetworkSettings(), "predictions"),
        ("bond", BondNetworkSettings(), None),
    ],
)
def test_only_sums_over_sites_have_tables(family: str, network: Any, kind: str | None) -> None:
    assert kind_of(card_of(family=family, network=network)) == kind

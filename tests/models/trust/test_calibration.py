"""Intervals on errors of which all is known."""

import numpy as np
import pytest

from models.trust.calibration import Difficulty, factors, out_of_fold, votes_of
from models.trust.ranks import auroc, rank_correlation
from models.trust.told import Intervals


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A column that tells how large an error is, one that tells nothing, and errors."""
    chance = np.random.default_rng(seed)
    columns = chance.normal(size=(count, 2))
    return columns, np.exp(0.7 * columns[:, 0]) * chance.standard_t(4, count)


def calibrated(count: int) -> tuple[Difficulty, Intervals]:
    columns, errors = drawn(count, 1)
    kinds, owners = np.zeros(count, np.int64), np.arange(count)
    difficulty = Difficulty.fitted(columns, kinds, errors, votes_of(owners))
    levels, found = factors(out_of_fold(columns, kinds, errors, owners), owners)
    return difficulty, Intervals(rows=count, levels=levels, factors=found)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_intervals_hold_as_often_as_they_say(level: float) -> None:
    difficulty, intervals = calibrated(400)
    columns, errors = drawn(20_000, 2)
    factor = intervals.factor(level)
    assert factor is not None
    within = np.abs(errors) <= factor * difficulty.of(columns, np.zeros(len(errors), np.int64))
    # Of 400 rows the quantile itself is known to about √(level (1 - level) / 400).
    assert abs(within.mean() - level) < 3.5 * np.sqrt(level * (1 - level) / 400)


def test_the_unit_of_the_errors_does_not_matter() -> None:
    columns, errors = drawn(300, 4)
    kinds, votes = np.zeros(300, np.int64), np.ones(300)
    usual = Difficulty.fitted(columns, kinds, errors, votes).of(columns, kinds)
    tiny = Difficulty.fitted(columns, kinds, 1e-25 * errors, votes).of(columns, kinds)
    np.testing.assert_allclose(1e25 * tiny, usual, rtol=1e-6)
    assert np.isfinite(
        Difficulty.fitted(columns, kinds, 0 * errors, votes).of(columns, kinds)
    ).all()


def test_nothing_is_harder_than_all_that_it_was_learned_from() -> None:
    columns, errors = drawn(300, 4)
    kinds = np.zeros(300, np.int64)
    difficulty = Difficulty.fitted(columns, kinds, errors, np.ones(300))
    hardest = difficulty.of(columns, kinds).max()
    assert difficulty.of(columns + 100, kinds).tolist() == [pytest.approx(hardest)] * 300


def test_errors_that_grow_no_more_have_intervals_that_grow_no_more() -> None:
    """They level off at e; the exponential, which has to be right for all, would go on to thirty."""
    chance = np.random.default_rng(7)
    columns = chance.normal(size=(1_000, 1))
    errors = np.exp(2 * np.minimum(columns[:, 0], 0.5)) * chance.laplace(size=1_000)
    kinds = np.zeros(1_000, np.int64)
    difficulty = Difficulty.fitted(columns, kinds, errors, np.ones(1_000))
    assert difficulty.of(np.array([[3.0]]), kinds[:1]) == pytest.approx(np.e, rel=0.25)


def test_wider_intervals_have_larger_errors() -> None:
    difficulty, _ = calibrated(200)
    columns, errors = drawn(5_000, 3)
    widths = difficulty.of(columns, np.zeros(len(errors), np.int64))
    correlation = rank_correlation(widths, np.abs(errors))
    assert correlation is not None
    assert correlation > 0.3


def test_a_column_that_would_narrow_wrongly_is_left_out() -> None:
    columns, errors = drawn(300, 4)
    columns[:, 0] *= -1
    difficulty = Difficulty.fitted(columns, np.zeros(300, np.int64), errors, np.ones(300))
    assert (difficulty.weights >= 0).all()
    assert difficulty.weights[0] == 0


def test_few_rows_tell_of_no_high_level() -> None:
    levels, found = factors(np.arange(1.0, 31.0), np.arange(30))
    intervals = Intervals(rows=30, levels=levels, factors=found)
    assert intervals.factor(0.9) == 28  # the 28th of 30: ⌈31 × 0.9⌉
    assert intervals.factor(0.99) is None
    assert intervals.highest == pytest.approx(30 / 31)


def test_every_structure_has_one_vote() -> None:
    chance = np.random.default_rng(0)
    owners = np.concatenate([np.zeros(1_000, np.int64), np.arange(1, 100)])
    scores = np.concatenate([np.full(1_000, 100.0), chance.random(99)])
    levels, found = factors(scores, owners)
    assert found[levels.index(0.9)] < 1  # though nine lines in ten say 100


def test_sites_that_err_together_keep_the_coverage_over_structures() -> None:
    chance = np.random.default_rng(5)

    def of(structures: int) -> tuple[np.ndarray, np.ndarray]:
        owners = np.repeat(np.arange(structures), chance.integers(1, 40, structures))
        common = np.exp(chance.normal(size=structures))
        return owners, common[owners] * np.abs(chance.normal(size=len(owners)))

    owners, scores = of(300)
    levels, found = factors(scores, owners)
    owners, new = of(4_000)
    within = np.average(new <= found[levels.index(0.9)], weights=votes_of(owners))
    assert 0.86 < within < 0.94


def test_kinds_have_errors_of_their_own() -> None:
    chance = np.random.default_rng(6)
    kinds = chance.integers(0, 2, 400)
    errors = chance.laplace(size=400) * np.where(kinds == 1, 5.0, 1.0)
    difficulty = Difficulty.fitted(np.zeros((400, 1)), kinds, errors, np.ones(400))
    easy, hard = difficulty.of(np.zeros((2, 1)), np.array([0, 1]))
    assert 3 < hard / easy < 7


def test_ranks_are_those_of_spearman_and_of_a_roc_curve() -> None:
    assert rank_correlation(np.array([1.0, 2, 3, 4]), np.array([1.0, 10, 100, 99])) == 0.8
    assert rank_correlation(np.ones(5), np.arange(5.0)) is None
    assert auroc(np.array([0.0, 1, 2]), np.array([1.0, 3])) == pytest.approx((1.5 + 3) / 6)

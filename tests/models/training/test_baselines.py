"""Simple methods, on data of which their answers are known."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from models.datasets.stored import Stored
from models.families.family import Family
from models.settings.graph import GraphSettings
from models.training import judging
from models.training.baselines import baselines, best, element_average, neighbours_mlp
from models.training.dataset import Dataset, Labels
from models.training.judging import Judged
from models.training.plan import Plan
from models.training.source import Source, read
from models.training.split import Split

NONE = np.array([], np.int64)


@dataclass(frozen=True)
class Slab:
    """What the baselines of bonds ask of a sample."""

    numbers: np.ndarray[Any, Any]
    candidate: np.ndarray[Any, Any]
    initial: np.ndarray[Any, Any]


def source_of(folder: Path, stored: Path, **changes: Any) -> tuple[Source, Plan]:
    order = json.loads((folder / "order.json").read_bytes())["order"]
    plan = Plan.model_validate(order | changes)
    return read(Stored(stored), plan, GraphSettings(), lambda _done, _total: None), plan


def bonds(slabs: Sequence[Slab], distances: list[list[float]], train: int) -> Source:
    count = len(slabs)
    data = Dataset(
        slabs, Labels.one_a_row(np.zeros((count, 1))), cast("Family", SimpleNamespace()), (),
        np.array(distances),
    )  # fmt: skip
    parts = Split(np.arange(train), NONE, np.arange(train, count))
    return Source(data, np.arange(count), cast("Stored", None), None, 0, {}, (), parts)


def slab(metal: int, initial: list[float]) -> Slab:
    return Slab(np.array([6, metal, metal]), np.array([1, 2]), np.array(initial))


def test_the_mean_is_that_of_the_training_rows(ordered: Callable[..., Path], stored: Path) -> None:
    source, plan = source_of(ordered(), stored)
    values = source.data.labels.values[:, 0]

    found = baselines(source, plan.family, source.parts.train, classifies=False)

    error = np.abs(values[source.parts.test] - values[source.parts.train].mean()).mean()
    assert found["mean"]["test"]["mae"] == pytest.approx(error)


def test_few_rows_are_held_against_what_few_rows_taught(
    ordered: Callable[..., Path], stored: Path
) -> None:
    source, plan = source_of(ordered(), stored)
    few = source.parts.train[:12]
    values = source.data.labels.values[few, 0]

    found = baselines(source, plan.family, few, classifies=False)

    assert found["mean"]["train"]["mae"] == pytest.approx(np.abs(values - values.mean()).mean())


def test_sites_have_the_mean_of_their_element(ordered: Callable[..., Path], stored: Path) -> None:
    target = [{"column": "charge", "property": "ddec-charge", "unit": "e"}]
    source, _ = source_of(ordered(), stored, family="site", targets=target)

    found = element_average(source, source.parts.train)

    anions = np.concatenate([sample.numbers for sample in source.data.samples]) < 11
    assert found[anions] == pytest.approx(-1.0)


def test_neighbours_are_learned_by_the_perceptron(
    ordered: Callable[..., Path], stored: Path
) -> None:
    target = [{"column": "charge", "property": "ddec-charge", "unit": "e"}]
    source, _ = source_of(ordered(), stored, family="site", targets=target)

    found = neighbours_mlp(source, source.parts.train)

    labels = source.data.labels.values
    taught = source.data.labels.places(source.parts.train)
    assert np.nanmean(np.abs(found - labels)[taught]) < 0.05
    assert np.array_equal(found, neighbours_mlp(source, source.parts.train))


def test_bonds_have_the_mean_of_their_metal_and_where_they_began() -> None:
    slabs = [slab(29, [2.0, 2.5]), slab(29, [2.0, 2.5]), slab(46, [2.2, 2.4]), slab(29, [2.1, 2.0])]
    source = bonds(slabs, [[1.0, 2.0], [3.0, 4.0], [9.0, 9.5], [2.0, 3.5]], train=3)

    found = baselines(source, "bond", source.parts.train, classifies=False)

    assert found["metal mean"]["test"]["mae_1"] == pytest.approx(0.0)
    assert found["metal mean"]["test"]["mae_2"] == pytest.approx(0.5)
    assert found["initial distance"]["test"]["mae_1"] == pytest.approx(0.0)
    assert found["initial distance"]["test"]["mae_2"] == pytest.approx(1.4)


def test_the_best_baseline_has_least_error_or_largest_area() -> None:
    found = {"a": {"test": {"mae": 2.0, "auc": 0.5}}, "b": {"test": {"mae": 1.0, "auc": 0.4}}}

    assert best(found, "test", "mae") == ("b", 1.0)
    assert best(found, "test", "auc") == ("a", 0.5)
    assert best(found, "val", "mae") is None


def test_figures_by_target_rank_and_element() -> None:
    two = Judged(np.array([[1.0, 2.0], [2.0, 2.0]]), np.array([[1.0, 1.0], [2.5, np.nan]]), NONE)
    ranks = Judged.bonds(np.arange(2), np.array([[1.0, 2], [1, 3]]), np.array([[1.0, 2], [2, 5]]))

    of_two = judging.figures(two, classifies=False, properties=("a", "b"))

    assert of_two["mae:a"] == 0.25
    assert of_two["mae:b"] == 1
    assert of_two["mae"] == 0.625
    assert judging.figures(ranks, classifies=False)["mae_2"] == 1
    assert judging.by_element(two, np.array([8, 9]), str)["9"] == {"mae": 0.5, "n": 1}

"""What a training leaves beside its model for people to look at."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.card import Card
from models.figures import kept
from models.figures.told import Figures
from models.infer import load
from models.settings.network import NetworkSettings, SiteNetworkSettings
from models.training.course import Work, learn
from models.training.reports import Reports

Ordered = Callable[..., Path]
LINEAR = NetworkSettings(convolutions=1, width=8, readout="linear").model_dump(mode="json")
SITES = SiteNetworkSettings(convolutions=1, width=8, site_width=8).model_dump(mode="json")
CHARGE = {"column": "charge", "property": "bader-charge", "unit": "e"}
METAL = {"column": "metal", "property": "metal-probability", "unit": "probability"}
CLASSIFIER = NetworkSettings(
    convolutions=1, width=8, hidden_width=8, task="classification", outputs=2
).model_dump(mode="json")


def learned(folder: Path) -> tuple[Card, Figures]:
    learn(Work.of(folder), lambda: False)
    card = Card.model_validate_json((folder / "model" / "card.json").read_bytes())
    figures = kept.read(card, folder / "model")
    assert figures is not None
    return card, figures


def test_the_figures_are_those_of_the_card(ordered: Ordered) -> None:
    card, figures = learned(ordered(network=LINEAR))
    assert figures.part == "test"
    [target] = figures.targets
    assert target.mae == pytest.approx(card.metrics["test"]["mae"], rel=1e-4)
    assert target.parity
    assert card.training
    assert len(target.parity.true) == card.training.rows["test"]


def test_the_sites_of_all_elements_sum_to_what_is_predicted(ordered: Ordered) -> None:
    folder = ordered(network=LINEAR, seeds=[0, 1], members=2)
    _, figures = learned(folder)
    source = Work.of(folder).source(Reports(None))
    graphs = [source.data.samples[row] for row in source.parts.train]
    answers = load(folder / "model", "cpu").answer(graphs)
    assert figures.elements
    assert figures.elements.structures == len(graphs)
    [[table]] = figures.elements.targets
    total = sum(each.mean * each.n for each in table.elements)
    wanted = sum(one.values[0] * each.n_sites for one, each in zip(answers, graphs, strict=True))
    assert total == pytest.approx(wanted, rel=1e-3)
    assert sum(each.n for each in table.elements) == sum(each.n_sites for each in graphs)


@pytest.mark.parametrize(
    ("changes", "files"),
    [
        ({"network": LINEAR}, {"parity.svg", "elements.svg", "errors.svg", "curve.svg"}),
        ({"family": "site", "targets": [CHARGE], "network": SITES}, {"parity.svg", "elements.svg"}),
        ({"targets": [METAL], "network": CLASSIFIER}, {"roc.svg", "calibration.svg", "curve.svg"}),
    ],
)
def test_every_training_is_drawn(
    ordered: Ordered, changes: dict[str, Any], files: set[str]
) -> None:
    folder = ordered(**changes)
    learned(folder)
    assert files <= {each.name for each in (folder / "model").iterdir()}


@pytest.mark.parametrize(("test", "part"), [(0, "val"), (0.2, "test")])
def test_intervals_are_not_judged_by_the_rows_they_were_made_from(
    ordered: Ordered, test: float, part: str
) -> None:
    card, figures = learned(
        ordered(network=LINEAR, split={"by": "random", "val": 0.4, "test": test})
    )
    assert card.intervals
    assert figures.part == part
    assert bool(figures.targets[0].calibration) == (part == "test")


def test_a_training_without_rows_to_judge_by_is_drawn_by_those_it_learned_from(
    ordered: Ordered,
) -> None:
    card, figures = learned(ordered(split={"by": "random", "val": 0, "test": 0}))
    assert figures.part == "train"
    assert figures.targets[0].n == 40
    assert figures.elements is None  # the mean of vectors, not of scalars
    assert json.loads(card.model_dump_json())["figures_sha256"]

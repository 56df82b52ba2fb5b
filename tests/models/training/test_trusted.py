"""What a training leaves for others to know how far to trust its model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.catalogue import GUIDE
from models.datasets.stored import Stored
from models.infer import load
from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings, SiteNetworkSettings
from models.training.course import Work, learn
from models.training.judge import judge
from models.training.reports import Reports

Ordered = Callable[..., Path]
SPLIT = {"by": "random", "val": 0.3, "test": 0.3}


def run(folder: Path) -> dict[str, Any]:
    learn(Work.of(folder), lambda: False)
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def test_a_training_calibrates_its_model(ordered: Ordered, stored: Path) -> None:
    folder = ordered(split=SPLIT)

    told = run(folder)["trust"]

    model = load(folder / "model", "cpu")
    assert model.card.intervals is not None
    assert model.card.domain is not None
    assert model.card.intervals[0].rows == 12
    assert told["intervals"][0]["coverage"] == model.card.intervals[0].coverage
    assert told["domain"]["rows"] == model.card.domain.rows == 16
    assert (folder / "model" / GUIDE).is_file()
    sample = Stored(stored).samples(GraphSettings())[0]
    trust = model.answer([sample], neighbours=True)[0].trust
    assert trust is not None
    assert trust.nearest is not None
    assert trust.nearest[0].name in Stored(stored).names


def test_sites_are_calibrated_structure_by_structure(ordered: Ordered) -> None:
    target = {"column": "charge", "property": "charge", "unit": "e"}
    network = SiteNetworkSettings(convolutions=1, width=8).model_dump(mode="json")
    told = run(ordered(family="site", targets=[target], network=network, split=SPLIT))["trust"]

    assert told["intervals"][0]["rows"] == told["intervals"][0]["judged"] == 12


def test_classes_have_reliability_and_no_intervals(ordered: Ordered) -> None:
    network = NetworkSettings(convolutions=1, width=8, task="classification", outputs=2)
    target = {"column": "metal", "property": "metal", "unit": "1"}
    told = run(ordered(targets=[target], network=network.model_dump(mode="json"), split=SPLIT))[
        "trust"
    ]

    assert told["intervals"] is None
    assert sum(each["count"] for each in told["reliability"]["bins"]) == 12
    assert 0 <= told["reliability"]["error"] <= 1


def test_no_validation_rows_no_intervals(ordered: Ordered) -> None:
    told = run(ordered(split={"by": "random", "val": 0.0, "test": 0.2}))["trust"]

    assert told["intervals"] is None
    assert told["domain"]["rows"] == 32


def test_an_evaluation_tells_how_the_intervals_do(ordered: Ordered, stored: Path) -> None:
    folder = ordered(split=SPLIT)
    run(folder)
    order = {"dataset": str(stored), "model": str(folder / "model"), "device": "cpu"}
    order["columns"] = {"formation-energy-per-atom": "energy"}  # type: ignore[assignment]

    found = judge(order, Reports(None)).result()["intervals"][0]

    assert found["judged"] == 40
    assert 0.7 < found["coverage"]["0.9"] <= 1
    assert "rank_correlation" in found

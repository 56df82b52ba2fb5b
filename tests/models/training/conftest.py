"""A small stored data set, and an order to learn from it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.datasets.writing import About, Plan, Writer
from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings
from models.settings.training import TrainingSettings
from models.structures.structure import Structure

ROWS = 40
HALVES = [[0, 0, 0], [0.5, 0.5, 0.5]]
NETWORK = NetworkSettings(convolutions=1, width=8, hidden_width=8)
TARGET = {"column": "energy", "property": "formation-energy-per-atom", "unit": "eV/atom"}


def structures(count: int = ROWS) -> list[Structure]:
    """Crystals of two elements in a cubic cell, no two alike."""
    chance = np.random.default_rng(3)
    return [
        Structure(
            f"crystal {at}",
            np.eye(3) * (3.5 + chance.uniform(0, 0.8)),
            np.array([11 + at % 20, 8 + at % 3], np.uint8),
            np.array(HALVES),
        )
        for at in range(count)
    ]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The folder of a data set with columns of several kinds."""
    columns = (
        ("energy", "number"), ("gap", "number"), ("metal", "number"), ("word", "text"),
        ("family", "text"), ("part", "text"), ("flock", "text"), ("charge", "site"), ("same", "number"),
    )  # fmt: skip
    folder = tmp_path / "set"
    with Writer(folder, [Plan(*column) for column in columns]) as writer:  # type: ignore[arg-type]
        for at, each in enumerate(structures()):
            energy = float(each.lattice[0, 0] - 0.05 * each.numbers[0])
            charge = [0.1 * float(each.numbers[0]), None if at % 4 == 0 else -1.0]
            writer.add(
                each,
                {
                    "energy": energy,
                    "gap": energy * 2 if at % 5 == 0 else None,
                    "metal": float(at % 3 == 0),
                    "word": "yes" if at % 3 == 0 else "no",
                    "family": f"f{at % 7}",
                    "part": ("test", "val", "train", "train")[at % 4],
                    "flock": f"f{at % 8}",
                    "charge": charge,
                    "same": 1.0,
                },
            )
        writer.close(About("set_1", "little", "me", "little.jsonl"))
    return folder


@pytest.fixture
def ordered(stored: Path, tmp_path: Path) -> Callable[..., Path]:
    """A job's folder with an order; what is given differs from a short training on energies."""

    def order(name: str = "job", settings: dict[str, Any] | None = None, **changes: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        training = TrainingSettings(**{"epochs": 4, "batch_size": 8} | (settings or {}))
        parts: dict[str, Any] = {
            "family": "crystal", "targets": [TARGET], "recipe": "best", "seeds": [0],
            "input": GraphSettings().model_dump(mode="json"),
            "network": NETWORK.model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
            "split": {"by": "random", "val": 0.2, "test": 0.2},
        }  # fmt: skip
        start = changes.pop("start_from", None)
        told = {"order": parts | changes, "dataset": str(stored), "start_from": start}
        told |= {"name": "little-energy", "device": "cpu", "threads": 1}
        (folder / "order.json").write_text(json.dumps(told))
        return folder

    return order

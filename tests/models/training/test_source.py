"""From stored rows to labels, and what is said of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.datasets.stored import Stored
from models.datasets.writing import About, Plan, Writer
from models.families.recipes import resolved
from models.structures.structure import Structure
from models.training.loop import Report
from models.training.plan import Plan as Order
from models.training.plan import classes_of
from models.training.record import curve
from models.training.source import read

Make = Callable[..., Structure]


def test_labels_of_skewed_cells_are_said_to_be_those_of_one(make: Make, tmp_path: Path) -> None:
    hexagonal = [[2.46, 0, 0], [-1.23, 1.23 * 3**0.5, 0], [0, 0, 15]]
    sites = [[0, 0, 0.5], [1 / 3, 2 / 3, 0.5]]
    with Writer(tmp_path / "set", [Plan("energy", "number")]) as writer:
        for at in range(12):
            cell = np.array(hexagonal) * (1 + at / 100) if at % 2 else [2.5, 4.3, 15]
            writer.add(make(cell, [6, 6], sites), {"energy": float(at)})
        writer.close(About("set_1", "sheets", "me", "sheets.jsonl"))
    made = resolved("image", "best", {"box": "cell"}, targets=1, classifies=False)
    target = {"column": "energy", "property": "energy", "unit": "eV"}
    order = Order(family="image", targets=[target], input={}, network={}, training={})

    source = read(Stored(tmp_path / "set"), order, made.input, lambda _done, _total: None)

    assert source.notes[0].startswith("The cells of 6 rows are not orthogonal")


def test_rows_that_stay_together_are_one_witness(make: Make, tmp_path: Path) -> None:
    with Writer(
        tmp_path / "set", [Plan("energy", "number"), Plan("metal", "text"), Plan("part", "text")]
    ) as writer:
        for at in range(30):
            labels = {
                "energy": float(at),
                "metal": None if at > 27 else str(at // 4),
                "part": ("train", "train", "val", "test")[at // 4 % 4],
            }
            writer.add(make([3 + at / 100] * 3, [[6, 14, 32][at % 3]], [[0, 0, 0]]), labels)
        writer.close(About("set_1", "crystals", "me", "crystals.jsonl"))
    made = resolved("crystal", "best", {}, targets=1, classifies=False)
    target = {"column": "energy", "property": "energy", "unit": "eV"}

    notes: list[str] = []

    def groups(**split: str) -> list[int]:
        order = Order(
            family="crystal", targets=[target], split=split, input={}, network={}, training={}
        )
        source = read(Stored(tmp_path / "set"), order, made.input, lambda _done, _total: None)
        notes[:] = source.notes
        return source.data.groups.tolist()

    found = groups(by="group", column="metal")
    assert "2 of 30 rows have no group: each is one by itself." in notes
    assert [found.index(one) for one in found] == [at // 4 * 4 for at in range(28)] + [28, 29]
    assert groups(by="given", column="part", together="metal") == found
    assert len(set(groups(by="given", column="part"))) == 30
    assert len(set(groups(by="composition"))) == 3
    assert notes == []
    assert len(set(groups(by="random"))) == 30


def test_rows_that_judge_what_was_taught_are_counted(make: Make, tmp_path: Path) -> None:
    parts = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
    again = {7: 0, 9: 1, 10: 1}  # the structure of which other row
    with Writer(tmp_path / "set", [Plan("energy", "number"), Plan("part", "text")]) as writer:
        for at, part in enumerate(parts):
            cell = [3 + again.get(at, at) / 100] * 3
            writer.add(make(cell, [6], [[0, 0, 0]]), {"energy": float(at), "part": part})
        writer.close(About("set_1", "crystals", "me", "crystals.jsonl"))
    made = resolved("crystal", "best", {}, targets=1, classifies=False)
    target = {"column": "energy", "property": "energy", "unit": "eV"}
    split = {"by": "given", "column": "part"}
    order = Order(
        family="crystal", targets=[target], split=split, input={}, network={}, training={}
    )

    source = read(Stored(tmp_path / "set"), order, made.input, lambda _done, _total: None)

    assert source.notes[0].startswith(
        "3 of the 6 rows that choose or judge have the very structure"
    )


@pytest.mark.parametrize(
    ("values", "names", "told", "expected"),
    [
        (["metal", "semiconductor", None], None, "metal-probability", ("semiconductor", "metal")),
        (["metal", "semiconductor"], None, "gap-probability", ("metal", "semiconductor")),
        (["metal", "semiconductor"], ("semiconductor", "metal"), "", ("semiconductor", "metal")),
        ([1.0, 0.0], ("no", "yes"), "metal-probability", (0.0, 1.0)),
    ],
)
def test_yes_is_the_class_whose_probability_is_told(
    values: list[Any], names: tuple[str, str] | None, told: str, expected: tuple[Any, Any]
) -> None:
    assert classes_of(values, names, told) == expected


def test_a_curve_leaves_out_what_no_json_can_tell() -> None:
    wild = Report(1, 9.0, {"mae": 1.0, "loss": float("inf")}, 0.1, 1.0)

    assert curve([wild])[0].val == {"mae": 1.0}

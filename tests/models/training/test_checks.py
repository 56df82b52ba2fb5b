"""What cannot be learned is found before any training starts, from the light files of a data set."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.datasets.labels import STRUCTURES
from models.datasets.manifest import Manifest
from models.datasets.stored import Stored
from models.errors import BadSetting, UnfitDataset
from models.settings.graph import GraphSettings
from models.training.checks import check
from models.training.parts import divided
from models.training.plan import Plan
from models.training.source import read

Ordered = Callable[..., Path]
GIVEN = {"by": "given", "column": "part"}
CLASSES = {"task": "classification", "outputs": 2}
SITE = {"family": "site", "network": {"outputs": 1}}


def target(column: str) -> list[dict[str, str]]:
    return [{"column": column, "property": "band-gap", "unit": "eV"}]


def checked(folder: Path, stored: Path) -> None:
    manifest = Manifest.model_validate_json((stored / "manifest.json").read_bytes())
    columns = json.loads((stored / "columns.json").read_bytes())
    check(manifest, columns, json.loads((folder / "order.json").read_bytes())["order"])


@pytest.mark.parametrize(
    ("changes", "place", "said"),
    [
        ({"targets": target("enrgy")}, "targets.0.column", "Did you mean energy?"),
        ({"targets": target("word")}, "targets.0.column", "a word a row"),
        ({"targets": target("charge")}, "targets.0.column", "1 numbers a site"),
        ({"targets": target("same")}, "targets.0.column", "1 everywhere"),
        ({"targets": target("gap")}, "targets", "at least 10 training rows"),
        ({"targets": target("energy"), **SITE}, "targets.0.column", "one number a site"),
        ({"targets": target("family"), "network": CLASSES}, "targets.0.column", "7 different values"),
        ({"targets": target("word"), "network": CLASSES, "classes": ["a", "b"]}, "classes", "no, yes"),
        ({"targets": target("energy"), "network": {"outputs": 2}}, "targets", "not classes"),
        ({"split": {"by": "group", "column": "famly"}}, "split.column", "Did you mean family?"),
        ({"split": {"by": "group", "column": "charge"}}, "split.column", "one word or number a row"),
        ({"split": {"by": "group", "column": "same"}}, "split", "without a labelled row"),
        ({"split": {"by": "given", "column": "family"}}, "split.column", "train, val, test"),
        ({"split": GIVEN | {"together": "flocks"}}, "split.together", "Did you mean flock?"),
        ({"split": GIVEN | {"together": "charge"}}, "split.together", "one word or number a row"),
        ({"split": GIVEN | {"together": "family"}}, "split.together", "f0 in test and train and val"),
        ({"rows": 1000}, "rows", "10 to"),
        ({"family": "bond", "targets": target("charge")}, "targets.0.column", "a list of distances"),
    ],
)  # fmt: skip
def test_an_unfit_data_set_is_refused(
    ordered: Ordered, stored: Path, changes: dict[str, Any], place: str, said: str
) -> None:
    with pytest.raises(UnfitDataset) as error:
        checked(ordered(**changes), stored)

    assert error.value.place == place
    assert said in json.dumps(error.value.as_dict(), ensure_ascii=False)


def test_a_batch_is_no_smaller_than_the_devices_that_share_it(
    ordered: Ordered, stored: Path
) -> None:
    with pytest.raises(BadSetting, match="batch of 2") as error:
        checked(ordered(settings={"batch_size": 2}, devices=4), stored)

    assert error.value.place == "settings.batch_size"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"targets": target("charge"), **SITE},
        {"targets": target("word"), "network": CLASSES, "classes": ["yes", "no"]},
        {"targets": target("metal"), "network": CLASSES},
        {"split": {"by": "group", "column": "family"}},
        {"split": GIVEN},
        {"split": GIVEN | {"together": "flock"}},
        {"split": {"by": "composition"}, "rows": 12},
    ],
)
def test_a_fit_data_set_passes(ordered: Ordered, stored: Path, changes: dict[str, Any]) -> None:
    checked(ordered(**changes), stored)


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("by", ["random", "composition", "group", "given"])
def test_the_trainer_splits_as_the_service_foresees(
    ordered: Ordered, stored: Path, by: str, *, alike: bool
) -> None:
    split = {"by": by, "column": {"group": "family", "given": "part"}.get(by), "alike": alike}
    order = json.loads((ordered(split=split) / "order.json").read_bytes())["order"]
    plan, columns = Plan.model_validate(order), json.loads((stored / "columns.json").read_bytes())
    rows = plan.labelled(columns)

    source = read(Stored(stored), plan, GraphSettings(), lambda _done, _total: None)

    foreseen = dict(zip(rows, plan.parts(columns, rows), strict=True))
    for part in ("train", "val", "test"):
        found = source.rows[getattr(source.parts, part)].tolist()
        assert found == [row for row in rows if foreseen[row] == part]


def test_rows_of_the_same_structure_are_in_the_same_part_however_the_set_grows(
    ordered: Ordered,
) -> None:
    order = json.loads((ordered() / "order.json").read_bytes())["order"]
    plan = Plan.model_validate(order | {"split": {"by": "random", "alike": True}})
    numbers = list(range(1000, 1200))
    grown = [*range(5), *numbers, *numbers]

    before, after = (
        dict(zip(each, plan.parts({STRUCTURES: each}, range(len(each))), strict=True))
        for each in (numbers, grown)
    )

    twice = plan.parts({STRUCTURES: grown}, range(len(grown)))
    assert twice[5:205] == twice[205:]
    assert sum(before[each] != after[each] for each in numbers) < 5
    assert not [each for each in numbers if (before[each], after[each]) == ("train", "test")]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["1.5", "2,5", "3.25"], "'2,5'"),
        (["1.234,5", "2.5", "7,5"], "'1.234,5'"),
        (["1 eV", "2 eV", "deep"], "'1 eV'"),
        (["1.5", "2.5", "3.5"], "'1.5'"),
    ],
)
@pytest.mark.parametrize("network", [CLASSES, {"outputs": 1}])
def test_texts_that_are_meant_as_numbers_are_named(
    ordered: Ordered, stored: Path, texts: list[str], said: str, network: dict[str, Any]
) -> None:
    manifest = Manifest.model_validate_json((stored / "manifest.json").read_bytes())
    columns = json.loads((stored / "columns.json").read_bytes())
    columns["family"] = [texts[row % 3] for row in range(40)]
    changed = ordered(targets=target("family"), network=network)
    order = json.loads((changed / "order.json").read_bytes())["order"]

    with pytest.raises(UnfitDataset, match="where numbers are meant") as error:
        check(manifest, columns, order)

    assert said == error.value.got
    assert said in error.value.detail


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max": 1e308}, "label 1e.308 of crystal 7 in the column energy is too large"),
        ({"min": -1e39}, "label -1e.39 of crystal 7 in the column energy is too large"),
    ],
)
def test_a_label_that_no_network_can_hold_is_named_with_its_row(
    ordered: Ordered, stored: Path, values: dict[str, float], said: str
) -> None:
    told = json.loads((stored / "manifest.json").read_bytes())
    told["columns"][0] |= values
    columns = json.loads((stored / "columns.json").read_bytes())
    [columns["energy"][7]] = values.values()
    order = json.loads((ordered() / "order.json").read_bytes())["order"]

    with pytest.raises(UnfitDataset, match=said) as error:
        check(Manifest.model_validate(told), columns, order)

    assert error.value.got == f"{columns['energy'][7]:g}"


def test_a_set_too_small_for_its_parts_says_how_many_rows_it_takes(
    ordered: Ordered, stored: Path
) -> None:
    manifest = Manifest.model_validate_json((stored / "manifest.json").read_bytes())
    columns = json.loads((stored / "columns.json").read_bytes())
    few = {name: values[:2] for name, values in columns.items()}
    order = json.loads((ordered() / "order.json").read_bytes())["order"]

    with pytest.raises(UnfitDataset) as error:
        check(manifest, few, order)

    assert "12 rows" in str(error.value.hint)


def test_rows_given_to_parts_stay_there(ordered: Ordered, stored: Path) -> None:
    order = json.loads((ordered() / "order.json").read_bytes())["order"]
    plan = Plan.model_validate(order | {"split": GIVEN})

    source = read(Stored(stored), plan, GraphSettings(), lambda _done, _total: None)

    assert source.rows[source.parts.test].tolist() == list(range(0, 40, 4))


@pytest.mark.parametrize("sizes", [(1, 1, 1), (50, 1, 1), (1, 1, 50), (10, 10, 10), (3, 90, 2, 1)])
@pytest.mark.parametrize("seed", range(5))
def test_no_part_is_empty_where_there_are_three_groups(sizes: tuple[int, ...], seed: int) -> None:
    groups = [f"g{at}" for at, size in enumerate(sizes) for _ in range(size)]

    parts = divided(groups, 0.1, 0.1, seed)

    assert set(parts) == {"train", "val", "test"}


def test_parts_have_about_the_shares_asked_for() -> None:
    chance = np.random.default_rng(0)
    groups = [f"g{group}" for group in chance.integers(0, 300, 5000)]

    parts = divided(groups, 0.1, 0.2, 1)

    assert parts.count("val") == pytest.approx(500, abs=50)
    assert parts.count("test") == pytest.approx(1000, abs=50)
    assert "val" not in divided(groups, 0.0, 0.2, 1)


def test_what_the_service_asks_loads_no_numbers() -> None:
    program = "import sys, models.training.checks; print({'torch', 'numpy'} & set(sys.modules))"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"

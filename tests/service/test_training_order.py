"""What a training is made of, and everything that can be wrong with what is asked for."""

from pathlib import Path
from typing import Any

import pytest

from models.card import Target, TrainingRecord
from models.catalogue import RELEASED, Catalogue, card_bytes
from models.datasets.labels import STRUCTURES
from models.settings.network import NetworkSettings
from models.training.plan import Division
from service.evaluation_order import repeated
from service.forms import checked
from service.problems import Problem
from service.schemas.training import TrainingRequest
from service.training_order import Known, ordered
from tests.service.labelled import SET, columns_of, manifest_of
from workers.contract import TrainOrder, TuneOrder


@pytest.fixture
def known(tmp_path: Path, put_model: Any) -> Known:
    put_model(tmp_path, "tested", 1)
    return Known(manifest_of(), columns_of(), Catalogue([RELEASED, tmp_path]))


def order_of(known: Known, **body: Any) -> TrainOrder:
    made = ordered(checked(TrainingRequest, {"dataset": SET} | body), known)
    assert isinstance(made, TrainOrder)
    return made


def test_the_smallest_call_names_a_data_set_and_a_target(known: Known) -> None:
    order = order_of(known, target="band_gap")
    [target] = order.targets
    assert (target.property, target.unit) == ("band-gap", "eV")
    assert (order.family, order.recipe, order.seeds) == ("crystal", "best", (0,))
    assert (order.split.by, order.register_as) == ("random", "hard-things-band-gap")
    assert order.training["epochs"] > 0


@pytest.mark.parametrize(
    ("target", "family"),
    [("band_gap", "crystal"), ("ddec_charge", "site"), ("phase", "crystal")],
)
def test_the_column_tells_the_family(known: Known, target: str, family: str) -> None:
    assert order_of(known, target=target).family == family


def test_a_list_of_distances_is_learned_by_the_bond_family(known: Known) -> None:
    order = order_of(known, target={"column": "bond_distances", "unit": "Å"})
    assert order.family == "bond"


@pytest.mark.parametrize(
    ("more", "unit"), [({}, "GPa"), ({"unit": "kPa"}, "kPa"), ({"property": "bulk modulus"}, "GPa")]
)
def test_a_column_tells_the_unit_of_whatever_property(
    known: Known, more: dict[str, str], unit: str
) -> None:
    column = known.manifest.column("hardness")
    assert column is not None
    named = column.model_copy(update={"name": "härte (GPa)"})
    manifest = known.manifest.model_copy(update={"columns": (named,)})
    columns = {**known.columns, "härte (GPa)": known.columns["hardness"]}
    told = Known(manifest, columns, known.catalogue)

    order = order_of(told, target={"column": "härte (GPa)", "property": "hardness"} | more)

    assert order.targets[0].unit == unit
    with pytest.raises(Problem, match="'härte' is no name") as caught:
        order_of(told, target="härte (GPa)")
    assert "`property`" in str(caught.value.hint)


def test_several_targets_are_one_network(known: Known) -> None:
    order = order_of(known, targets=["band_gap", {"column": "hardness", "unit": "GPa"}])
    assert order.network["outputs"] == 2
    assert order.register_as == "hard-things-band-gap-hardness"


def test_an_ensemble_has_a_seed_for_each_member(known: Known) -> None:
    order = order_of(known, target="band_gap", members=3, seed=7)
    assert (order.members, order.seeds) == (3, (7, 8, 9))
    assert order_of(known, target="band_gap", seeds=[1, 2]).members == 1


@pytest.mark.parametrize(
    "body",
    [
        {"target": "phase"},
        {"target": "is_metal", "classes": ["insulator", "metal"]},
        {"target": "is_metal", "task": "classification"},
    ],
)
def test_two_classes_are_learned_as_such(known: Known, body: dict[str, Any]) -> None:
    order = order_of(known, **body)
    assert order.network["task"] == "classification"
    assert order.targets[0].unit == "probability"


def test_a_split_is_a_word_or_more(known: Known) -> None:
    assert order_of(known, target="band_gap", split="composition").split.by == "composition"
    assert order_of(known, target="band_gap", split="given").split.column == "split"
    group = {"by": "group", "column": "phase", "val": 0, "test": 0.5, "seed": 3}
    assert order_of(known, target="band_gap", split=group).split.seed == 3
    given = {"by": "given", "together": "split"}
    assert order_of(known, target="band_gap", split=given).split.together == "split"


def test_a_random_split_keeps_structures_together_where_they_are_told_apart(known: Known) -> None:
    told = Known(known.manifest, {**known.columns, STRUCTURES: list(range(60))}, known.catalogue)
    assert order_of(told, target="band_gap").split.alike
    assert not order_of(told, target="band_gap", split="composition").split.alike
    assert not order_of(known, target="band_gap").split.alike


def test_a_model_that_learned_row_by_row_is_gone_on_from_row_by_row(
    known: Known, tmp_path: Path
) -> None:
    made = TrainingRecord(dataset="Hard things", dataset_sha256="0" * 64, division=Division())
    card = known.catalogue.get("tested")[0].model_copy(update={"training": made})
    (tmp_path / "tested" / "1" / "card.json").write_bytes(card_bytes(card))
    columns = {**known.columns, STRUCTURES: list(range(60))}
    anew = Known(known.manifest, columns, Catalogue([tmp_path]))

    assert not order_of(anew, target="band_gap", start_from="tested").split.alike


def test_settings_lie_side_by_side_and_are_completed(known: Known) -> None:
    order = order_of(known, target="band_gap", settings={"epochs": 3, "width": 8, "radius": 6})
    assert order.training["epochs"] == 3
    assert order.network["width"] == 8
    assert order.input["radius"] == 6


def test_going_on_from_a_model_keeps_what_it_was_made_with(known: Known) -> None:
    order = order_of(
        known, target={"column": "band_gap", "property": "gap", "unit": "eV"}, start_from="tested"
    )
    card = known.catalogue.get("tested")[0]
    assert order.start_from == "tested@1"
    assert order.network == card.network.model_dump(mode="json")


def test_a_learning_curve_repeats_the_split_a_model_was_trained_with(known: Known) -> None:
    split = Division(by="group", column="phase", val=0.0, test=0.5, seed=3)
    made = TrainingRecord(
        dataset="Hard things", dataset_id=SET, columns=("band_gap",), division=split, seed=7
    )
    card = known.catalogue.get("tested")[0].model_copy(
        update={"origin": "trained", "training": made}
    )

    again = repeated(card, known)

    assert again.split.model_dump() == split.model_dump(exclude={"alike"})
    assert again.seed == 7
    assert [target.column for target in again.wanted] == ["band_gap"]


def test_what_only_judged_a_model_makes_no_learning_curve(known: Known) -> None:
    made = TrainingRecord(dataset_id=SET, columns=("band_gap",), dataset="", judged=True)
    card = known.catalogue.get("tested")[0].model_copy(
        update={"origin": "trained", "training": made}
    )

    with pytest.raises(Problem, match="not known here"):
        repeated(card, known)


def test_a_learning_curve_of_an_ensemble_is_one_of_ensembles(known: Known) -> None:
    made = TrainingRecord(dataset_id=SET, columns=("band_gap",), dataset="", seed=8, seeds=(7, 8))
    card = known.catalogue.get("tested")[0].model_copy(
        update={"origin": "trained", "training": made, "members": 2}
    )

    again = repeated(card, known)

    assert (again.members, again.seeds, again.seed) == (2, [7, 8], None)


@pytest.mark.parametrize(
    ("more", "seeds"), [({}, (0, 1, 2)), ({"members": 2}, (0, 1)), ({"seed": 4}, (4,))]
)
def test_who_goes_on_from_an_ensemble_goes_on_from_all_of_it(
    known: Known, tmp_path: Path, more: dict[str, Any], seeds: tuple[int, ...]
) -> None:
    card = known.catalogue.get("tested")[0].model_copy(update={"members": 3})
    (tmp_path / "tested" / "1" / "card.json").write_bytes(card_bytes(card))
    anew = Known(known.manifest, known.columns, Catalogue([tmp_path]))
    target = {"column": "band_gap", "property": "gap", "unit": "eV"}

    order = order_of(anew, target=target, start_from="tested", settings={"epochs": 0}, **more)

    assert (order.members, order.seeds) == (len(seeds), seeds)


def test_a_name_that_exists_becomes_its_next_version(known: Known) -> None:
    target = {"column": "band_gap", "property": "formation-energy-per-atom"}
    assert order_of(known, target=target, register_as="tested").register_as == "tested"


@pytest.mark.parametrize(
    ("target", "classes", "told"),
    [("is_metal", None, ("0", "1")), ("phase", None, ("alpha", "beta")), ("is_metal", ["b", "a"], ("b", "a"))],
)  # fmt: skip
def test_the_classes_are_named_in_the_order(
    known: Known, target: str, classes: Any, told: tuple[str, str]
) -> None:
    more = {"target": target, "task": "classification", "classes": classes}
    assert order_of(known, **more).classes == told


def test_versions_of_a_classifier_have_the_same_classes_in_the_same_order(
    known: Known, tmp_path: Path
) -> None:
    card = known.catalogue.get("tested")[0].model_copy(
        update={
            "targets": (Target(property="metal-probability", unit="probability"),),
            "network": NetworkSettings(task="classification", outputs=2),
            "classes": ("semiconductor", "metal"),
        }
    )
    (tmp_path / "tested" / "1" / "card.json").write_bytes(card_bytes(card))
    anew = Known(known.manifest, known.columns, Catalogue([tmp_path]))
    target = {"column": "is_metal", "property": "metal-probability"}

    with pytest.raises(Problem) as refused:
        order_of(anew, target=target, classes=["metal", "semiconductor"], register_as="tested")
    assert refused.value.code == "conflict"
    assert "(no: semiconductor, yes: metal)" in str(refused.value)
    assert "(no: metal, yes: semiconductor)" in str(refused.value)
    same = order_of(anew, target=target, classes=["semiconductor", "metal"], register_as="tested")
    assert same.register_as == "tested"


def test_a_search_has_choices_and_ranges(known: Known) -> None:
    space = {
        "width": [32, 64],
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "convolutions": {"low": 2, "high": 5},
    }
    body = {"dataset": SET, "target": "band_gap", "search": {"space": space, "trials": 5}}
    made = ordered(checked(TrainingRequest, body), known)
    assert isinstance(made, TuneOrder)
    assert (made.trials, made.train.register_as) == (5, "hard-things-band-gap")
    assert made.space["width"].choices == (32, 64)
    assert (made.space["learning_rate"].log, made.space["learning_rate"].whole) == (True, False)
    assert made.space["convolutions"].whole


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({}, "missing_field", "/target"),
    ({"targets": ["band_gap", "band_gap"]}, "invalid_field", "/targets/1/column"),
    (
        {"targets": ["band_gap", {"column": "hardness", "property": "band_gap"}]},
        "invalid_field",
        "/targets/1/property",
    ),
    ({"target": "band_gap", "settings": {"edge_start": 9}}, "bad_setting", "/settings/edge_start"),
    ({"target": "is_metal", "classes": ["x", "x"]}, "invalid_field", "/"),
    ({"target": "band_gap", "register_as": ""}, "invalid_input", "/register_as"),
    ({"target": "band_gap", "targets": ["hardness"]}, "invalid_field", "/"),
    ({"target": "band_gap", "seed": 1, "seeds": [1]}, "invalid_field", "/"),
    ({"target": "band_gap", "seeds": [1, 1]}, "invalid_field", "/"),
    ({"target": "band_gap", "seeds": [-1]}, "invalid_field", "/"),
    ({"target": "band_gap", "seeds": [1, 2], "members": 3}, "invalid_field", "/"),
    ({"target": "band_gap", "settings": {"epochs": 0}}, "bad_setting", "/settings/epochs"),
    ({"targets": []}, "invalid_field", "/targets"),
    ({"target": "bandgap"}, "unfit_dataset", "/target/column"),
    ({"targets": ["band_gap", "x"]}, "unfit_dataset", "/targets/1/column"),
    ({"target": "hardness"}, "missing_field", "/target/unit"),
    ({"target": {"column": "band_gap", "unit": "GPa"}}, "wrong_unit", "/target/unit"),
    ({"target": {"column": "band_gap", "property": "!"}}, "invalid_input", "/target/property"),
    ({"target": {"column": "same", "unit": "1"}}, "unfit_dataset", "/target/column"),
    ({"targets": [{"column": "same", "unit": "1"}]}, "unfit_dataset", "/targets/0/column"),
    ({"target": "ddec_charge", "family": "crystal"}, "unfit_dataset", "/target/column"),
    ({"target": "band_gap", "family": "site"}, "unfit_dataset", "/target/column"),
    ({"target": "band_gap", "family": "bread"}, "invalid_field", "/family"),
    ({"target": "phase", "classes": ["x", "y"]}, "unfit_dataset", "/classes"),
    ({"target": "is_metal", "classes": ["x"]}, "invalid_field", "/classes"),
    ({"target": "band_gap", "task": "classification"}, "unfit_dataset", "/target/column"),
    ({"target": "is_metal", "task": "regression", "classes": ["a", "b"]}, "invalid_field", "/classes"),
    ({"target": "band_gap", "settings": {"epoch": 3}}, "bad_setting", "/settings/epoch"),
    ({"target": "band_gap", "settings": {"epochs": 0}}, "bad_setting", "/settings/epochs"),
    ({"target": "band_gap", "settings": {"epochs": True}}, "bad_setting", "/settings/epochs"),
    ({"target": "band_gap", "settings": {"epochs": "10"}}, "bad_setting", "/settings/epochs"),
    ({"target": "band_gap", "settings": {"drops": [0.5] * 21}}, "bad_setting", "/settings/drops"),
    ({"target": "band_gap", "settings": {"target_weights": [1, 2]}}, "bad_setting", "/settings/target_weights"),
    ({"target": "band_gap", "search": {"space": {"width": [8, True]}}}, "bad_setting", "/search/space/width"),
    ({"target": "band_gap", "settings": {"outputs": 2}}, "bad_setting", "/settings/outputs"),
    ({"target": "band_gap", "recipe": "worst"}, "invalid_field", "/recipe"),
    ({"target": "band_gap", "split": "by hand"}, "invalid_field", "/split/by"),
    ({"target": "band_gap", "split": "group"}, "missing_field", "/split/column"),
    ({"target": "band_gap", "split": {"val": 0.6, "test": 0.4}}, "invalid_field", "/split"),
    ({"target": "band_gap", "split": {"by": "given", "column": "phase"}}, "unfit_dataset", "/split/column"),
    ({"target": "band_gap", "split": {"by": "group", "column": "phase"}}, "unfit_dataset", "/split"),
    ({"target": "band_gap", "split": {"by": "group", "column": "phase", "together": "split"}}, "invalid_field", "/split"),
    ({"target": "band_gap", "split": {"by": "given", "together": "phases"}}, "unfit_dataset", "/split/together"),
    ({"target": "band_gap", "rows": 5}, "unfit_dataset", "/rows"),
    ({"target": "band_gap", "rows": 1000}, "unfit_dataset", "/rows"),
    ({"target": "band_gap", "start_from": "nobody"}, "unknown_model", "/start_from"),
    ({"target": "ddec_charge", "start_from": "tested"}, "invalid_field", "/start_from"),
    ({"target": "band_gap", "start_from": "tested", "settings": {"width": 8}}, "bad_setting", "/settings/width"),
    ({"target": "band_gap", "register_as": "Not A Name"}, "invalid_input", "/register_as"),
    ({"target": "band_gap", "register_as": "families"}, "invalid_input", "/register_as"),
    ({"target": "band_gap", "register_as": "tested"}, "conflict", "/register_as"),
    ({"target": "band_gap", "columns": {"partners": "x"}}, "unfit_dataset", "/columns/partners"),
    ({"target": "band_gap", "search": {"space": {}}}, "invalid_field", "/search/space"),
    ({"target": "band_gap", "search": {"space": {"wdth": [1]}}}, "bad_setting", "/search/space/wdth"),
    ({"target": "band_gap", "search": {"space": {"width": [8, 0]}}}, "bad_setting", "/search/space/width"),
    ({"target": "band_gap", "search": {"space": {"epochs": [8, 0]}}}, "bad_setting", "/search/space/epochs"),
    (
        {"target": "band_gap", "search": {"space": {"width": {"low": 8, "high": 9999}}}},
        "bad_setting",
        "/search/space/width",
    ),
    (
        {"target": "band_gap", "search": {"space": {"convolution": {"low": 1, "high": 2}}}},
        "bad_setting",
        "/search/space/convolution",
    ),
    (
        {"target": "band_gap", "search": {"space": {"width": {"low": 9, "high": 8}}}},
        "invalid_field",
        "/search/space/width",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "code", "pointer"), WRONG, ids=lambda one: str(one)[:60])
def test_what_is_wrong_is_named_before_anything_starts(
    known: Known, body: dict[str, Any], code: str, pointer: str
) -> None:
    with pytest.raises(Problem) as caught:
        order_of(known, **body)
    assert caught.value.status < 500
    [first, *_] = caught.value.errors
    assert (caught.value.code, first["pointer"]) == (code, pointer)
    assert first["detail"]


@pytest.mark.parametrize(
    ("body", "learns"),
    [
        ({"targets": ["band_gap", {"column": "hardness", "unit": "GPa"}]}, "2 numbers"),
        ({"target": "phase"}, "a class"),
    ],
)
def test_another_task_than_the_model_has_can_be_learned_but_not_judge_it(
    known: Known, body: dict[str, Any], learns: str
) -> None:
    assert order_of(known, start_from="tested", **body).network["outputs"] == 2
    with pytest.raises(Problem, match=f"answers with 1 number; this data set is to judge {learns}"):
        order_of(known, start_from="tested", settings={"epochs": 0}, **body)


def test_too_few_rows_are_too_few(known: Known) -> None:
    few = Known(manifest_of(8), columns_of(8), known.catalogue)
    with pytest.raises(Problem, match="too few labelled rows"):
        order_of(few, target="band_gap")

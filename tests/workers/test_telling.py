"""How far an answer is to be trusted, as the record tells it."""

import io
from dataclasses import replace

import orjson
import pytest
from pyarrow import parquet

from models.card import Card
from models.families.kinds import KINDS
from models.trust.trust import Near
from tests.workers.conftest import calibrated, card
from workers import assembly
from workers.exchange import Found
from workers.parser import Parsed
from workers.said import Said
from workers.shards import Sheet
from workers.telling import Asked, Teller, teller


def line(*tellers: Teller, sites: int = 2) -> assembly.Line:
    parsed = Parsed(0, "a", "Na2", sites, "", (), bytes([11] * sites), None, {}, {}, None)
    return assembly.begin(0, parsed, tellers)


PLAINLY = Asked()


def told(of: Card, found: Found, asked: Asked = PLAINLY, sites: int = 2):
    """The record of one structure, of one model."""
    one = teller(of, asked)
    made = line(one, sites=sites)
    assembly.fill(made, 0, one, found)
    assembly.as_bytes(made)
    return made.record


def of_family(family: str, targets: int = 1) -> Card:
    kind = KINDS[family]
    plain = card("x", targets=targets).model_dump() | {
        "family": family, "input": kind.input(), "network": kind.network(outputs=targets),
    }  # fmt: skip
    return calibrated(Card.model_validate(plain))


def of_property(name: str, unit: str) -> Card:
    plain = card("x")
    target = plain.targets[0].model_copy(update={"property": name, "unit": unit})
    return calibrated(plain.model_copy(update={"targets": (target,)}))


SURE = Said((3.0,), (0.25,), (0.5,), 0.5)


def test_half_the_interval_is_the_factor_of_the_level_times_the_difficulty():
    for level, half in ((0.9, 1.0), (0.5, 0.25), (0.925, 1.25)):
        (one,) = told(calibrated(card("x")), Found(SURE), Asked(level))["predictions"]
        assert one["interval"] == pytest.approx([3.0 - half, 3.0 + half])
        assert (one["level"], one["std"], one["value"]) == (level, 0.25, 3.0)
        assert (one["in_domain"], one["domain_score"], one["reasons"]) == (True, 0.5, [])


def test_a_width_that_is_no_number_is_none():
    wild = Said((3.0,), (0.25,), (3e38,), 0.5)
    one = calibrated(card("x"))
    intervals = one.intervals[0].model_copy(
        update={"factors": (1e308,) * len(one.intervals[0].factors)}
    )
    (found,) = told(one.model_copy(update={"intervals": (intervals,)}), Found(wild))["predictions"]
    assert found["interval"] is None


def test_a_level_beyond_the_calibration_gives_no_interval_and_says_how_far_it_goes():
    record = told(calibrated(card("x", targets=2)), Found(replace(SURE, values=(3.0, 4.0),
                  std=(), difficulty=(0.5, 0.5))), Asked(0.99))  # fmt: skip
    assert [one["interval"] for one in record["predictions"]] == [None, None]
    assert [one["value"] for one in record["predictions"]] == [3.0, 4.0]
    assert [note for note in record["warnings"] if "0.99" in note and "0.95" in note] == (
        record["warnings"]
    )
    assert len(record["warnings"]) == 2


def test_each_target_has_its_own_interval():
    said = Said((3.0, 4.0), (0.1, 0.2), (0.5, 1.0), 0.5)
    first, second = told(calibrated(card("x", targets=2)), Found(said))["predictions"]
    assert (first["interval"], second["interval"]) == ([2.0, 4.0], [2.0, 6.0])
    assert (first["std"], second["std"]) == (0.1, 0.2)


@pytest.mark.parametrize("family", ["crystal", "site"])
def test_a_target_without_intervals_leaves_the_other_its_own(family):
    one = of_family(family, 2)
    one = one.model_copy(update={"intervals": (one.intervals[0], None)})
    said = Said((1.0, 2.0, 5.0, 6.0)[:: 1 if family == "site" else 2], (), (0.5,) * 4, 0.5)
    record = told(one, Found(said))
    key = "intervals" if family == "site" else "interval"
    assert [each.get(key) is not None for each in record["predictions"]] == [True, False]
    words = "no intervals of p1: too few of the rows that calibrate have its label."
    assert record["warnings"] == [f"x@1 has {words}"]


@pytest.mark.parametrize(
    ("name", "unit", "value", "interval"),
    [
        ("band-gap", "eV", 0.4, [0.0, 1.4]),
        ("band-gap", "eV", -0.2, [0.0, 0.8]),
        ("band-gap", "eV", -0.999, [0.0, 0.001]),
        ("poisson-ratio", "1", 0.3, [-0.7, 0.5]),
        ("bulk-modulus", "GPa", 0.4, [0.0, 1.4]),
        ("bulk-modulus", "log10(GPa)", 0.4, [-0.6, 1.4]),
        ("formation-energy-per-atom", "eV/atom", 0.4, [-0.6, 1.4]),
    ],
)
def test_an_interval_ends_where_the_property_does_and_the_value_stays(name, unit, value, interval):
    found = Found(replace(SURE, values=(value,)))
    (one,) = told(of_property(name, unit), found)["predictions"]
    assert one["interval"] == pytest.approx(interval)
    assert one["value"] == value


@pytest.mark.parametrize(
    ("name", "unit", "value"),
    [("band-gap", "eV", -2.0), ("dimer-distance", "Å", -1.0), ("poisson-ratio", "1", 1.6)],
)
def test_no_interval_is_told_that_lies_wholly_where_the_property_cannot_be(name, unit, value):
    one = of_property(name, unit)
    record = told(one, Found(replace(SURE, values=(value,))))
    (found,) = record["predictions"]
    assert (found["value"], found["interval"], found["level"]) == (value, None, 0.9)
    [warning] = record["warnings"]
    assert f"no interval of {name} at level 0.9" in warning
    assert "beyond what the property can be" in warning
    sheet = Sheet([one])
    sheet.add(record)
    file = io.BytesIO()
    sheet.write(file, {})
    [row] = parquet.read_table(file).to_pylist()
    assert (row["x"], row["x.lower"], row["x.upper"]) == (value, None, None)
    assert orjson.loads(row["warnings"]) == [warning]


def test_an_answer_at_the_end_of_what_can_be_keeps_an_interval_without_width():
    record = told(of_property("band-gap", "eV"), Found(Said((0.0,), (), (0.0,))))
    assert (record["predictions"][0]["interval"], record["warnings"]) == ([0.0, 0.0], [])


def test_without_a_calibration_nothing_is_said_of_intervals():
    record = told(of_property("band-gap", "eV").model_copy(update={"intervals": None}),
                  Found(Said((-2.0,))))  # fmt: skip
    assert (record["predictions"][0]["interval"], record["warnings"]) == (None, [])


def test_far_from_the_training_data_is_told_with_its_reasons():
    found = Found(replace(SURE, score=1.25, reasons=("It is far away.", "2 sites of Tc.")))
    (one,) = told(card("x"), found)["predictions"]
    assert (one["in_domain"], one["domain_score"]) == (False, 1.25)
    assert one["reasons"] == ["It is far away.", "2 sites of Tc."]


def test_of_sites_each_has_its_own_interval_and_deviation():
    said = Said((1.0, 2.0, 5.0, 6.0), (0.1, 0.2, 0.3, 0.4), (0.5, 1.0, 1.5, 2.0), 0.5)
    record = told(of_family("site", 2), Found(said))
    first, second = record["predictions"]
    assert (first["value"], first["interval"], first["std"]) == (None, None, None)
    assert (first["intervals"], first["stds"]) == ([[0.0, 2.0], [0.0, 4.0]], [0.1, 0.2])
    assert (second["intervals"], second["stds"]) == ([[2.0, 8.0], [2.0, 10.0]], [0.3, 0.4])
    assert record["sites"][1] == {
        "index": 1, "element": "Na",
        "values": {"x@1/p0": 2.0, "x@1/p1": 6.0},
        "intervals": {"x@1/p0": [0.0, 4.0], "x@1/p1": [2.0, 10.0]},
        "stds": {"x@1/p0": 0.2, "x@1/p1": 0.4},
    }  # fmt: skip


def test_of_sites_and_bonds_only_those_beyond_have_no_interval():
    one = of_family("site", 2)
    centers = one.targets[1].model_copy(update={"property": "phonon-band-center", "unit": "THz"})
    one = one.model_copy(update={"targets": (one.targets[0], centers)})
    record = told(one, Found(Said((-9.0, 2.0, -5.0, 6.0), (), (0.5, 1.0, 0.5, 2.0), 0.5)))
    assert record["predictions"][1]["intervals"] == [None, [2.0, 10.0]]
    assert record["sites"][0]["intervals"] == {
        "x@1/p0": [-10.0, -8.0],
        "x@1/phonon-band-center": None,
    }
    assert ["for 1 site at" in note for note in record["warnings"]] == [True]
    bond = of_family("bond")
    distances = bond.targets[0].model_copy(update={"property": "adsorbate-distances", "unit": "Å"})
    said = Said((-1.5, 2.0, 1.0, 0.0, 1.0), (), (0.5, 0.25), 0.5)
    record = told(bond.model_copy(update={"targets": (distances,)}), Found(said))
    assert [one["interval"] for one in record["predictions"][0]["bonds"]] == [None, [1.5, 2.5]]
    assert ["for 1 bond at" in note for note in record["warnings"]] == [True]


def test_of_bonds_each_has_its_own_interval_and_deviation():
    said = Said((1.5, 2.0, 1.0, 0.0, 1.0), (0.1, 0.2), (0.5, 0.25), 0.5)
    (one,) = told(of_family("bond"), Found(said))["predictions"]
    assert one["bonds"] == [
        {"rank": 1, "site": 1, "element": "Na", "distance": 1.5, "interval": [0.5, 2.5], "std": 0.1},
        {"rank": 2, "site": 0, "element": "Na", "distance": 2.0, "interval": [1.5, 2.5], "std": 0.2},
    ]  # fmt: skip


def test_neighbours_are_told_with_their_labels_or_why_there_are_none():
    near = (Near("mp-1", "NaCl", 0.25, (1.2000000476837158, None)), Near("mp-2", "KCl", 0.5, ()))
    both, asked = card("x", targets=2), Asked(neighbours=True)
    said = Said((3.0, 4.0))
    first, second = told(both, Found(said, nearest=near), asked)["predictions"]
    assert first["neighbours"] == [
        {"name": "mp-1", "formula": "NaCl", "distance": 0.25, "value": 1.2},
        {"name": "mp-2", "formula": "KCl", "distance": 0.5, "value": None},
    ]
    assert second["neighbours"][0]["value"] is None
    record = told(both, Found(said), asked)
    assert "neighbours" not in record["predictions"][0]
    assert "knows no neighbours" in record["warnings"][0]


def test_an_error_has_all_fields_and_no_answer():
    (one,) = told(card("x"), Found(error={"code": "internal", "detail": "?"}))["predictions"]
    assert one["error"]["code"] == "internal"
    assert [one[name] for name in ("value", "interval", "std", "in_domain")] == [None] * 4
    assert one["reasons"] == []

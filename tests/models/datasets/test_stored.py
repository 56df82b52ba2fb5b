"""What was written is read again, and featurised once."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.datasets.stored import Stored
from models.datasets.writing import About, Plan, Writer
from models.errors import IsolatedSite
from models.settings.graph import GraphSettings
from models.structures.structure import Structure

ABOUT = About(id="set_1", name="some", owner="me", source="some.zip")
PLANS = (
    Plan("energy", "number"),
    Plan("phase", "text"),
    Plan("charge", "site"),
    Plan("distances", "list"),
)


def labels(row: int, sites: int) -> dict[str, object]:
    return {
        "energy": None if row == 1 else row / 4,
        "phase": "solid",
        "charge": [float(row)] * (sites - 1) + [None],
        "distances": [1.0, 2.0] if row else None,
    }


@pytest.fixture
def folder(tmp_path: Path, crystals: list[Structure]) -> Path:
    with Writer(tmp_path / "set", PLANS) as writer:
        for row, crystal in enumerate(crystals):
            writer.add(crystal, labels(row, len(crystal.numbers)))
        writer.refuse(7, "bad", {"code": "unreadable_structure", "detail": "no"})
        writer.close(ABOUT)
    return tmp_path / "set"


def test_structures_come_back_as_they_went(folder: Path, crystals: list[Structure]) -> None:
    held = Stored(folder)
    assert held.rows == len(crystals)
    for row, crystal in enumerate(crystals):
        assert held.structure(row).digest() == crystal.digest()
    assert held.n_sites.tolist() == [len(crystal.numbers) for crystal in crystals]


def test_labels_come_back_as_they_went(folder: Path) -> None:
    held = Stored(folder)
    assert held.scalars("energy") == [0.0, None, 0.5, 0.75, 1.0]
    assert held.scalars("phase") == ["solid"] * 5
    charges, first = held.ragged("charge")
    assert charges[first[2] : first[3]].tolist()[:1] == [2.0]
    assert np.isnan(charges[first[1:] - 1]).all()
    assert np.diff(held.ragged("distances")[1]).tolist() == [0, 2, 2, 2, 2]


def test_the_manifest_tells_what_is_in_it(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    energy, phase, charge, distances = manifest["columns"]
    assert (energy["known"], energy["min"], energy["max"], energy["distinct"]) == (4, 0, 1, 4)
    assert energy["mean"] == pytest.approx(0.5625)
    assert energy["std"] == pytest.approx(np.std([0, 0.5, 0.75, 1]))
    assert (phase["known"], phase["distinct"]) == (5, 1)
    assert (charge["kind"], charge["width"], charge["known"]) == ("site", 1, 4)
    assert (distances["kind"], distances["width"], distances["known"]) == ("list", 2, 4)
    assert manifest["elements"]["O"] == 2
    assert (manifest["rows"], manifest["refused"], manifest["smallest"]) == (5, 1, 1)


def test_the_order_of_rows_counts_for_the_hash_and_that_of_columns_does_not(
    tmp_path: Path, crystals: list[Structure]
) -> None:
    def sha256(place: str, plans: tuple[Plan, ...], rows: list[int]) -> str:
        with Writer(tmp_path / place, plans) as writer:
            for row in rows:
                writer.add(crystals[row], labels(row, len(crystals[row].numbers)))
            return writer.close(ABOUT).sha256

    same = sha256("a", PLANS, [0, 1, 2])
    assert sha256("b", PLANS[::-1], [0, 1, 2]) == same
    assert sha256("c", PLANS, [1, 0, 2]) != same
    assert sha256("d", PLANS[1:], [0, 1, 2]) != same


def test_the_same_structure_twice_is_said(tmp_path: Path, perovskite: Structure) -> None:
    with Writer(tmp_path / "set") as writer:
        writer.add(perovskite, {})
        writer.add(perovskite, {})
        structures, ids = writer.close(ABOUT).notes
    assert "1 row holds the same structure" in structures
    assert "1 row has the id" in ids


@pytest.mark.parametrize(
    ("texts", "said"), [(["1,5", "2.5"], True), (["1 eV", "2 eV"], True), (["2H", "6H"], False)]
)
def test_numbers_that_are_texts_are_said(
    tmp_path: Path, crystals: list[Structure], texts: list[str], *, said: bool
) -> None:
    with Writer(tmp_path / "set", [Plan("gap", "text")]) as writer:
        for crystal, text in zip(crystals, texts, strict=False):
            writer.add(crystal, {"gap": text})
        notes = writer.close(ABOUT).notes
    assert (
        any(f"The column gap holds texts, such as {texts[0]!r}" in note for note in notes) is said
    )


def test_rows_of_the_same_structure_have_the_same_number(
    tmp_path: Path, crystals: list[Structure]
) -> None:
    with Writer(tmp_path / "set") as writer:
        for row in (0, 1, 0):
            writer.add(crystals[row], {})
        writer.close(ABOUT)
    one, other, again = Stored(tmp_path / "set").structures
    assert one == again != other


def test_samples_are_those_of_their_rows(folder: Path, crystals: list[Structure]) -> None:
    found = Stored(folder).samples(GraphSettings())
    assert [sample.numbers.tolist() for sample in found] == [c.numbers.tolist() for c in crystals]
    assert len(found) == 5
    assert not found.faults


def test_samples_are_made_once_for_all(folder: Path) -> None:
    told: list[int] = []  # called at the start and at the end of making them

    def asked() -> None:
        Stored(folder).samples(GraphSettings(), told=lambda done, _: told.append(done))

    threads = [threading.Thread(target=asked) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [0, 5]
    Stored(folder).samples(GraphSettings(radius=6.0), told=lambda done, _: told.append(done))
    assert told == [0, 5, 0, 5]


def test_a_cache_that_was_left_half_made_is_made_again(folder: Path) -> None:
    whole = Stored(folder).samples(GraphSettings())
    (index,) = (folder / "cache").glob("*.index.npy")
    index.unlink()
    again = Stored(folder).samples(GraphSettings())
    assert again.packed(3) == whole.packed(3)
    assert not list((folder / "cache").glob("*.new*"))


def test_a_row_that_no_network_can_read_is_a_fault_of_its_own(
    tmp_path: Path, make: Callable[..., Structure], perovskite: Structure
) -> None:
    with Writer(tmp_path / "set") as writer:
        writer.add(make([30.0] * 3, [18], [[0, 0, 0]]), {})
        writer.add(perovskite, {})
        writer.close(ABOUT)
    found = Stored(tmp_path / "set").samples(GraphSettings())
    assert found.faults[0]["code"] == "isolated_site"
    assert found[1].n_sites == 5
    with pytest.raises(IsolatedSite):
        found[0]


def test_an_empty_set_can_be_read(tmp_path: Path) -> None:
    with Writer(tmp_path / "set", PLANS) as writer:
        writer.close(ABOUT)
    assert Stored(tmp_path / "set").rows == 0
    assert len(Stored(tmp_path / "set").samples(GraphSettings())) == 0

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from models.errors import BadSetting
from models.generators import label
from models.generators.dimers import NAMES, Dimers, dimers, energy, pairs
from models.generators.sheets import Sheets, sheet
from models.generators.writing import write
from models.structures.parse import ReadOptions, Structure, parse

MANY = 3000


@pytest.mark.parametrize("dimensions", [2, 3])
def test_pairs_lie_in_the_box_as_far_apart_as_they_say(dimensions: int) -> None:
    places, distances = pairs(Dimers(MANY, dimensions=dimensions, shortest=1, longest=3))  # type: ignore[arg-type]

    assert places.min() >= 0
    assert places.max() <= 10
    assert np.allclose(np.linalg.norm(places[:, 0] - places[:, 1], axis=1), distances)
    assert (np.ptp(places[..., 2]) < 1e-12) == (dimensions == 2)


def test_distances_are_even_or_energies_are() -> None:
    _, even = pairs(Dimers(MANY, shortest=1, longest=2))
    _, outer = pairs(Dimers(MANY, shortest=1, longest=5, even="energy"))

    assert abs(np.histogram(even, 10, (1, 2))[0] / MANY - 0.1).max() < 0.03
    assert abs(np.histogram(energy(outer), 10, (-1, 0))[0] / MANY - 0.1).max() < 0.03
    assert outer.min() >= 2 ** (1 / 6)


def test_the_energy_is_that_of_lennard_jones() -> None:
    assert energy(np.array([1.0]))[0] == 0
    assert energy(np.array([2 ** (1 / 6)]))[0] == pytest.approx(-1)
    assert energy(np.array([2.0]))[0] == pytest.approx(4 * (2**-12 - 2**-6))


def test_seeds_decide_everything() -> None:
    one, same, other = (pairs(Dimers(5, seed=seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)
    wanted = Sheets(seed=4)
    assert sheet(wanted, 7).digest() == sheet(wanted, 7).digest() != sheet(wanted, 8).digest()


@pytest.mark.parametrize(
    "wanted", [{"shortest": 2, "longest": 1}, {"longest": 9}, {"shortest": 0.1}]
)
def test_distances_that_make_no_sense_are_refused(wanted: dict[str, float]) -> None:
    with pytest.raises(BadSetting, match="distances"):
        Dimers(5, **wanted)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "elements"), [("graphene", {6}), ("hbn", {5, 7}), ("mixture", {5, 6, 7})]
)
def test_sheets_at_rest_have_three_neighbours_at_one_distance(
    kind: str, elements: set[int]
) -> None:
    made = sheet(Sheets(kinds=(kind,), defects=("none",), displacement=0), 0)  # type: ignore[arg-type]
    away = made.fractional[:, None] - made.fractional[None]
    away = np.linalg.norm((away - np.rint(away)) @ made.lattice, axis=2)
    near = np.sort(away, axis=1)

    assert np.allclose(made.lattice.diagonal(), [12.53, 13.02, 10], atol=5e-3)  # as the paper's
    assert set(made.numbers.tolist()) == elements
    assert len(made.numbers) == 60
    assert np.allclose(near[:, 1:4], 2.506 / np.sqrt(3))
    assert near[:, 4].min() > 2.5


def test_defects_take_an_atom_or_turn_a_bond() -> None:
    vacancy = sheet(Sheets(defects=("vacancy",)), 0)
    turned = sheet(Sheets(defects=("stone-wales",), kinds=("graphene",), displacement=0), 0)
    away = turned.fractional[:, None] - turned.fractional[None]
    away = np.linalg.norm((away - np.rint(away)) @ turned.lattice, axis=2)
    moved = np.flatnonzero(~np.isclose(np.sort(away, axis=1)[:, 1:4], 1.4468, atol=1e-3).all(1))

    assert len(vacancy.numbers) == 59
    assert len(moved) == 6  # both atoms of the bond, and the four around them
    assert np.sort(away[np.triu_indices(60, 1)])[0] > 1.4


def test_sheets_of_unknown_kind_are_refused() -> None:
    with pytest.raises(BadSetting, match="kinds"):
        Sheets(kinds=("silicene",))  # type: ignore[arg-type]


def test_the_energy_of_graphene_is_lowest_at_rest() -> None:
    pytest.importorskip("tblite")
    small = Sheets(columns=2, rows=2, kinds=("graphene",), defects=("none",), displacement=0)
    rest = label.energy(sheet(small, 0))
    structure, energies = label.labelled(
        Sheets(columns=2, rows=2, kinds=("graphene",), defects=("none",)), 0
    )

    assert energies["energy"] > rest
    assert energies["sheet_energy"] == energies["energy"] / len(structure.numbers)


def test_extended_xyz_is_read_back_by_the_parser(tmp_path: Path) -> None:
    made = [
        (structure, dict(zip(NAMES, values, strict=True)))
        for structure, values in dimers(Dimers(4, dimensions=3))
    ]
    path = tmp_path / "dimers.extxyz"
    write(made, path)

    found = parse(path.read_bytes(), path.name, None, ReadOptions())

    assert len(found) == 4
    for (structure, labels), read in zip(made, found, strict=True):
        assert isinstance(read, Structure)
        assert np.allclose(read.fractional, structure.fractional, atol=1e-8)
        gap = np.linalg.norm((read.fractional[0] - read.fractional[1]) * 10)
        assert gap == pytest.approx(labels["dimer_distance"])


def test_rows_are_written_as_jsonl_and_parquet_alike(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    made = [(sheet(Sheets(), at), {"energy": float(at)}) for at in range(3)]
    write(made, tmp_path / "sheets.jsonl")
    write(made, tmp_path / "sheets.parquet")

    lines = [json.loads(line) for line in (tmp_path / "sheets.jsonl").read_text().splitlines()]

    assert lines == parquet.read_table(tmp_path / "sheets.parquet").to_pylist()
    assert [line["energy"] for line in lines] == [0, 1, 2]
    assert len(lines[0]["frac_coords"]) == 3 * lines[0]["n_sites"]


def test_a_file_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield from ((each, {}) for each, _ in islice(dimers(Dimers(2)), 2))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write(broken(), tmp_path / "x.extxyz")
    with pytest.raises(BadSetting, match="this kind"):
        write([], tmp_path / "x.csv")
    assert list(tmp_path.iterdir()) == []

"""What people have in hand, as files to send."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from pymatgen.core import Lattice, Molecule, Structure

from models.errors import InputError
from models.structures.parse import ReadOptions, parse
from service.client_errors import UnreadableInput
from service.client_inputs import Source, chunks_of, places, sources_of


@pytest.fixture
def salt() -> Structure:
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


def test_a_pymatgen_structure_is_told_exactly(salt: Structure) -> None:
    salt.translate_sites([0], [1 / 3, 0, 0])
    [source] = sources_of(salt)
    again = Structure.from_dict(json.loads(source.read()))
    assert source.name == "NaCl"
    np.testing.assert_array_equal(again.frac_coords, salt.frac_coords)
    np.testing.assert_array_equal(again.lattice.matrix, salt.lattice.matrix)
    assert again.species == salt.species


def test_a_disordered_structure_stays_disordered() -> None:
    alloy = Structure(Lattice.cubic(3), [{"Cu": 0.75, "Au": 0.25}], [[0, 0, 0]])
    content = json.loads(sources_of(alloy)[0].read())
    assert content["sites"][0]["species"] == [
        {"element": "Cu", "occu": 0.75},
        {"element": "Au", "occu": 0.25},
    ]


def test_oxidation_states_and_site_properties_do_not_matter(salt: Structure) -> None:
    salt.add_oxidation_state_by_guess()
    salt.add_site_property("magmom", [np.array([0, 0, 1])] * 8)
    content = json.loads(sources_of(salt)[0].read())
    assert content["sites"][0]["species"] == [{"element": "Na", "occu": 1.0}]


def test_atoms_of_ase_are_told_exactly() -> None:
    atoms = Atoms("NaCl", scaled_positions=[[0, 0, 0], [1 / 3, 0.5, 0.5]], cell=[3, 4, 5], pbc=True)
    [source] = sources_of(atoms)
    again = read(io.StringIO(source.read().decode()), format="extxyz")
    assert source.name == "NaCl"
    assert again.get_chemical_symbols() == ["Na", "Cl"]
    np.testing.assert_array_equal(again.positions, atoms.positions)
    np.testing.assert_array_equal(again.cell[:], atoms.cell[:])
    assert again.pbc.all()


def test_atoms_of_ase_in_a_box_are_read_though_they_are_not_periodic() -> None:
    positions = [[0, 0, 0], [0, 0, 0.74]]
    [boxed] = sources_of(Atoms("H2", positions=positions, cell=[10] * 3))
    [found] = parse(boxed.read(), boxed.sent_as, None, ReadOptions())
    assert not isinstance(found, InputError), found.as_dict()
    assert found.warnings == ("Not periodic in any direction; read as repeated by the given cell.",)
    np.testing.assert_allclose(found.fractional @ found.lattice, positions, atol=1e-12)
    [bare] = sources_of(Atoms("H2", positions=positions))
    [fault] = parse(bare.read(), bare.sent_as, None, ReadOptions())
    assert isinstance(fault, InputError)
    assert (fault.code, fault.place) == ("unreadable_structure", "line 2")


def test_things_of_all_kinds_keep_their_order(salt: Structure, tmp_path: Path) -> None:
    (tmp_path / "POSCAR").write_text("x\n")
    given = [tmp_path / "POSCAR", "data_x\n", ("mine", salt), b"bytes", salt]
    names = [one.name for one in sources_of(given)]
    assert names == [f"{tmp_path}/POSCAR", "structure-2", "mine", "structure-4", "NaCl"]


@pytest.mark.parametrize("name", ["NaCl.cif", "POSCAR", "x.zip"])
def test_an_object_may_be_called_after_the_file_it_came_from(salt: Structure, name: str) -> None:
    pair = [(name, salt), (name, Atoms("H", cell=[3, 3, 3], pbc=True))]
    sources = sources_of(pair)
    assert [one.sent_as for one in sources] == [f"{name}.json", f"{name}.extxyz"]
    assert not any(one.is_archive for one in sources)
    assert places([f"{name}.json", f"{name}.extxyz"], sources) == [name, name]


def test_one_thing_alone_is_a_list_of_one(salt: Structure, tmp_path: Path) -> None:
    path = tmp_path / "a.cif"
    path.write_text("data_a\n")
    for alone in (salt, str(path), path, "data_a\n", ("name", "data_a\n"), salt.as_dict()):
        assert len(sources_of(alone)) == 1


def test_a_pair_of_paths_is_two_files(tmp_path: Path) -> None:
    paths = tuple(tmp_path / name for name in ("a.cif", "b.cif"))
    for path in paths:
        path.write_text("x\n")
    assert len(sources_of(paths)) == 2
    assert len(sources_of(tuple(map(str, paths)))) == 2


def test_a_folder_is_its_structure_files(tmp_path: Path) -> None:
    for name in ("b.cif", "a/POSCAR", "a/OUTCAR", ".hidden.cif", "z.json", "notes.txt"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
    names = [Path(one.name).relative_to(tmp_path).as_posix() for one in sources_of(tmp_path)]
    assert names == ["a/POSCAR", "b.cif", "z.json"]


def test_a_path_that_is_not_there_is_told() -> None:
    with pytest.raises(UnreadableInput, match=r"no such file: missing\.cif"):
        sources_of(["missing.cif"])


@pytest.mark.parametrize("empty", ["", " ", [""], ("name", "")])
def test_an_empty_text_is_not_the_working_folder(empty: object) -> None:
    with pytest.raises(UnreadableInput, match="empty text"):
        sources_of(empty)


@pytest.mark.parametrize("thing", [None, 3, 1.5])
def test_what_is_no_structure_at_all_is_told(thing: object) -> None:
    with pytest.raises(UnreadableInput, match="give a path"):
        sources_of(thing)


def test_a_structure_without_a_formula_gets_a_name() -> None:
    assert [one.name for one in sources_of([Atoms(), Atoms("H")])] == ["structure-1", "H"]


def test_a_molecule_is_refused_with_what_can_be_given() -> None:
    with pytest.raises(UnreadableInput, match=r"Molecule: give a path"):
        sources_of([Molecule(["H"], [[0, 0, 0]])])


def test_chunks_are_cut_by_number_and_by_size() -> None:
    sources = [Source(str(i), b"x" * size) for i, size in enumerate((4, 4, 4, 30, 1))]
    assert [len(chunk) for chunk in chunks_of(sources, 2, 10)] == [2, 1, 1, 1]


def test_an_archive_travels_alone() -> None:
    sources = [Source(name, b"x") for name in ("a.cif", "b.zip", "c.cif")]
    assert [[one.name for one in chunk] for chunk in chunks_of(sources, 9, 99)] == [
        ["a.cif"],
        ["b.zip"],
        ["c.cif"],
    ]


def test_records_of_files_with_one_name_are_told_apart_by_their_paths() -> None:
    sources = [Source(name, b"") for name in ("a/POSCAR", "b/POSCAR")]
    assert places(["POSCAR", "POSCAR"], sources) == ["a/POSCAR", "b/POSCAR"]


def test_blocks_and_members_go_with_their_file() -> None:
    sources = [Source(name, b"") for name in ("a/x.cif", "b/x.cif", "s.zip", "c/y.cif")]
    shown = ["x.cif#1", "x.cif#2", "x.cif#1", "s.zip/x.cif", "s.zip/z.cif", "y.cif"]
    assert places(shown, sources) == [
        "a/x.cif#1",
        "a/x.cif#2",
        "b/x.cif#1",
        "s.zip/x.cif",
        "s.zip/z.cif",
        "c/y.cif",
    ]


def test_names_that_fit_nothing_stay_as_the_service_tells_them() -> None:
    assert places(["p", "q"], [Source("a/x.cif", b"")]) == ["p", "q"]

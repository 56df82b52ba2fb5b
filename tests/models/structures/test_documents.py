import json
from copy import deepcopy

import numpy as np
import pytest
from pymatgen.core import Lattice
from pymatgen.core import Structure as PymatgenStructure
from pymatgen.entries.computed_entries import ComputedStructureEntry

CRYSTAL = PymatgenStructure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
ENTRY = {
    "id": "x-1",
    "type": "structures",
    "attributes": {
        "lattice_vectors": [[4.1, 0, 0], [0, 4.1, 0], [0, 0, 4.1]],
        "cartesian_site_positions": [[0, 0, 0], [2.05, 2.05, 2.05]],
        "species_at_sites": ["Cs", "Cl"],
        "species": [
            {"name": "Cs", "chemical_symbols": ["Cs"], "concentration": [1.0]},
            {"name": "Cl", "chemical_symbols": ["Cl"], "concentration": [1.0]},
        ],
        "dimension_types": [1, 1, 1],
    },
}


def same(structure) -> bool:
    """Whether this is the crystal of the two documents above."""
    return (
        structure.numbers.tolist() == [55, 17]
        and np.allclose(structure.lattice, np.eye(3) * 4.1)
        and np.allclose(structure.fractional[1], 0.5)
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda plain: plain,
        lambda plain: {"structure": plain, "energy": -1},
        lambda plain: [plain],
        lambda plain: {"structures": [plain]},
        lambda plain: {
            **plain,
            "lattice": {k: v for k, v in plain["lattice"].items() if k != "matrix"},
        },
        lambda plain: {**plain, "lattice": plain["lattice"]["matrix"]},
        lambda plain: {"structure": plain, "data": [1], "cif": "CsCl"},
        lambda plain: {"structure": plain, "lattice": "cubic", "atoms": 2},
        lambda plain: {"structures": [plain], "attributes": {"x": 1}, "lattice": "cubic"},
        lambda plain: {**plain, "structure": "CsCl"},
        lambda plain: {"mp-1": plain},
    ],
)
def test_pymatgens_dictionaries_are_read(one, wrap):
    assert same(one(json.dumps(wrap(CRYSTAL.as_dict())), "a.json"))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_pymatgens_entry_with_its_energy_is_read(one, name):
    entry = ComputedStructureEntry(CRYSTAL, -10.0, entry_id="mp-1").as_dict()
    assert entry["data"] == {}
    assert same(one(json.dumps(entry), name))


def test_entries_by_id_are_named_by_it(read):
    plain = CRYSTAL.as_dict()
    found = read(json.dumps({"mp-1": plain, "mp-2": {"structure": plain}}), "a.json")
    assert [item.name for item in found] == ["a.json#mp-1", "a.json#mp-2"]
    assert all(map(same, found))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize(
    ("key", "kind"),
    [("cif", "cif"), ("poscar", "poscar"), ("structure", "cif"), ("structure", "poscar"), ("structure", "json")],
)  # fmt: skip
def test_the_text_of_a_file_in_an_entry_is_read(one, name, key, kind):
    assert same(one(json.dumps({"id": "x", key: CRYSTAL.to(fmt=kind)}), name))


@pytest.mark.parametrize(
    "label", [{"atoms": 2}, {"lattice": "cubic"}, {"attributes": {}}, {"structure": "CsCl"}]
)
def test_a_label_beside_the_text_of_a_file_does_not_hide_it(one, label):
    assert same(one(json.dumps({"poscar": CRYSTAL.to(fmt="poscar")} | label), "a.json"))


@pytest.mark.parametrize("text", ["rock salt", "", "PK\x03\x04", "data_x\n", '{"structure": "{}"}'])
def test_a_text_that_is_no_file_of_one_structure_is_refused(fault, text):
    error = fault(json.dumps({"structure": text}), "a.json")
    assert error.file == "a.json"


def test_a_text_of_several_structures_is_refused(fault):
    text = CRYSTAL.to(fmt="cif")
    assert "several" in fault(json.dumps({"cif": text + text}), "a.json").detail


@pytest.mark.parametrize(
    ("text", "name"), [('{"structure": "[]"}', "a.json"), ("[]\n", "a.jsonl"), ("{}\n", "a.jsonl")]
)
def test_a_text_or_a_line_of_no_structure_says_so(fault, text, name):
    assert "holds no structure" in fault(text, name).detail


def test_a_word_beside_arrays_is_no_structure(one):
    entry = ARRAYS | {"frac_coords": [0, 0, 0, 0.5, 0.5, 0.5], "structure": "CsCl"}
    assert same(one(json.dumps(entry), "a.json"))


JARVIS = {
    "lattice_mat": [[4.1, 0, 0], [0, 4.1, 0], [0, 0, 4.1]],
    "coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "elements": ["Cs", "Cl"],
    "cartesian": False,
}


@pytest.mark.parametrize(
    "entry",
    [
        {"jid": "JVASP-1", "atoms": JARVIS},
        {"structure": JARVIS},
        JARVIS,
        JARVIS | {"cartesian": True, "coords": [[0, 0, 0], [2.05, 2.05, 2.05]]},
    ],
)
def test_the_atoms_of_jarvis_are_read(one, entry):
    assert same(one(json.dumps(entry), "a.json"))


def test_atoms_without_coordinates_name_their_key(fault):
    entry = {key: value for key, value in JARVIS.items() if key != "coords"}
    assert fault(json.dumps({"atoms": entry}), "a.json").place == "frac_coords"


@pytest.mark.parametrize(
    ("pbc", "said"),
    [([True, True, False], "in every direction"), ([False] * 3, "in any direction"), ([True] * 3, "")],
)  # fmt: skip
def test_what_is_not_periodic_by_pymatgens_lattice_is_said(one, pbc, said):
    plain = CRYSTAL.as_dict()
    plain["lattice"]["pbc"] = pbc
    found = one(json.dumps(plain), "a.json")
    assert same(found)
    assert said in " ".join(found.warnings)
    assert len(found.warnings) == bool(said)


ARRAYS = {"lattice": [4.1, 0, 0, 0, 4.1, 0, 0, 0, 4.1], "numbers": [55, 17]}


@pytest.mark.parametrize(
    "changes",
    [
        {"frac_coords": [0, 0, 0, 0.5, 0.5, 0.5]},
        {"frac_coords": [[0, 0, 0], [-0.5, 1.5, 0.5]]},
        {"positions": [[0, 0, 0], [2.05, 2.05, 2.05]], "lattice": [[4.1, 0, 0], [0, 4.1, 0], [0, 0, 4.1]]},
        {"frac_coords": [0, 0, 0, 0.5, 0.5, 0.5], "numbers": None, "species": ["Cs", "Cl1-"]},
        {"coords": [0, 0, 0, 2.05, 2.05, 2.05], "cartesian": True},
        {"coords": [0, 0, 0, 0.5, 0.5, 0.5], "coords_are_cartesian": False},
    ],
)  # fmt: skip
def test_plain_arrays_are_read(one, changes):
    entry = {key: value for key, value in (ARRAYS | changes).items() if value is not None}
    assert same(one(json.dumps(entry), "a.json"))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"frac_coords": [0, 0, 0, 0.5, 0.5]}, "frac_coords"),
        ({"frac_coords": [0, 0, 0, 0.5, 0.5, "x"]}, "frac_coords"),
        ({"frac_coords": [0, 0, 0, 0.5, 0.5, 0.5], "lattice": [4.1]}, "lattice"),
        ({"frac_coords": [0, 0, 0, 0.5, 0.5, 0.5], "numbers": [55, 1e9]}, "numbers"),
        ({"frac_coords": [0, 0, 0, 0.5, 0.5, 0.5], "numbers": [55, -17]}, "numbers"),
        ({"frac_coords": [0, 0, 0, 0.5, 0.5, 0.5], "numbers": [55, 0.5]}, "numbers"),
        ({"frac_coords": {"x": 1}}, "frac_coords"),
        ({"coords": [0, 0, 0, 0.5, 0.5, 0.5]}, "coords"),
    ],
)
def test_arrays_that_are_wrong_name_their_key(fault, changes, place):
    assert fault(json.dumps(ARRAYS | changes), "a.json").place == place


def test_charges_in_pymatgens_dictionaries_do_no_harm(one):
    crystal = CRYSTAL.copy().add_oxidation_state_by_element({"Cs": 1, "Cl": -1})
    assert same(one(json.dumps(crystal.as_dict()), "a.json"))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda entry: entry,
        lambda entry: {"data": entry, "meta": {}},
        lambda entry: {"data": [entry], "links": {"next": None}},
        lambda entry: entry["attributes"],
    ],
)
def test_optimade_entries_are_read(one, wrap):
    assert same(one(json.dumps(wrap(ENTRY)), "a.json"))


def test_several_entries_are_named_by_their_ids(read):
    other = {**ENTRY, "id": "x-2"}
    found = read(json.dumps({"data": [ENTRY, other]}), "a.json")
    assert [item.name for item in found] == ["a.json#x-1", "a.json#x-2"]


def test_json_lines_are_read_line_by_line(read):
    lines = [json.dumps(CRYSTAL.as_dict()), "{broken", json.dumps(ENTRY)]
    first, second, third = read("\n".join(lines), "a.jsonl")
    assert same(first)
    assert second.place.startswith("line 2")
    assert same(third)


def changed(*path: object, value: object) -> str:
    """The OPTIMADE entry with one value replaced."""
    entry = deepcopy(ENTRY)
    inner = entry["attributes"]
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(entry)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("lattice_vectors", 0, 0), None),
        (("lattice_vectors", 0, 0), "4"),
        (("lattice_vectors", 0), [4, 0]),
        (("lattice_vectors",), {}),
        (("cartesian_site_positions", 1), [2, 2]),
        (("cartesian_site_positions",), 5),
        (("species_at_sites",), ["Cs"]),
        (("lattice_vectors",), None),
    ],
)
def test_a_broken_value_is_named(fault, path, value):
    error = fault(changed(*path, value=value), "a.json")
    assert error.code == "unreadable_structure"
    assert str(path[0]) in error.place


@pytest.mark.parametrize(
    ("kinds", "said"), [([0, 0, 0], "in any direction"), ([1, 1, 0], "in every direction")]
)
def test_what_is_not_periodic_is_read_with_its_cell_and_said(one, kinds, said):
    found = one(changed("dimension_types", value=kinds), "a.json")
    assert same(found)
    assert said in found.warnings[0]


def test_mixed_and_partly_empty_species_are_disorder(fault, one):
    species = [
        {"name": "Cs", "chemical_symbols": ["Cs", "Rb"], "concentration": [0.7, 0.3]},
        {"name": "Cl", "chemical_symbols": ["Cl", "vacancy"], "concentration": [0.6, 0.4]},
    ]
    text = changed("species", value=species)
    assert fault(text, "a.json").code == "disordered_structure"
    assert one(text, "a.json", disorder="majority").numbers.tolist() == [55, 17]


def test_nothing_named_in_a_document_is_imported(fault):
    text = json.dumps(
        {"@module": "os", "@class": "system", "lattice": "x", "sites": [{"@module": "os"}]}
    )
    assert fault(text, "a.json").code == "unreadable_structure"


@pytest.mark.parametrize(
    "text", ["{}", "[]", "[1]", '"x"', "null", "1", '{"a": NaN}', '{"data": []}', "{"]
)
def test_json_without_a_structure_is_refused(read, text):
    for item in read(text, "a.json"):
        assert item.code in ("unreadable_structure", "empty_input")
    assert len(read(text, "a.json")) == 1

"""Data sets as pandas, ASE, matminer and spreadsheets write them."""

import gzip
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.archives import zipped
from tests.workers.test_gathering import POSCAR, Desk, cif, cubic, desk, jsonl, row
from workers.jobs import Status

__all__ = ["desk"]

FILES = {f"{name}.cif": cif(4 + at / 10) for at, name in enumerate("abc")}
LABELS = {"a": -1.5, "b": 2.0, "c": 0.25}


def doubled_parquet() -> bytes:
    out = pa.BufferOutputStream()
    columns = [pa.array(["x"]), pa.array([1.0]), pa.array([2.0])]
    pq.write_table(pa.table(columns, names=["cif", "gap", "gap"]), out)
    return out.getvalue().to_pybytes()


def rows() -> Iterator[dict[str, Any]]:
    for name, value in LABELS.items():
        yield {"cif": FILES[f"{name}.cif"], "gap": value}


@pytest.mark.parametrize(
    "table",
    [
        ",material_id,gap\n0,a,-1.5\n1,b,2.0\n2,c,0.25\n",
        "Unnamed: 0,mid,formula,gap\n0,a,CsCl,-1.5\n1,b,CsCl,2.0\n2,c,CsCl,0.25\n",
        "gap,source,cif_file\n-1.5,x,a.cif\n2,y,b.cif\n0.25,z,c.cif\n",
        "id;gap\na;-1,5\nb;2,0\nc;0,25\n",
        "id;gap\na;\u20131,5\nb;2,0\nc;0,25\n",
    ],
    ids=[
        "index of pandas",
        "index read again",
        "ids at the end",
        "commas for points",
        "and a dash",
    ],
)
def test_the_column_with_the_names_of_files_is_found(desk: Desk, table: str) -> None:
    held = desk.held("d.zip", zipped(FILES | {"id_prop.csv": table}))
    assert dict(zip(held.names, held.scalars("gap"), strict=True)) == LABELS
    assert "formula" not in held.columns


@pytest.mark.parametrize("missing", ["n/a", "NA", "None", "-", "?", "1 eV"])
def test_a_first_line_that_names_a_file_is_no_header(desk: Desk, missing: str) -> None:
    table = f"a,{missing}\nb,2.0\nc,0.25\n"
    held = desk.held("d.zip", zipped(FILES | {"id_prop.csv": table}), good_share=0.5)
    assert held.names[-2:] == ["b", "c"]
    assert held.scalars("value")[-2:] == [2.0, 0.25]


NUMBERED = {f"{at}.cif": cif(4 + at / 10) for at in range(10)}


@pytest.mark.parametrize(
    "table",
    ["id,y\n" + "".join(f"{at},{at % 2}\n" for at in range(11)),
     "".join(f"{at},{at % 2}\n" for at in range(11)),
     "id,y\nx,3\n" + "".join(f"{at},{(at + 1) % 10}\n" for at in range(1, 10)),
     "m,id,y\n" + "".join(f"{at + 1},{at},{at}.5\n" for at in range(10)),
     "m,file of,y\n" + "".join(f"{at % 3},{at}.cif,{at}\n" for at in range(10)),
     "m,entry,y\n" + "".join(f"{at % 7},{at},{at}.5\n" for at in range(10)),
     "m,entry,y\n" + "".join(f"{at % 10},x{at},0\n" for at in range(10, 40))
     + "".join(f"{at},{at},{at}.5\n" for at in range(9)),
     "id,entry,y\n" + "".join(f"{3 + 37 * at},{at},{at}.5\n" for at in range(10)),
     "id,file,y\n" + "".join(f"{10 - at},{at}.cif,{at}.5\n" for at in range(10))],
    ids=["an id without file", "no header", "an odd id", "called so", "few other numbers",
         "many other numbers", "all of them again and again", "called so by chance", "both called so"],
)  # fmt: skip
def test_labels_that_look_like_names_of_files_stay_labels(desk: Desk, table: str) -> None:
    held = desk.held("d.zip", zipped(NUMBERED | {"id_prop.csv": table}), good_share=0.2)
    column = "y" if "y" in table else "value"
    said = {line.split(",")[-2].removesuffix(".cif"): float(line.split(",")[-1])
            for line in table.splitlines()[column == "y" :]}  # fmt: skip
    assert len(held.names) >= 9
    for name, value in zip(held.names, held.scalars(column), strict=True):
        assert said[name] == value


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("structure,gap", "{},{}"),
        ("cif,gap", "{}.cif,{}"),
        ("id,gap,lattice", "{},{},cubic"),
        ("id,gap,structure", "{}.cif,{},rocksalt"),
        ("id,gap,atoms", "{},{},8"),
    ],
)
def test_words_under_the_name_of_a_structure_hide_no_files(
    desk: Desk, head: str, line: str
) -> None:
    table = "\n".join([head, *(line.format(*one) for one in LABELS.items())])
    held = desk.held("d.zip", zipped(FILES | {"id_prop.csv": table}))
    assert held.scalars("gap") == list(LABELS.values())


def test_a_word_under_the_name_of_a_structure_is_a_label(desk: Desk) -> None:
    held = desk.held("d.jsonl", jsonl(*(one | {"structure": "rocksalt"} for one in rows())))
    assert held.scalars("structure") == ["rocksalt"] * 3


@pytest.mark.parametrize(
    ("top", "call"),
    [("", "cifs/{}.cif"), ("", "./cifs/{}"), ("top/", "./cifs/{}.cif"), ("top/", "cifs/{}")],
)
def test_ids_may_name_the_folder_of_their_file(desk: Desk, top: str, call: str) -> None:
    files = {f"{top}cifs/{name}": text for name, text in FILES.items()}
    table = "".join(f"{call.format(name)},{value}\n" for name, value in LABELS.items())
    held = desk.held("d.zip", zipped(files | {f"{top}id_prop.csv": table}))
    assert held.scalars("value") == list(LABELS.values())


def test_a_poscar_may_say_so_beside_its_name(desk: Desk) -> None:
    names = ["POSCAR.mp-1", "POSCAR_mp-2", "mp-3_POSCAR", "POSCAR-mp-4.vasp"]
    files = {name: POSCAR.format(a=4 + at / 10) for at, name in enumerate(names)}
    table = "".join(f"mp-{at},{at}\n" for at in range(1, 5))
    held = desk.held("d.zip", zipped(files | {"id_prop.csv": table}))
    assert dict(zip(held.names, held.scalars("value"), strict=True)) == {
        f"mp-{at}": at for at in range(1, 5)
    }


@pytest.mark.parametrize(
    "coded",
    [
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-32"),
        lambda text: text.replace("-", "\u2212").encode(),
        lambda text: text.replace("-", "\u2013").encode(),
        lambda text: text.replace("-", "\u2011").encode(),
    ],
    ids=[
        "ends of lines of old",
        "two bytes a character",
        "four",
        "printed minus",
        "dash",
        "hyphen",
    ],
)
def test_a_table_may_be_written_in_several_ways(desk: Desk, coded: Callable[[str], bytes]) -> None:
    table = coded("id,gap\n" + "".join(f"{name},{value}\n" for name, value in LABELS.items()))
    held = desk.held("d.zip", zipped(FILES | {"id_prop.csv": table}))
    assert held.scalars("gap") == list(LABELS.values())
    texts = coded("id,gap,poscar\n" + "".join(
        f'{name},{value},"{POSCAR.format(a=4 + value / 10)}"\n' for name, value in LABELS.items()
    ))  # fmt: skip
    assert desk.held("d.csv", texts, name="e").scalars("gap") == list(LABELS.values())


@pytest.mark.parametrize("name", ["d.json", "d.jsonl"])
def test_json_may_have_two_bytes_a_character(desk: Desk, name: str) -> None:
    text = json.dumps(list(rows())) if name == "d.json" else jsonl(*rows()).decode()
    assert desk.held(name, text.encode("utf-16")).scalars("gap") == list(LABELS.values())


MATRIX = [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
JARVIS = {"lattice_mat": MATRIX, "elements": ["Cs", "Cl"]}
HALF, TWO = [[0, 0, 0], [0.5, 0.5, 0.5]], [[0, 0, 0], [2, 2, 2]]
ARGUMENTS = {"lattice": MATRIX, "species": ["Cs", "Cl"]}


def test_coordinates_are_what_is_said_of_them(desk: Desk) -> None:
    given = [
        JARVIS | {"coords": HALF},
        JARVIS | {"coords": HALF, "cartesian": False},
        JARVIS | {"coords": TWO, "cartesian": True},
        ARGUMENTS | {"coords": HALF, "coords_are_cartesian": False},
        ARGUMENTS | {"coords": TWO, "coords_are_cartesian": True},
    ]
    rows = [row for arrays in given for row in (arrays, {"structure": arrays}, {"atoms": arrays})]
    held = desk.held("d.jsonl", jsonl(*(row | {"gap": 1.0} for row in rows)))
    assert list(held.columns) == ["gap"]
    assert len(held.names) == 15
    for at in range(15):
        assert np.allclose(held.structure(at).fractional[1], 0.5)


def test_the_keys_of_optimade_may_be_those_of_the_row(desk: Desk) -> None:
    kinds = [
        {"name": name, "chemical_symbols": [name], "concentration": [1]} for name in ("Cs", "Cl")
    ]
    entry = {"id": "x", "lattice_vectors": MATRIX, "cartesian_site_positions": TWO, "species": kinds,
             "species_at_sites": ["Cs", "Cl"], "elements": ["Cl", "Cs"], "gap": 1.0}  # fmt: skip
    held = desk.held("d.jsonl", jsonl(entry))
    assert (held.names, list(held.columns)) == (["x"], ["gap"])
    assert held.structure(0).numbers.tolist() == [55, 17]


def test_some_keys_of_optimade_beside_arrays_make_no_entry(desk: Desk) -> None:
    arrays = {"lattice_vectors": MATRIX, "numbers": [55, 17], "positions": TWO, "gap": 1.0}
    held = desk.held("d.jsonl", jsonl(arrays | {"cartesian_site_positions": TWO}))
    assert held.structure(0).numbers.tolist() == [55, 17]


def test_a_line_that_is_too_long_harms_only_its_frame(desk: Desk) -> None:
    frame = '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 energy={}\nCs 0 0 0{}\n'
    frames = "".join(frame.format(at, " é" * 20_000 * (at == 1)) for at in range(3))
    held = desk.held("d.extxyz", frames.encode(), good_share=0.5)
    assert held.scalars("energy") == [0.0, 2.0]


def test_semicolons_part_numbers_with_commas_without_a_header_too(desk: Desk) -> None:
    table = "a;-1,5\nb;2,0\nc;0,25\n"
    held = desk.held("d.zip", zipped(FILES | {"id_prop.csv": table}))
    assert held.scalars("value") == list(LABELS.values())


def test_symbols_of_elements_stay_words(desk: Desk) -> None:
    symbols = ["Na", "F", "No", "T", "K", "NA", "true"]
    files = {f"{at}.cif": cif(4 + at / 10) for at in range(7)}
    table = "id,ion\n" + "".join(f"{at},{symbol}\n" for at, symbol in enumerate(symbols))
    held = desk.held("d.zip", zipped(files | {"id_prop.csv": table}), good_share=0.5)
    assert held.scalars("ion")[:6] == ["Na", "F", "No", "T", "K", None]
    lines = [{"cif": text, "ion": ion} for text, ion in zip(files.values(), symbols, strict=True)]
    told = desk.held("e.jsonl", jsonl(*lines), name="e", good_share=0.5)
    assert told.scalars("ion")[:6] == ["Na", "F", "No", "T", "K", None]


@pytest.mark.parametrize(
    "document",
    [
        dict(zip("abc", rows(), strict=True)),
        {"cif": [one["cif"] for one in rows()], "gap": [one["gap"] for one in rows()]},
        {key: {name: one[key] for name, one in zip("abc", rows(), strict=True)} for key in ("cif", "gap")},
        {"index": ["a", "b", "c"], "columns": ["cif", "gap"], "data": [list(one.values()) for one in rows()]},
        {key: {name: row(at, gap=gap)[key] for at, (name, gap) in enumerate(LABELS.items())}
         for key in ("lattice", "numbers", "frac_coords", "gap")},
    ],
    ids=["rows by id", "lists by column", "columns of pandas", "split of pandas", "arrays of pandas"],
)  # fmt: skip
def test_a_json_document_is_a_table_in_several_ways(desk: Desk, document: dict[str, Any]) -> None:
    held = desk.held("d.json", json.dumps(document).encode())
    assert held.scalars("gap") == list(LABELS.values())
    by_list = isinstance(document.get("cif"), list)
    assert held.names == (["row 1", "row 2", "row 3"] if by_list else ["a", "b", "c"])


def test_columns_of_objects_are_joined_by_their_keys(desk: Desk) -> None:
    cifs = {name: FILES[f"{name}.cif"] for name in "abc"}
    document = {"cif": cifs, "gap": {"c": 3, "b": 2}, "t": {"b": 5, "c": 6, "a": 4, "d": 7}}
    held = desk.held("d.json", json.dumps(document).encode(), good_share=0.5)
    assert held.names == ["a", "b", "c"]
    assert (held.scalars("gap"), held.scalars("t")) == ([None, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert [bad["name"] for bad in desk.report(held)] == ["d"]


def test_signs_that_no_text_has_harm_no_other_row(desk: Desk) -> None:
    lone = "\ud800"
    given = [{**one, "id": f"{lone}{at}", "t": lone, lone: 1} for at, one in enumerate(rows())]
    held = desk.held("d.jsonl", jsonl(*given, {lone: 1}), good_share=0.5)
    assert (held.names, held.scalars("t")) == (["?0", "?1", "?2"], ["?"] * 3)
    document = {"columns": [lone, lone], "data": [[1, 2]]}
    error = desk.run("d.json", json.dumps(document).encode()).error
    assert error
    assert error["got"] == "?, ?"


def test_one_json_object_with_a_structure_is_one_row(desk: Desk) -> None:
    structure = {key: row(0)[key] for key in ("lattice", "numbers", "frac_coords")}
    held = desk.held("d.json", json.dumps({"structure": structure, "gap": 1.0}).encode())
    assert held.scalars("gap") == [1.0]


def test_a_table_with_structures_may_be_packed(desk: Desk) -> None:
    lines = ["id,gap,cif"] + [f'{name},{LABELS[name]},"{FILES[f"{name}.cif"]}"' for name in "abc"]
    table = "\n".join(lines).encode()
    for name, data in (("t.csv.gz", gzip.compress(table)), ("t.zip", zipped({"t.csv": table}))):
        assert desk.held(name, data, name=name).names == ["a", "b", "c"]


def test_arrays_that_ase_marks_as_json_are_lists(desk: Desk) -> None:
    frame = (
        '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 '
        'dipole="_JSON [[1.0, 2.0], [3.0, 4.0]]" energy={}\nCs 0 0 0\n'
    )
    held = desk.held("d.xyz", "".join(frame.format(at) for at in range(3)).encode())
    assert held.columns["dipole"].kind == "list"


@pytest.mark.parametrize(
    ("name", "data", "hint"),
    [
        ("a.db", b"SQLite format 3\0" + bytes(90), "ase.io.write"),
        ("a.json", b'{"1": {"numbers": [55]}, "ids": [1], "nextid": 2}', "ase.io.write"),
        ("a.jsonl.bz2", b"BZh91AY&SY" + bytes(range(90)), "gzip"),
        ("a.jsonl", jsonl({"structure": "{'@module': 'x'}", "gap": 1.0}), "json.dumps"),
        ("a.jsonl", jsonl({"cif": "a.cif", "gap": 1.0}), "`cif` is not the text"),
        ("a.jsonl", jsonl({"structure": {"lattice": cubic(4), "species": ["Cs"], "coords": [[0, 0, 0]]}}),
         "frac_coords"),
        ("a.jsonl", jsonl({"lattice": [1], "frac_coords": [1], "symbols": "Cs Cl"}), "numbers"),
        ("a.cif", cif(4).encode(), "zip"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_how_it_can_be(
    desk: Desk, name: str, data: bytes, hint: str
) -> None:
    job = desk.run(name, data)
    assert job.status is Status.FAILED
    assert hint in str(job.error and job.error["hint"])


def test_a_table_of_other_files_says_so(desk: Desk) -> None:
    job = desk.run("d.zip", zipped(FILES | {"id_prop.csv": "x,1\ny,2\n"}))
    assert "No line of id_prop.csv names a file" in str(job.error and job.error["detail"])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("d.zip", zipped(FILES | {"id_prop.csv": "id,gap,gap\na,1,2\nb,1,3\nc,1,4\n"})),
        ("d.zip", zipped(FILES | {"id_prop.csv": "id, gap , gap \na,1,2\nb,1,3\nc,1,4\n"})),
        ("d.csv", b"cif,gap,gap\nx,1,2\n"),
        ("d.json", json.dumps({"columns": ["cif", "gap", "gap"], "data": [["x", 1, 2]]}).encode()),
        ("d.json", b'[{"cif": "x", "gap": 1, "gap": 2}]'),
        ("d.parquet", doubled_parquet()),
    ],
    ids=["table of a zip", "with blanks", "csv", "split of pandas", "json", "parquet"],
)
def test_two_columns_of_one_name_are_refused(desk: Desk, name: str, data: bytes) -> None:
    job = desk.run(name, data)
    assert job.error
    assert (job.error["code"], "gap" in job.error["detail"]) == ("bad_dataset", True)


def test_a_line_of_json_that_says_one_thing_twice_is_a_bad_row(desk: Desk) -> None:
    twice = json.dumps(row(12, gap=1.0))[:-1] + ', "gap": 2.0}'
    held = desk.held("d.jsonl", jsonl(*(row(number, gap=1.0) for number in range(12)), twice))
    (bad,) = desk.report(held)
    assert "'gap' stands twice" in str(bad["error"])


def test_a_line_of_the_table_with_a_comma_for_the_point_is_a_bad_row(desk: Desk) -> None:
    names = [f"x{number}" for number in range(12)]
    files = {f"{name}.cif": cif(4 + at / 10) for at, name in enumerate(names)}
    table = "\n".join(["id,gap", "x0,2.5,", "x1,2,5", *(f"{name},1" for name in names[2:])])
    held = desk.held("d.zip", zipped(files | {"id_prop.csv": table}))
    assert held.names == ["x0", *names[2:]]
    (bad,) = desk.report(held)
    assert (bad["row"], bad["name"]) == (3, "x1")
    assert "more values than the table has columns" in str(bad["error"])


@pytest.mark.parametrize("suffix", ["", ".cif", ".cif.gz"])
def test_files_in_a_zip_may_be_packed_alone(desk: Desk, suffix: str) -> None:
    files = {f"sub/{name}.gz": gzip.compress(text.encode()) for name, text in FILES.items()}
    table = "".join(f"{name}{suffix},{value}\n" for name, value in LABELS.items())
    held = desk.held("d.zip", zipped(files | {"id_prop.csv": table}))
    assert dict(zip(held.names, held.scalars("value"), strict=True)) == LABELS


def test_decimals_of_parquet_are_numbers(desk: Desk) -> None:
    out = pa.BufferOutputStream()
    names = list(LABELS)
    table = pa.table(
        {
            "id": names,
            "cif": list(FILES.values()),
            "gap": pa.array([Decimal("1.25"), None, Decimal("-2.50")], pa.decimal128(9, 2)),
            "three": pa.array([[Decimal("0.5")] * 3] * 3, pa.list_(pa.decimal128(9, 2))),
        }
    )
    pq.write_table(table, out)
    held = desk.held("d.parquet", out.getvalue().to_pybytes())
    assert held.scalars("gap") == [1.25, None, -2.5]
    assert held.columns["three"].kind == "list"


def test_a_format_that_is_none_of_data_sets_names_those_that_are(desk: Desk) -> None:
    error = desk.run("d.cif", cif(4).encode(), format="cif").error
    assert error
    assert "parquet" in error["expected"]
    assert "Send one of these" in error["hint"]

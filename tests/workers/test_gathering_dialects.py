"""Data sets as pandas, ASE, matminer and spreadsheets write them."""

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.workers.test_gathering import Desk, cif, desk, jsonl, row, zipped
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
    ],
    ids=["index of pandas", "index read again", "ids at the end", "commas for points"],
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
    ],
    ids=["rows by id", "lists by column", "columns of pandas", "split of pandas"],
)  # fmt: skip
def test_a_json_document_is_a_table_in_several_ways(desk: Desk, document: object) -> None:
    held = desk.held("d.json", json.dumps(document).encode())
    assert held.scalars("gap") == list(LABELS.values())


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
        ("a.jsonl", jsonl({"lattice": [1], "frac_coords": [1], "symbols": "Cs Cl"}), "numbers"),
        ("a.cif", cif(4).encode(), "zip"),
    ],
)
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

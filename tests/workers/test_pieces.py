"""Sources taken apart into single structures, by the program and by its parts."""

import gzip
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager

import msgpack
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from models.errors import BadArchive, EmptyInput
from tests.archives import tarred, zipped
from workers.pack import PackWriter
from workers.pieces import _of_own, of_file, of_pack, of_place, tell

CIF = "data_{0}\n_cell_length_a 4\nloop_\n_atom_site_label\n_atom_site_fract_x\nNa 0\n"
FRAME = '1\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3\nNa 0 0 0\n'
ROW = {"lattice": [[4, 0, 0], [0, 4, 0], [0, 0, 4]], "numbers": [11], "frac_coords": [[0, 0, 0]]}


def names(data: bytes, name: str, forced: str | None = None) -> list[str]:
    return [piece.name for piece in of_file(io.BytesIO(data), name, forced)]


FILES = {"d/e/a.cif": CIF.format("a"), "README": "hello", "b.cif": CIF.format("b")}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (zipped(FILES), "all.zip"),
        (tarred(FILES), "all.tar"),
        (gzip.compress(tarred(FILES)), "all.tar.gz"),
        (zstandard.compress(tarred(FILES)), "all.tar.zst"),
    ],
)
def test_an_archive_gives_its_structures_by_their_paths(data, name):
    assert names(data, name) == [f"{name}/d/e/a.cif", f"{name}/b.cif"]


def test_blocks_of_a_cif_are_structures_and_blocks_without_sites_are_none():
    text = "data_global\n_title x\n" + CIF.format("a") + CIF.format("b") + CIF.format("a")
    assert names(text.encode(), "x.cif") == ["x.cif#a", "x.cif#b", "x.cif#a-2"]


def test_what_stands_in_a_text_field_begins_no_block():
    text = CIF.format("a") + "_text\n;\ndata_b\n_atom_site_no\n;\n"
    assert names(text.encode(), "x.cif") == ["x.cif"]


def test_frames_and_lines_are_one_structure_each():
    assert names((FRAME * 3).encode(), "x.extxyz") == ["x.extxyz#1", "x.extxyz#2", "x.extxyz#3"]
    rows = [json.dumps(ROW), json.dumps(ROW | {"material_id": "mp-1"}), "{broken"]
    found = list(of_file(io.BytesIO("\n".join(rows).encode()), "x.jsonl", None))
    assert [piece.name for piece in found] == ["x.jsonl#1", "mp-1", "x.jsonl#3"]
    assert found[2].error["code"] == "unreadable_structure"


def test_rows_of_a_parquet_file_are_structures():
    held = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([ROW, ROW]), held)
    assert names(held.getvalue(), "x.parquet") == ["x.parquet#1", "x.parquet#2"]


def test_a_bad_member_is_one_bad_piece():
    data = zipped({"a.cif": CIF.format("a"), "b.cif": "\0\1\2" * 99, "c.zip": "PK\x03\x04"})
    found = list(of_file(io.BytesIO(data), "all.zip", None))
    assert [piece.error and piece.error["code"] for piece in found] == [
        None, "unknown_format", "unknown_format",
    ]  # fmt: skip


def test_an_archive_that_grows_absurdly_is_refused():
    data = zipped({"a.cif": "data_x\n" + " " * 50_000_000})
    with pytest.raises(BadArchive):
        names(data, "bomb.zip")


def test_files_of_a_pack_keep_their_order_and_a_refused_one_its_place(tmp_path):
    path = tmp_path / "pack"
    with path.open("wb") as file:
        pack = PackWriter(file)
        for name, data in (("a.cif", CIF.format("a").encode()), ("z.zip", zipped(FILES))):
            pack.begin(name)
            pack.write(data)
            pack.end()
        pack.begin("large.cif")
        pack.drop({"code": "too_large", "detail": "x"})
        pack.close()
    assert [piece.name for piece in of_pack(path, None)] == [
        "a.cif", "z.zip/d/e/a.cif", "z.zip/b.cif", "large.cif",
    ]  # fmt: skip


def test_a_folder_is_read_in_order_and_links_are_not_followed(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.cif").write_text(CIF.format("x"))
    (tmp_path / "a.cif").write_text(CIF.format("a"))
    (tmp_path / "link.cif").symlink_to(tmp_path / "a.cif")
    assert [piece.name for piece in of_place(tmp_path, None)] == ["a.cif", "b/x.cif"]


def test_an_empty_folder_says_so(tmp_path):
    with pytest.raises(EmptyInput):
        list(of_place(tmp_path, None))


def test_the_end_is_told_and_the_first_ones_are_left_out():
    held = io.BytesIO()
    tell(held, of_file(io.BytesIO((FRAME * 3).encode()), "x.extxyz", None), skip=2)
    held.seek(0)
    piece, end = msgpack.Unpacker(held)
    assert (piece[0], end) == ("x.extxyz#3", None)


def told(pieces) -> list[tuple[str, str | None]]:
    """Names and codes as the other side of the pipe has them."""
    held = io.BytesIO()
    tell(held, pieces, skip=0)
    held.seek(0)
    *found, end = msgpack.Unpacker(held)
    assert end is None
    return [(name, error and error["code"]) for name, _, _, error, _ in found]


GOOD = json.dumps({"id": "good", "poscar": "…\n"})


@pytest.mark.parametrize(
    "odd",
    [
        r'{"id": "\ud800", "poscar": "…\n"}',
        '{"sites": [{"properties": 5}], "lattice": 1}',
        '{"sites": [{"properties": {"a": 1}}, 5], "lattice": {}}',
    ],
)
def test_a_row_that_nobody_expects_costs_no_other_row(odd):
    data = f"{GOOD}\n{odd}\n{GOOD}\n".encode()
    found = told(of_file(io.BytesIO(data), "a.jsonl", None))
    assert [found[0], found[2]] == [("good", None)] * 2
    assert len(found) == 3


def test_a_frame_whose_count_is_no_plain_number_is_the_last_one_of_its_file_only():
    data = FRAME.encode() + "²\n".encode("latin-1")
    found = told(of_file(io.BytesIO(data), "x.extxyz", None))
    assert found == [("x.extxyz#1", None), ("x.extxyz#2", "unreadable_structure")]


def test_names_may_hold_bytes_that_no_text_has(tmp_path):
    for name in (b"a.cif", b"b\xff.cif", b"c.cif"):
        with open(bytes(tmp_path) + b"/" + name, "w") as file:  # noqa: PTH123 - bytes
            file.write(CIF.format("x"))
    assert told(of_place(tmp_path, None)) == [("a.cif", None), ("b?.cif", None), ("c.cif", None)]


def test_a_file_that_cannot_be_opened_is_a_bad_piece(tmp_path):
    with closing_folder(tmp_path) as folder:
        found = told(_of_own("b.cif", folder, "d/b.cif", None))
    assert found == [("d/b.cif", "unreadable_structure")]


@contextmanager
def closing_folder(path):
    folder = os.open(path, os.O_RDONLY)
    yield folder
    os.close(folder)


def test_a_place_that_became_a_link_after_it_was_allowed_is_not_followed(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x.cif").write_text(CIF.format("x"))
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(tmp_path / "secret")
    (tmp_path / "root" / "x.cif").symlink_to(tmp_path / "secret" / "x.cif")
    for way in ("a", "a/x.cif", "x.cif"):
        with pytest.raises(EmptyInput):
            list(of_place(tmp_path / "root" / way, None))


def test_a_folder_that_becomes_a_link_while_it_is_walked_is_not_followed(tmp_path):
    for name in ("a.cif", "secret/x.cif", "root/a.cif", "root/b/x.cif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(CIF.format("x"))
    stream = of_place(tmp_path / "root", None)
    found = [next(stream).name]
    shutil.rmtree(tmp_path / "root" / "b")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "secret")
    assert found + [piece.name for piece in stream if not piece.error] == ["a.cif"]


def test_a_folder_that_is_gone_when_its_turn_comes_is_a_bad_piece(tmp_path):
    for name in ("a.cif", "b/x.cif", "c/x.cif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(CIF.format("x"))
    stream = of_place(tmp_path, None)
    next(stream)
    shutil.rmtree(tmp_path / "b")
    assert told(stream) == [("c/x.cif", None), ("b", "unreadable_structure")]


def ran(path, **how) -> list:
    """What the program tells of a place."""
    command = [sys.executable, "-m", "workers.pieces", "1", "place", str(path)]
    unpacker = msgpack.Unpacker()
    unpacker.feed(subprocess.run(command, capture_output=True, check=True, **how).stdout)
    return list(unpacker)


def test_the_program_writes_to_a_descriptor(tmp_path):
    (tmp_path / "a.cif").write_text(CIF.format("a"))
    assert [found and found[0] for found in ran(tmp_path)] == ["a.cif", None]


def little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (700_000_000, 700_000_000))


def test_a_document_that_takes_too_much_memory_costs_no_other_file(tmp_path):
    (tmp_path / "a.json").write_bytes(b"[" + b"[]," * 8_000_000 + b"[]]")
    (tmp_path / "b.cif").write_text(CIF.format("a"))
    greedy, other, end = ran(tmp_path, preexec_fn=little_memory)
    assert (greedy[0], greedy[3]["code"]) == ("a.json", "too_large")
    assert (other[0], other[3], end) == ("b.cif", None, None)

import gzip
import io
import tarfile
import zipfile

import pytest
import zstandard

from models.errors import EmptyInput, UnknownFormat
from models.structures.formats import Format, recognise

POSCAR = b"x\n1.0\n4 0 0\n0 4 0\n0 0 4\nCs Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"
CIF = b"data_x\n_cell_length_a 4\n"
EXTXYZ = b'1\nLattice="4 0 0 0 4 0 0 0 4"\nH 0 0 0\n'


def zipped(name: str = "a.cif", data: bytes = CIF) -> bytes:
    """A zip of one file."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, data)
    return made.getvalue()


def tarred() -> bytes:
    """A tar of one POSCAR."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        member = tarfile.TarInfo("POSCAR")
        member.size = len(POSCAR)
        archive.addfile(member, io.BytesIO(POSCAR))
    return made.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.cif", CIF, Format.CIF),
        ("A.CIF", CIF, Format.CIF),
        ("a.mcif", CIF, Format.CIF),
        ("a.txt", CIF, Format.CIF),
        ("upload", b"\xef\xbb\xbf" + CIF, Format.CIF),
        ("upload", CIF.decode().encode("utf-16"), Format.CIF),
        ("POSCAR", POSCAR, Format.POSCAR),
        ("CONTCAR", POSCAR, Format.POSCAR),
        ("POSCAR_Fe2O3", POSCAR, Format.POSCAR),
        ("x.POSCAR.vasp", POSCAR, Format.POSCAR),
        ("run1/CONTCAR.relaxed", POSCAR, Format.POSCAR),
        ("upload.txt", POSCAR, Format.POSCAR),
        ("a.xyz", EXTXYZ, Format.EXTXYZ),
        ("upload", EXTXYZ, Format.EXTXYZ),
        (
            "upload",
            b'3\n0.5 Lattice="4 0 0 0 4 0 0 0 4"\n26 0 0 0\n8 2 2 2\n8 2 0 0',
            Format.EXTXYZ,
        ),
        ("a.json", b'{"lattice": 1}', Format.JSON),
        ("upload", b' [{"lattice": 1}]', Format.JSON),
        ("a.json", b'{"a": 1}\n{"a": 2}\n', Format.JSONL),
        ("a.jsonl", b'{"a": 1}', Format.JSONL),
        ("s.zip", zipped(), Format.ZIP),
        ("upload", zipped(), Format.ZIP),
        ("upload", zipped("POSCAR", POSCAR), Format.ZIP),
        ("upload", tarred(), Format.TAR),
        ("a.cif.gz", gzip.compress(CIF, mtime=0), Format.GZ),
        ("a.cif.zst", zstandard.compress(CIF), Format.ZST),
        ("a.tar.zst", zstandard.compress(CIF), Format.TAR),
        ("a.tar.gz", gzip.compress(CIF, mtime=0), Format.TAR),
    ],
)
def test_the_kind_is_told_by_name_and_content(name, data, kind):
    assert recognise(name, data) is kind


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (b"%PDF-1.7\n", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, "a PNG image"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 50, "a JPEG image"),
        (b"<!DOCTYPE html>\n<html>data_x</html>", "an HTML page"),
        (b"<?xml version='1.0'?><cml/>", "an XML document"),
        (zipped(), "a zip archive"),
        (gzip.compress(CIF, mtime=0), "a gzip file"),
        (b"BZh91AY&SY", "a bzip2 file"),
        (b"\x80\x04\x95" + b"\0" * 20, "a Python pickle"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"ATOM      1  N   MET A   1      27.340  24.430   2.614\n", "a PDB file"),
        (
            b"TITL x\nCELL 0.7 4 4 4 90 90 90\nZERR 1\n",
            "a SHELX file (.ins or .res); export it as CIF",
        ),
        (POSCAR, "a poscar file"),
        (b'{"lattice": 1}', "a json file"),
        (bytes(range(256)) * 20, "binary data"),
        (b"Dear editor,\n", "text without any `data_` line or CIF tag"),
    ],
)
def test_another_kind_under_the_name_cif_is_told_what_it_looks_like(data, looks):
    with pytest.raises(UnknownFormat) as caught:
        recognise("a.cif", data)
    assert caught.value.got == looks
    assert caught.value.hint


@pytest.mark.parametrize("name", ["POSCAR", "mp-1.vasp", "upload"])
@pytest.mark.parametrize(
    "comment",
    ["[001] slab", "{NaCl}", "data_mp-1", "CDFe test", "CELL of NaCl", "#! x", "<100>", "ATOM  x", "%PDF"],
)  # fmt: skip
def test_the_first_line_of_a_poscar_may_be_anything(name, comment):
    assert recognise(name, POSCAR.replace(b"x", comment.encode(), 1)) is Format.POSCAR


def test_what_only_is_called_poscar_is_told_what_it_looks_like():
    for data, looks in ((CIF, "a cif file"), (b"%PDF-1.7\n", "a PDF document")):
        with pytest.raises(UnknownFormat) as caught:
            recognise("POSCAR", data)
        assert caught.value.got == looks


@pytest.mark.parametrize(("name", "data"), [("set", b"PAR1\x15\x04"), ("set.csv", b"id,cif\n")])
def test_a_table_is_told_where_tables_go(name, data):
    with pytest.raises(UnknownFormat) as caught:
        recognise(name, data)
    assert "/v1/screenings" in caught.value.hint
    assert "format=" not in caught.value.hint


def test_a_forced_format_wins():
    assert recognise("notes.txt", b"anything", Format.CIF) is Format.CIF


def test_a_format_forced_on_an_archive_is_meant_for_its_members():
    assert recognise("s.zip", zipped(), Format.CIF) is Format.ZIP


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n", b"\0\0\0"])
def test_an_empty_file_is_empty(data):
    with pytest.raises(EmptyInput):
        recognise("a.cif", data)


def test_an_unknown_word_for_a_format_lists_the_known_ones(fault):
    assert "poscar" in fault("x", "a.cif", "docx").expected

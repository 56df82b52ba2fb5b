"""Which kind of file this is, by its name and its first bytes; light enough for the service."""

import re
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TypeGuard

from models.errors import EmptyInput, UnknownFormat


class Format(StrEnum):
    """The kinds of files read here; `format=` takes these names."""

    CIF = "cif"
    POSCAR = "poscar"
    EXTXYZ = "extxyz"
    JSON = "json"
    OPTIMADE = "optimade"
    JSONL = "jsonl"
    ZIP = "zip"
    TAR = "tar"
    GZ = "gz"
    ZST = "zst"


PACKED = frozenset({Format.GZ, Format.ZST})  # one file, which may be a tar
ARCHIVES = frozenset({Format.ZIP, Format.TAR}) | PACKED
READ_HERE = (
    "CIF, POSCAR/CONTCAR, extxyz, pymatgen JSON, OPTIMADE JSON, JSON lines, zip, tar, gz, zst"
)

HEAD_BYTES = 65_536  # what `recognise` looks at; more does no harm

_SUFFIXES = {
    ".cif": Format.CIF,
    ".mcif": Format.CIF,
    ".mmcif": Format.CIF,
    ".vasp": Format.POSCAR,
    ".poscar": Format.POSCAR,
    ".contcar": Format.POSCAR,
    ".xyz": Format.EXTXYZ,
    ".extxyz": Format.EXTXYZ,
    ".json": Format.JSON,
    ".optimade": Format.OPTIMADE,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".zip": Format.ZIP,
    ".tar": Format.TAR,
    ".tgz": Format.TAR,
    ".gz": Format.GZ,
    ".zst": Format.ZST,
}

_ARCHIVE_MAGIC = (
    (b"PK\x03\x04", Format.ZIP, "a zip archive"),
    (b"PK\x05\x06", Format.ZIP, "an empty zip archive"),
    (b"\x1f\x8b", Format.GZ, "a gzip file"),
    (b"\x28\xb5\x2f\xfd", Format.ZST, "a zstd file"),
)

_PARQUET = "a Parquet file"
_OF_TABLES = (
    "Tables of structures go to a screening (POST /v1/screenings) or, with labels, into a data set."
)

# What people send by mistake; the answer names it.
_OTHER_MAGIC = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"BM", "a BMP image"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"7z\xbc\xaf", "a 7-zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"CDF", "a NetCDF file"),
    (b"\x93NUMPY", "a numpy array"),
    (b"SQLite format 3", "an SQLite database"),
    (b"PAR1", _PARQUET),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"\xd0\xcf\x11\xe0", "a Microsoft Office document"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
)

# Text that is no structure of ours; tried in this order on the beginning of the file.
_OTHER_TEXT = (
    (re.compile(r"<(!doctype )?html", re.IGNORECASE), "an HTML page"),
    (re.compile(r"<\?xml|<[a-z]+[ >/]", re.IGNORECASE), "an XML document"),
    (re.compile(r"\{\\rtf"), "an RTF document"),
    (re.compile(r"#!"), "a script"),
    (re.compile(r"#VESTA_FORMAT"), "a VESTA file; export it as CIF"),
    (re.compile(r"(TITL|CELL) [^\n]*\n"), "a SHELX file (.ins or .res); export it as CIF"),
    (re.compile(r"-----BEGIN "), "a key or certificate"),
)  # fmt: skip
_OTHER_LINES = (
    (re.compile(r"^(ATOM  |HETATM|CRYST1) ", re.MULTILINE), "a PDB file"),
    (
        re.compile(r"^[ \t]*&(control|system)\b", re.IGNORECASE | re.MULTILINE),
        "a Quantum ESPRESSO input",
    ),
    (re.compile(r"^[ \t]*%block\b", re.IGNORECASE | re.MULTILINE), "a CASTEP or SIESTA input"),
    (re.compile(r"^[ \t]*(PRIMVEC|BEGIN_BLOCK)", re.MULTILINE), "an XSF file"),
)

_CIF = re.compile(
    r"^[ \t]*(data_|loop_[ \t]*$|_(cell|atom_site|symmetry|space_group)[_.])",
    re.IGNORECASE | re.MULTILINE,
)
_EXTXYZ = re.compile(r"\s*\d+[ \t]*\n[^\n]*lattice\s*=", re.IGNORECASE)
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?$")


def recognise(name: str, data: bytes, forced: Format | None = None) -> Format:
    """The kind of this file; `data` may be just its beginning.

    Raises: EmptyInput, UnknownFormat (naming what the file looks like).
    """
    if forced is None and _ordinary_cif(name, data):
        return Format.CIF
    if not data.strip(b" \t\r\n\0\x1a"):
        raise EmptyInput(
            "The file is empty.", file=name, hint="Send a file that holds a structure."
        )
    named = _by_name(name)
    magic = _archive(data)
    plain = forced is None and magic is None and named in (None, Format.POSCAR)
    if plain and _is_text(data) and _looks_like_poscar(head_text(data)):
        return Format.POSCAR  # whose first line may be anything
    if forced and not (magic and named in ARCHIVES and forced not in ARCHIVES):
        return forced
    if magic:
        return _as_archive(name, named, *magic)
    _refuse_binary(name, data)
    return _as_text(name, named, data)


def _ordinary_cif(name: str, data: bytes) -> bool:
    """Nothing else begins like this and holds sites; saves the closer look."""
    return (
        name.endswith(".cif")
        and data[:1] in (b"#", b"d", b"\n", b"_")
        and b"data_" in data
        and b"_atom_site_fract_x" in data
        and data.isascii()
    )


def kind_of(data: bytes) -> str | None:
    """What this looks like in words, when it is no structure file."""
    for magic, kind in _OTHER_MAGIC:
        if data.startswith(magic) and not (len(magic) == 2 and _is_text(data)):
            return kind
    archive = _archive(data)
    if archive:
        return archive[1]
    head = head_text(data)
    start = head.lstrip()
    for pattern, kind in _OTHER_TEXT:
        if pattern.match(start):
            return kind
    if _CIF.search(head):  # mmCIF has lines like PDB's
        return None
    return next((kind for pattern, kind in _OTHER_LINES if pattern.search(head)), None)


def head_text(data: bytes) -> str:
    """The beginning as text, good enough to recognise it."""
    head = data[:HEAD_BYTES]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or head[1:2] == b"\0" or head[:1] == b"\0":
        head = head.replace(b"\0", b"")
    text = head.decode("latin-1").removeprefix("\xef\xbb\xbf").removeprefix("\xff\xfe")
    return text.removeprefix("\xfe\xff").replace("\r\n", "\n").replace("\r", "\n")


def _by_name(name: str) -> Format | None:
    last = PurePosixPath(name.replace("\\", "/")).name.lower()
    if last.endswith((".tar.gz", ".tar.zst", ".tar.zstd")):
        return Format.TAR
    known = _SUFFIXES.get(PurePosixPath(last).suffix)
    if known:
        return known
    words = re.split(r"[._\-\s]", last)
    if words[-1] in ("py", "sh", "md", "ipynb", "log", "out", "csv", "html", "pdf", "png"):
        return None
    return Format.POSCAR if {"poscar", "contcar"} & set(words) else None


def _archive(data: bytes) -> tuple[Format, str] | None:
    for magic, kind, words in _ARCHIVE_MAGIC:
        if data.startswith(magic):
            return kind, words
    if data[257:262] == b"ustar":
        return Format.TAR, "a tar archive"
    return None


def _as_archive(name: str, named: Format | None, kind: Format, words: str) -> Format:
    if named is not None and named not in ARCHIVES:
        raise _other_kind(name, named, words, hint=f"Give it its own name, or send format={kind}.")
    if kind in PACKED and named is Format.TAR:
        return Format.TAR
    return kind


def _refuse_binary(name: str, data: bytes) -> None:
    kind = kind_of(data)
    if kind:
        raise _other_kind(name, _by_name(name), kind)
    if not _is_text(data):
        raise _other_kind(name, _by_name(name), "binary data")


def _as_text(name: str, named: Format | None, data: bytes) -> Format:
    head = head_text(data)
    seen = _by_content(head)
    if named is None or named in ARCHIVES:
        if named is None and seen is not None:
            return seen
        looks = f"text like a {seen} file" if seen else "neither a structure nor an archive"
        raise _other_kind(name, named, looks)
    if named is Format.CIF and seen is not Format.CIF:
        if seen is None and b"_atom_site" in data:  # after a long preface
            return Format.CIF
        if seen:
            raise _other_kind(
                name, named, f"a {seen} file", hint=f"Send format={seen} if it is one."
            )
        raise _other_kind(name, named, "text without any `data_` line or CIF tag")
    if named in (Format.POSCAR, Format.EXTXYZ) and seen in (Format.CIF, Format.JSON):
        raise _other_kind(name, named, f"a {seen} file", hint=f"Send format={seen} if it is one.")
    if named is Format.JSON and seen is Format.JSONL:
        return Format.JSONL
    return named


def _by_content(head: str) -> Format | None:
    start = head.lstrip()
    if start[:1] in ("{", "["):
        lines = [line for line in start.split("\n", 3)[:2] if line.strip()]
        whole = len(lines) == 2 and all(
            line.strip()[:1] + line.strip()[-1:] == "{}" for line in lines
        )
        return Format.JSONL if whole else Format.JSON
    if _EXTXYZ.match(head):
        return Format.EXTXYZ
    if _CIF.search(head):
        return Format.CIF
    if _looks_like_poscar(head):
        return Format.POSCAR
    if re.match(r"\d+[ \t]*\n[^\n]*\n[ \t]*[A-Za-z]{1,2}\d*([ \t]+[-+.\deE]+){3}", start):
        return Format.EXTXYZ
    return None


def _looks_like_poscar(head: str) -> bool:
    """A scale, then three lines of three numbers."""
    lines = head.split("\n", 6)[1:5]
    words = [line.split()[:3] for line in lines]
    whole = len(words) == 4 and len(words[0]) > 0 and all(len(row) == 3 for row in words[1:])
    numbers = [words[0][0], *(word for row in words[1:] for word in row)] if whole else []
    return whole and all(map(_FLOAT.match, numbers)) and not _EXTXYZ.match(head)


def is_whole(text: object) -> TypeGuard[str]:
    """Whether this can be the text of a file, and not what a structure is called."""
    return isinstance(text, str) and (
        "\n" in text or "\r" in text or text.lstrip()[:1] in ("{", "[")
    )


def _is_text(data: bytes) -> bool:
    head = data[:4096]
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return True
    odd = sum(1 for byte in head if byte < 32 and byte not in b"\t\n\r\x0b\x0c\x1a")
    zeros = head.count(0)
    wide = zeros > 0.3 * len(head) and (head[1::2].count(0) == zeros or head[::2].count(0) == zeros)
    return wide or odd * 100 <= len(head)


def _other_kind(
    name: str, named: Format | None, looks: str, hint: str | None = None
) -> UnknownFormat:
    label = f" is named as a {named} file but" if named else ""
    table = looks == _PARQUET or name.lower().endswith((".csv", ".tsv"))
    usual = "Send the structure itself, or say what it is by format=."
    return UnknownFormat(
        f"The file{label} looks like {looks}.",
        file=name,
        expected=f"one of: {READ_HERE}",
        got=looks,
        hint=hint or (_OF_TABLES if table else usual),
    )

"""Archives of structure files with a table of their labels, `id_prop.csv`, as the published CGCNN code reads them."""

import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO

from models.datasets.entries import LONGEST_NAME, Row, Wishes
from models.datasets.frames import frames
from models.datasets.lines import document, lines
from models.datasets.listing import SUFFIXES, Table, plain_path, read_table
from models.datasets.tables import holds_structures, parquet, sheet
from models.errors import BadDataset, InputError, UnknownFormat, UnreadableStructure
from models.structures.archive import Member, Most, contents
from models.structures.formats import ARCHIVES, PACKED, Format, recognise

MOST = Most(members=500_000, bytes=8_000_000_000, member_bytes=400_000_000)
TABLE = "id_prop.csv"
TABLES = (".csv", ".tsv")
BESIDE = frozenset(
    (".md", ".rst", ".txt", ".py", ".ipynb", ".pdf", ".png", ".jpg", ".svg", ".html", ".log", ".yaml", ".yml",
     ".toml", ".ini", ".sh", ".bib", ".out", ".pkl", ".npy", ".npz", ".h5", ".csv", ".tsv")
)  # fmt: skip
# What VASP writes with the structure at its head.
OUTPUTS = frozenset(
    ("CHG", "CHGCAR", "AECCAR0", "AECCAR1", "AECCAR2", "ELFCAR", "LOCPOT", "PARCHG", "POT", "XDATCAR")
)  # fmt: skip


def archive(file: IO[bytes], name: str, kind: Format, wishes: Wishes) -> Iterator[Row]:
    """The rows of an archive: one a structure file, or those of the one data file in it."""
    table = _table(file, name, kind, wishes)
    if isinstance(table, Member):
        yield from sheet(io.BytesIO(table.data), table.name, wishes)
        return
    number = 0

    def wanted(path: str) -> bool:
        plain = plain_path(path)
        if table is None:
            return _is_data(path) and plain.name not in OUTPUTS
        if table.leaves_out(plain):
            wishes.note(
                "Of POSCAR and CONTCAR side by side the one that the table names was taken, "
                "otherwise CONTCAR if it is not empty."
            )
            return False
        return _is_no_table(path) and (plain.name not in OUTPUTS or table.find(plain) is not None)

    for member in contents(file, name, kind, MOST, wanted):
        path = PurePosixPath(member.name.removeprefix(f"{name}/"))
        if path.name.lower() == "atom_init.json":
            wishes.note(
                "atom_init.json was not used: the elements' features are the project's own."
            )
            continue
        for row in _rows(member, path, wishes) if table is None else _labelled(member, path, table):
            number += 1
            yield row if row.number else _numbered(row, number)
    if table is not None:
        yield from _without_file(table)


def _numbered(row: Row, number: int) -> Row:
    return Row(number, row.name, row.data, row.format, row.labels, row.error)


def _is_data(path: str) -> bool:
    plain = PurePosixPath(path)
    hidden = plain.name.startswith(".") or "__MACOSX" in plain.parts
    return not hidden and (plain.suffix.lower() not in BESIDE or plain.name.lower() == TABLE)


def _is_no_table(path: str) -> bool:
    return _is_data(path) and PurePosixPath(path).name.lower() != TABLE


# -- without a table: the rows are in the files themselves -----------------------------------------


def _rows(member: Member, path: PurePosixPath, wishes: Wishes) -> Iterator[Row]:
    kind = _kind(member)
    if isinstance(kind, InputError):
        yield Row(0, str(path)[:LONGEST_NAME], error=kind)
        return
    stream = io.BytesIO(member.data)
    if member.data.startswith(b"PAR1"):
        found = parquet(stream, member.name, wishes)
    elif path.suffix.lower() in TABLES:
        found = sheet(stream, member.name, wishes)
    elif kind is Format.JSONL:
        found = lines(stream, wishes)
    elif kind is Format.EXTXYZ:
        found = frames(stream, wishes)
    elif kind in (Format.JSON, Format.OPTIMADE):
        found = document(stream, member.name, wishes)
    else:
        found = iter([Row(0, path.stem[:LONGEST_NAME], member.data, kind)])
    for row in found:
        yield _numbered(row, 0)


def _kind(member: Member) -> Format | InputError | None:
    if member.error:
        return member.error
    if member.data.startswith(b"PAR1") or member.name.lower().endswith(TABLES):
        return None
    try:
        kind = recognise(member.name, member.data)
    except InputError as error:
        return error
    if kind in ARCHIVES:
        return UnknownFormat("An archive inside an archive is not read.", file=member.name)
    return kind


# -- with a table ----------------------------------------------------------------------------------


def _labelled(member: Member, path: PurePosixPath, table: Table) -> Iterator[Row]:
    listed = table.find(path)
    name = (listed.id if listed else path.stem)[:LONGEST_NAME]
    kind = _kind(member)
    if listed is None:
        if isinstance(kind, UnknownFormat) and path.suffix.lower() not in SUFFIXES:
            return  # something that merely lies beside the structures
        detail = f"{str(path)[:120]} is not listed in {table.name}."
        yield Row(0, name, error=UnreadableStructure(detail, expected=f"a line {path.stem[:60]},…"))
        return
    if listed.file is not None:
        detail = (
            f"Two files belong to line {listed.line} of {table.name}: {listed.file} and {path}."
        )
        yield Row(listed.line, name, error=UnreadableStructure(detail[:300]))
        return
    listed.file = str(path)
    if isinstance(kind, InputError):
        yield Row(listed.line, name, error=kind)
        return
    if listed.error:
        yield Row(listed.line, name, error=listed.error)
        return
    yield Row(listed.line, name, member.data, kind, listed.labels)


def _without_file(table: Table) -> Iterator[Row]:
    for listed in table.rows.values():
        if listed.file is None:
            detail = f"There is no file for {listed.id[:100]!r} in the archive."
            expected = f"{listed.id[:100]}.cif, or another structure file of this name"
            error = UnreadableStructure(
                detail, file=table.name, place=f"line {listed.line}", expected=expected
            )
            yield Row(listed.line, listed.id[:LONGEST_NAME], error=error)
    for listed in table.twice:
        detail = f"{listed.id[:100]!r} is listed twice in {table.name}."
        error = UnreadableStructure(detail, file=table.name, place=f"line {listed.line}")
        yield Row(listed.line, listed.id[:LONGEST_NAME], error=error)


def _table(file: IO[bytes], name: str, kind: Format, wishes: Wishes) -> Table | Member | None:
    """The labels, from `id_prop.csv` or the only table of the archive; that itself if it holds the structures."""
    if kind in PACKED:
        return None
    paths: set[PurePosixPath] = set()

    def wanted(path: str) -> bool:
        paths.update([plain_path(path)] if _is_no_table(path) else ())
        return _is_table(path) or "CONTCAR" in PurePosixPath(path).name

    found: list[Member] = []
    for member in contents(file, name, kind, MOST, wanted):
        if _is_table(member.name):
            found.append(member)
        elif not (member.data or member.error):  # what VASP has begun and never written
            paths.discard(plain_path(member.name.removeprefix(f"{name}/")))
    named = [one for one in found if PurePosixPath(one.name).name.lower() == TABLE]
    if len(named or found) > 1:
        raise BadDataset(
            "The archive holds several tables of labels.",
            file=name,
            expected=f"one {TABLE}",
            got=", ".join(one.name.removeprefix(f"{name}/") for one in (named or found)[:5])[:200],
            hint=f"Call the one to be used {TABLE}, and leave out others of this name.",
        )
    for member in named or found:
        if member.error:
            raise member.error
        own = member.name.removeprefix(f"{name}/")
        return (
            member if holds_structures(member.data) else read_table(member.data, own, wishes, paths)
        )
    return None


def _is_table(path: str) -> bool:
    plain = PurePosixPath(path)
    hidden = plain.name.startswith(".") or "__MACOSX" in plain.parts
    return not hidden and plain.suffix.lower() in TABLES

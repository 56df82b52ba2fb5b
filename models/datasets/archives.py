"""Archives of structure files with a table of their labels, `id_prop.csv`, as the published CGCNN code reads them."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any

from models.datasets.entries import LONGEST_NAME, Row, Wishes
from models.datasets.frames import frames
from models.datasets.labels import as_number, value_of
from models.datasets.lines import document, lines
from models.datasets.tables import MOST_COLUMNS, parquet, too_many_columns
from models.errors import BadDataset, InputError, UnknownFormat, UnreadableStructure
from models.structures.archive import Member, Most, contents
from models.structures.formats import ARCHIVES, Format, recognise
from models.structures.text import decode

MOST = Most(members=500_000, bytes=8_000_000_000, member_bytes=400_000_000)
TABLE = "id_prop.csv"
TABLES = (".csv", ".tsv")
ID_HEADS = frozenset(
    ("id", "ids", "name", "file", "filename", "material_id", "mpid", "mp_id", "cif_id", "structure", "jid")
)  # fmt: skip
BESIDE = frozenset(
    (".md", ".rst", ".txt", ".py", ".ipynb", ".pdf", ".png", ".jpg", ".svg", ".html", ".log", ".yaml", ".yml",
     ".toml", ".ini", ".sh", ".bib", ".out", ".pkl", ".npy", ".npz", ".h5", ".csv", ".tsv")
)  # fmt: skip
SUFFIXES = frozenset((".cif", ".mcif", ".vasp", ".poscar", ".contcar", ".xyz", ".extxyz", ".json"))


@dataclass(slots=True)
class Listed:
    """A line of the table, and the file that was found for it."""

    line: int
    id: str
    labels: dict[str, Any]
    file: str | None = None


@dataclass(slots=True)
class Table:
    """The labels by the name of the file they belong to."""

    name: str
    rows: dict[str, Listed] = field(default_factory=dict)
    twice: list[Listed] = field(default_factory=list)

    def find(self, path: PurePosixPath) -> Listed | None:
        """The line of a file, by its path, its name, or its name without suffix."""
        names = [str(path), path.name, path.stem]
        if path.stem.upper() in ("POSCAR", "CONTCAR"):
            names.append(path.parent.name)
        return next((self.rows[name] for name in names if name in self.rows), None)


def archive(file: IO[bytes], name: str, kind: Format, wishes: Wishes) -> Iterator[Row]:
    """The rows of an archive: one a structure file, or those of the one data file in it."""
    table = _table(file, name, kind, wishes)
    number = 0
    for member in contents(file, name, kind, MOST, _is_no_table if table else _is_data):
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
    if member.data.startswith(b"PAR1"):
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


def _table(file: IO[bytes], name: str, kind: Format, wishes: Wishes) -> Table | None:
    """The labels, from `id_prop.csv` or the only table of the archive."""
    if kind is Format.GZ:
        return None
    found = list(contents(file, name, kind, MOST, _is_table))
    named = [one for one in found if PurePosixPath(one.name).name.lower() == TABLE]
    if len(named or found) > 1:
        raise BadDataset(
            "The archive holds several tables of labels.",
            file=name,
            expected=f"one {TABLE}",
            got=", ".join(one.name.removeprefix(f"{name}/") for one in (named or found)[:5])[:200],
        )
    for member in named or found:
        if member.error:
            raise member.error
        own = member.name.removeprefix(f"{name}/")
        return read_table(member.data, own, wishes)
    return None


def _is_table(path: str) -> bool:
    plain = PurePosixPath(path)
    hidden = plain.name.startswith(".") or "__MACOSX" in plain.parts
    return not hidden and plain.suffix.lower() in TABLES


def read_table(data: bytes, name: str, wishes: Wishes) -> Table:
    """The lines of a table by id, whether it has a header or not."""
    text = data.decode("utf-8-sig", "replace") if data[:2] not in (b"\xff\xfe", b"\xfe\xff") else (
        decode(data, name)[0]
    )  # fmt: skip
    try:
        rows = [
            (number, [word.strip() for word in row])
            for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=_between(text)), 1)
            if any(word.strip() for word in row)
        ]
    except csv.Error as fault:
        raise BadDataset(f"{name} is no table: {fault}.", file=name) from None
    widest = max((len(row) for _, row in rows), default=0)
    if widest > MOST_COLUMNS:
        raise too_many_columns(name, widest)
    if widest < 2:
        raise BadDataset(
            f"{name} holds no labels.", file=name, expected="lines like `mp-1,-3.24`", got=text[:60]
        )
    heads = _heads([row for _, row in rows])
    table = Table(name)
    for number, row in rows[1:] if heads else rows:
        values = {head: value_of(word) for head, word in zip(heads or _unnamed(widest), row[1:], strict=False)}  # fmt: skip
        listed = Listed(number, row[0], wishes.kept(values))
        if row[0] in table.rows:
            table.twice.append(listed)
        else:
            table.rows[row[0]] = listed
    _without_suffix(table)
    return table


def _without_suffix(table: Table) -> None:
    """Ids may be written with the suffix of their file; the file may have another one."""
    for id_, listed in list(table.rows.items()):
        path = PurePosixPath(id_)
        if path.suffix.lower() in SUFFIXES:
            del table.rows[id_]
            listed.id = path.stem
            if table.rows.setdefault(str(path.with_suffix("")), listed) is not listed:
                table.twice.append(listed)


def _between(text: str) -> str:
    head = text.lstrip().partition("\n")[0]
    return max(",;\t", key=head.count) if any(one in head for one in ",;\t") else ","


def _unnamed(widest: int) -> list[str]:
    return ["value"] if widest == 2 else [f"value_{number}" for number in range(1, widest)]


def _heads(rows: list[list[str]]) -> list[str] | None:
    """The names of the columns after the first, if the first line is a header."""
    first = rows[0]
    said = first[0].lower() in ID_HEADS
    below = rows[1] if len(rows) > 1 else []
    for head, value in zip(first[1:], below[1:], strict=False):
        said |= as_number(head) is None and as_number(value) is not None and bool(head)
    return [head or f"value_{place}" for place, head in enumerate(first[1:], 1)] if said else None

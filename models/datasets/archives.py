"""Archives of structure files with a table of their labels, `id_prop.csv`, as the published CGCNN code reads them."""

import csv
import io
from collections import Counter
from collections.abc import Container, Iterator, Set
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any

from models.datasets.entries import LONGEST_NAME, Row, Wishes, check_heads
from models.datasets.frames import frames
from models.datasets.labels import as_number, pointed, value_of
from models.datasets.lines import document, lines
from models.datasets.tables import (
    MOST_COLUMNS,
    holds_structures,
    parquet,
    sheet,
    too_many_columns,
    too_wide,
)
from models.errors import BadDataset, InputError, UnknownFormat, UnreadableStructure
from models.structures.archive import Member, Most, contents, plain_name
from models.structures.formats import ARCHIVES, PACKED, Format, recognise
from models.structures.text import decode

MOST = Most(members=500_000, bytes=8_000_000_000, member_bytes=400_000_000)
TABLE = "id_prop.csv"
TABLES = (".csv", ".tsv")
MOST_LOOKED_AT = 1000  # lines of a table, to find the column of ids
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
    error: InputError | None = None
    file: str | None = None


@dataclass(slots=True)
class Table:
    """The labels by the name of the file they belong to."""

    name: str
    rows: dict[str, Listed] = field(default_factory=dict)
    twice: list[Listed] = field(default_factory=list)

    def find(self, path: PurePosixPath) -> Listed | None:
        """The line of a file, by its path, its name, or its name without suffix."""
        return next((self.rows[name] for name in _calls(path) if name in self.rows), None)


def archive(file: IO[bytes], name: str, kind: Format, wishes: Wishes) -> Iterator[Row]:
    """The rows of an archive: one a structure file, or those of the one data file in it."""
    table = _table(file, name, kind, wishes)
    if isinstance(table, Member):
        yield from sheet(io.BytesIO(table.data), table.name, wishes)
        return
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
    files: set[str] = set()

    def wanted(path: str) -> bool:
        files.update(_calls(PurePosixPath(path)) if _is_no_table(path) else ())
        return _is_table(path)

    found = list(contents(file, name, kind, MOST, wanted))
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
            member if holds_structures(member.data) else read_table(member.data, own, wishes, files)
        )
    return None


def _calls(path: PurePosixPath) -> list[str]:
    """What the table may call a file: its path, its name, its name without suffix, its folder."""
    path = PurePosixPath(plain_name(str(path)))
    names = [str(path), path.name, path.stem]
    if path.stem.upper() in ("POSCAR", "CONTCAR"):
        names.append(path.parent.name)
    return names


def _is_table(path: str) -> bool:
    plain = PurePosixPath(path)
    hidden = plain.name.startswith(".") or "__MACOSX" in plain.parts
    return not hidden and plain.suffix.lower() in TABLES


def read_table(data: bytes, name: str, wishes: Wishes, files: Set[str] = frozenset()) -> Table:
    """The lines of a table by id, whether it has a header or not; `files` tells which column that is."""
    text = data.decode("utf-8-sig", "replace") if data[:2] not in (b"\xff\xfe", b"\xfe\xff") else (
        decode(data, name)[0]
    )  # fmt: skip
    between = _between(text)
    try:
        rows = [
            (number, [pointed(word, between) for word in row])
            for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=between), 1)
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
    at = _id_column([row for _, row in rows], files)
    heads = _heads([row for _, row in rows], at, files)
    check_heads(heads or (), name)
    body = rows[1:] if heads else rows
    table = Table(name)
    for number, row in body:
        columns = heads or _unnamed(widest)
        named = zip(columns, row, strict=False)
        values = {head: value_of(word) for place, (head, word) in enumerate(named) if place != at}
        id_ = plain_name(row[at]) if at < len(row) else ""
        error = too_wide(row, len(columns)) if any(row[len(columns) :]) else None
        listed = Listed(number, id_, wishes.kept(values), error)
        if id_ in table.rows:
            table.twice.append(listed)
        else:
            table.rows[id_] = listed
    _without_suffix(table)
    if files and not any(id_ in files for id_ in table.rows):
        raise BadDataset(
            f"No line of {name} names a file of the archive.",
            file=name,
            expected=f"a line with {min(files)[:100]!r}",
            got=", ".join(repr(id_[:40]) for id_ in list(table.rows)[:3]),
        )
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
    """Of semicolons and as many commas, these are in the numbers."""
    head = text.lstrip().partition("\n")[0]
    return max(";,\t", key=head.count) if any(one in head for one in ",;\t") else ","


def _id_column(rows: list[list[str]], files: Container[str]) -> int:
    """The column whose words are the names of most files; the first one when in doubt."""
    hits: Counter[int] = Counter()
    for row in rows[:MOST_LOOKED_AT]:
        hits.update(place for place, word in enumerate(row) if _is_named(word, files))
    return max(hits, key=lambda place: (hits[place], -place), default=0)


def _is_named(word: str, files: Container[str]) -> bool:
    return word in files or PurePosixPath(word).stem in files


def _unnamed(widest: int) -> list[str]:
    return ["", "value"] if widest == 2 else ["", *(f"value_{place}" for place in range(1, widest))]


def _heads(rows: list[list[str]], at: int, files: Container[str]) -> list[str] | None:
    """The names of the columns, if the first line is a header; pandas leaves that of its index empty."""
    first = rows[0]
    if at < len(first) and _is_named(first[at], files):
        return None
    said = any(head.lower() in ID_HEADS for head in first) or first[0] == ""
    below = rows[1] if len(rows) > 1 else []
    for place, (head, value) in enumerate(zip(first, below, strict=False)):
        numbers_below = as_number(head) is None and as_number(value) is not None and bool(head)
        said |= numbers_below and place != at
    if not said:
        return None
    first[0] = "" if first[0].startswith("Unnamed:") else first[0]
    return [first[0], *(head or f"value_{place}" for place, head in enumerate(first[1:], 1))]

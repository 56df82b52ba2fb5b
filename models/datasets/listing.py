"""`id_prop.csv`: the labels of structure files, by what the table calls these."""

import csv
import io
import re
from collections.abc import Container, Set
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Any

from models.datasets.entries import Wishes, check_heads
from models.datasets.labels import as_number, pointed, value_of
from models.datasets.tables import MOST_COLUMNS, too_many_columns, too_wide
from models.datasets.text import table_text
from models.errors import BadDataset, InputError
from models.structures.archive import plain_name

MOST_LOOKED_AT = 1000  # lines of a table, to find the column of ids
NEARLY = 0.9  # of the files that the best column names
ID_HEADS = frozenset(
    ("id", "ids", "name", "file", "filename", "material_id", "mpid", "mp_id", "cif_id", "structure", "jid",
     "cif", "poscar")
)  # fmt: skip
SUFFIXES = frozenset((".cif", ".mcif", ".vasp", ".poscar", ".contcar", ".xyz", ".extxyz", ".json"))
_OF_VASP = re.compile(r"^(POSCAR|CONTCAR)([-._ ]|$)|[-._ ](POSCAR|CONTCAR)$", re.IGNORECASE)


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
    paths: Set[PurePosixPath] = frozenset()  # without those of an empty CONTCAR
    rows: dict[str, Listed] = field(default_factory=dict)
    twice: list[Listed] = field(default_factory=list)

    def find(self, path: PurePosixPath) -> Listed | None:
        """The line of a file, by its path, its name, or its name without suffix."""
        calls = _calls(path, PurePosixPath(self.name).parent)
        return next((self.rows[name] for name in calls if name in self.rows), None)

    def leaves_out(self, path: PurePosixPath) -> bool:
        """Whether this POSCAR or CONTCAR gives way to the other: to what a line names, or to CONTCAR."""
        path = plain_path(path)
        first = "POSCAR" in path.name
        words = ("POSCAR", "CONTCAR") if first else ("CONTCAR", "POSCAR")
        other = path.parent / path.name.replace(*words)
        if other == path or other not in self.paths:
            return False
        own, others = self.find(path), self.find(other)
        return (first or path not in self.paths) if own is others else own is None


def plain_path(path: str | PurePosixPath) -> PurePosixPath:
    """The path of a file without what says that it is packed, or that it is here."""
    return PurePosixPath(plain_name(str(path)))


def read_table(data: bytes, name: str, wishes: Wishes, paths: Set[PurePosixPath]) -> Table:
    """The lines of a table by id, whether it has a header or not; `paths` tell which column that is."""
    folder = PurePosixPath(name).parent
    files = {call for path in paths for call in _calls(path, folder)}
    text = table_text(io.BytesIO(data)).read()
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
    table = Table(name, paths)
    for number, row in body:
        columns = heads or _unnamed(widest)
        named = zip(columns, row, strict=False)
        values = {head: value_of(word) for place, (head, word) in enumerate(named) if place != at}
        id_ = _id(row[at]) if at < len(row) else ""
        error = too_wide(row, len(columns)) if any(row[len(columns) :]) else None
        listed = Listed(number, id_, wishes.kept(values), error)
        if table.rows.setdefault(id_, listed) is not listed:
            table.twice.append(listed)
    if files and not any(id_ in files for id_ in table.rows):
        raise BadDataset(
            f"No line of {name} names a file of the archive.",
            file=name,
            expected=f"a line with {min(files)[:100]!r}",
            got=", ".join(repr(id_[:40]) for id_ in list(table.rows)[:3]),
        )
    return table


def _calls(path: PurePosixPath, folder: PurePosixPath) -> list[str]:
    """What a table in this folder may call a file: its path or name, each with suffix or without, its folder."""
    path = plain_path(path)
    near = path.relative_to(folder) if path.is_relative_to(folder) else path
    wholes = (str(path), str(near), path.name)
    calls = [call for one in wholes for call in (one, one.removesuffix(path.suffix))]
    calls += [_OF_VASP.sub("", path.name), _OF_VASP.sub("", path.stem)]
    if path.stem.upper() in ("POSCAR", "CONTCAR"):
        calls.append(path.parent.name)
    return [call for call in calls if call]


def _id(word: str) -> str:
    """As a file is called: the suffix is left out, for the file may have another one."""
    path = plain_path(word)
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path) if word else ""


def _between(text: str) -> str:
    """Of semicolons and as many commas, these are in the numbers."""
    head = text.lstrip().partition("\n")[0]
    return max(";,\t", key=head.count) if any(one in head for one in ",;\t") else ","


def _id_column(rows: list[list[str]], files: Set[str]) -> int:
    """Of the columns that name nearly the most files and hardly repeat: one that is called so, or the first."""
    hits: dict[int, int] = {}
    for place, column in enumerate(zip_longest(*rows[:MOST_LOOKED_AT], fillvalue="")):
        words = [_id(word) for word in column if word]
        known = set(words)
        if 2 * len(known) >= len(words) and known & files:
            hits[place] = len(known & files)
    most = max(hits.values(), default=0)
    called = [place for place, head in enumerate(rows[0]) if _is_id_head(head)]
    near = (place for place in hits if hits[place] >= NEARLY * most)
    return min(near, key=lambda place: -hits[place] if place in called else 0, default=0)


def _is_id_head(head: str) -> bool:
    return head.lower() in ID_HEADS


def _unnamed(widest: int) -> list[str]:
    return ["", "value"] if widest == 2 else ["", *(f"value_{place}" for place in range(1, widest))]


def _heads(rows: list[list[str]], at: int, files: Container[str]) -> list[str] | None:
    """The names of the columns, if the first line is a header; pandas leaves that of its index empty."""
    first = rows[0]
    if at < len(first) and _id(first[at]) in files:
        return None
    said = any(map(_is_id_head, first)) or first[0] == ""
    below = rows[1] if len(rows) > 1 else []
    for place, (head, value) in enumerate(zip(first, below, strict=False)):
        numbers_below = as_number(head) is None and as_number(value) is not None and bool(head)
        said |= numbers_below and place != at
    if not said:
        return None
    first[0] = "" if first[0].startswith("Unnamed:") else first[0]
    return [first[0], *(head or f"value_{place}" for place, head in enumerate(first[1:], 1))]

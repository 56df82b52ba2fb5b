"""A data set as it was sent, taken apart into rows: structures still as text, labels beside them.

What strangers send is opened here only, in a process of its own with limits on memory and time:

    python -m models.datasets.rows FILE OUT --name NAME [--format F] [--coordinates C] [--column C]…

writes msgpack to OUT, `[number, name, format, structure, labels, error]` a row, prints as JSON what was met on the
way and ends with 0, or prints the error as JSON and ends with 1.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgpack

from models.datasets.archives import archive
from models.datasets.entries import Row, Wishes
from models.datasets.frames import frames
from models.datasets.lines import FROM_ASE, ROWS, document, lines
from models.datasets.tables import MOST_COLUMNS, parquet, sheet, too_many_columns
from models.errors import BadDataset, InputError, TooLarge, UnknownFormat
from models.structures.formats import ARCHIVES, HEAD_BYTES, Format, recognise

PARQUET, CSV = "parquet", "csv"
FORMATS = (*(str(one) for one in Format if one not in (Format.CIF, Format.POSCAR)), PARQUET, CSV)
MOST_ROWS = 2_000_000
SMALL_BYTES, GROWTH = 100_000_000, 100  # a small file must not fill the disk
UNPACK = "Unpack it, or pack it with gzip or zstd."


def rows(file: IO[bytes], name: str, forced: str | None, wishes: Wishes) -> Iterator[Row]:
    """The rows of a file of any kind. Raises: InputError."""
    kind = _kind(file, name, forced)
    if kind == PARQUET:
        return parquet(file, name, wishes)
    if kind == CSV:
        return sheet(file, name, wishes)
    if kind in ARCHIVES:
        return archive(file, name, Format(kind), wishes)
    if kind == Format.JSONL:
        return lines(file, wishes)
    if kind == Format.EXTXYZ:
        return frames(file, wishes)
    if kind in (Format.JSON, Format.OPTIMADE):
        return document(file, name, wishes)
    raise BadDataset(
        "A single structure is no data set.",
        file=name,
        expected=ROWS,
        got=f"a {kind} file",
        hint="Put all structure files into a zip, with id_prop.csv: lines like `mp-1,-3.24` for mp-1.cif.",
    )


def _kind(file: IO[bytes], name: str, forced: str | None) -> str:
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head.startswith(b"PAR1"):
        return PARQUET
    if forced:
        if forced not in FORMATS:
            raise UnknownFormat(
                f"There is no format {forced[:40]!r} of data sets.",
                expected=", ".join(FORMATS),
                got=forced[:40],
                hint="Send one of these, or none: the file itself tells. A single structure goes into a zip.",
            )
        return forced
    if Path(name.lower()).suffix in (".csv", ".tsv"):
        return CSV
    try:
        kind = recognise(name, head)
    except UnknownFormat as error:
        error.expected = ROWS
        packed = "bzip2" in error.detail or "xz" in error.detail
        error.hint = UNPACK if packed else f"{FROM_ASE} Tables of pandas: to_parquet."
        raise
    # A long first line hides that there are more of them.
    first = head.partition(b"\n")[0].strip()
    whole = kind is Format.JSON and first[:1] == b"{" and (first[-1:] == b"}" and b"\n{" in head)
    return Format.JSONL if whole else kind


def split(path: Path, out: Path, name: str, forced: str | None, wishes: Wishes) -> dict[str, Any]:
    """Writes the rows; what was met on the way. Raises: InputError."""
    count = readable = 0
    columns: set[str] = set()
    most = SMALL_BYTES + GROWTH * path.stat().st_size
    with path.open("rb") as file, out.open("wb") as target:
        for count, row in enumerate(rows(file, name, forced, wishes), 1):
            columns |= row.labels.keys()
            if len(columns) > MOST_COLUMNS:
                raise too_many_columns(name, len(columns))
            if count > MOST_ROWS:
                raise TooLarge("There are too many rows.", file=name, expected=f"{MOST_ROWS:,}")
            readable += row.error is None
            error = None if row.error is None else row.error.as_dict()
            packed = [row.number, row.name, row.format, row.data, row.labels, error]
            target.write(msgpack.packb(packed, unicode_errors="replace"))
            if target.tell() > most:
                raise TooLarge(
                    f"The file grows more than {GROWTH}-fold when it is read.",
                    file=name,
                    expected=f"{most:,} bytes of rows",
                )
    if not count:
        raise BadDataset("The data set is empty.", file=name, expected="at least one row")
    _told(wishes, columns)
    if wishes.coordinates:
        _placed(wishes, readable)
    return {"rows": count, "per_site": sorted(wishes.per_site), "notes": wishes.notes}


def _told(wishes: Wishes, columns: set[str]) -> None:
    if wishes.left_out - columns:
        shown = ", ".join(sorted(wishes.left_out - columns)[:20])
        wishes.note(f"Left out, being no numbers, short texts or lists of numbers: {shown}.")
    if wishes.left_out & columns:
        shown = ", ".join(sorted(wishes.left_out & columns)[:20])
        wishes.note(f"Some values are no labels and count as missing: {shown}.")
    missing = (wishes.columns or frozenset()) - columns
    if missing:
        raise BadDataset(
            f"There is no column {', '.join(sorted(missing))[:200]}.",
            expected=", ".join(sorted(columns)[:20]) or "columns of labels",
        )


def _placed(wishes: Wishes, rows: int) -> None:
    """What should be known when rows have no use for a column of coordinates. Raises: BadDataset."""
    if rows and not wishes.placed:
        raise BadDataset(
            f"No row takes its coordinates from {wishes.coordinates!r}: all hold whole structures.",
            place="coordinates",
            expected="rows of `lattice`, `numbers` and that column",
            hint="Leave `coordinates` out.",
        )
    if rows > wishes.placed:
        wishes.note(
            f"Rows of whole structures keep their own coordinates: {rows - wishes.placed} of {rows}."
        )


def main(arguments: list[str]) -> int:
    """The command of this module."""
    parser = argparse.ArgumentParser(prog="python -m models.datasets.rows")
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--format")
    parser.add_argument("--coordinates")
    parser.add_argument("--column", dest="columns", action="append")
    given = parser.parse_args(arguments)
    columns = frozenset(given.columns) if given.columns else None
    wishes = Wishes(given.coordinates, columns=columns)
    try:
        found = split(given.file, given.out, given.name, given.format, wishes)
    except InputError as error:
        _tell(error.in_file(given.name).as_dict())
        return 1
    _tell(found)
    return 0


def _tell(found: dict[str, Any]) -> None:
    """JSON may hold signs that no text has."""
    sys.stdout.buffer.write(
        json.dumps(found, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    )


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # at an ordinary end pyarrow's threads now and then take the process down

"""JSON lines, and JSON documents that are lists of rows."""

import json
from collections.abc import Iterator
from typing import IO, Any

from models.datasets.entries import Row, Wishes, row_of
from models.errors import BadDataset, InputError, TooLarge, UnreadableStructure

LINE_BYTES = 20_000_000
DOCUMENT_BYTES = 400_000_000


def lines(file: IO[bytes], wishes: Wishes) -> Iterator[Row]:
    """A row a line."""
    number = 0
    while line := file.readline(LINE_BYTES + 1):
        number += 1
        if len(line) > LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = file.readline(LINE_BYTES)
            yield Row(number, f"row {number}", error=_long(number))
        elif line := line.strip(b"\xef\xbb\xbf \t\r\n\0"):
            yield _row(number, line, wishes)


def document(file: IO[bytes], name: str, wishes: Wishes) -> Iterator[Row]:
    """A list of rows, also under `data` or `structures`, or as pandas writes a table (`split`)."""
    raw = file.read(DOCUMENT_BYTES + 1)
    if len(raw) > DOCUMENT_BYTES:
        raise TooLarge(
            "The JSON document is too large to be read at once.",
            file=name,
            expected=f"at most {DOCUMENT_BYTES:,} bytes",
            hint="Write it as JSON lines: one object a line.",
        )
    try:
        found = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as fault:
        raise BadDataset(f"The JSON is broken: {str(fault)[:100]}.", file=name) from None
    for number, record in enumerate(_records(found), 1):
        if isinstance(record, dict):
            yield row_of(number, record, wishes)
        else:
            yield Row(number, f"row {number}", error=_no_object(record))


def _records(found: Any) -> Iterator[Any]:
    if isinstance(found, dict):
        columns = found.get("columns")
        inner = next((found[key] for key in ("data", "structures") if key in found), None)
        if isinstance(columns, list) and isinstance(inner, list):
            names = [str(column) for column in columns]
            yield from (dict(zip(names, row, strict=False)) for row in inner)
            return
        found = inner if isinstance(inner, list) else [found]
    yield from found if isinstance(found, list) else [found]


def _row(number: int, line: bytes, wishes: Wishes) -> Row:
    try:
        record = json.loads(line)
        if isinstance(record, dict):
            return row_of(number, record, wishes)
        error: InputError = _no_object(record)
    except (ValueError, RecursionError) as fault:
        error = UnreadableStructure(
            f"The line is no JSON: {str(fault)[:100]}.",
            place=f"line {number}",
            expected="one JSON object a line",
        )
    return Row(number, f"row {number}", error=error)


def _no_object(found: Any) -> UnreadableStructure:
    return UnreadableStructure(
        "The row is no JSON object.", expected="an object", got=type(found).__name__
    )


def _long(number: int) -> TooLarge:
    return TooLarge(
        "The line is too long.", place=f"line {number}", expected=f"at most {LINE_BYTES:,} bytes"
    )

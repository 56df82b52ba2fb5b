"""JSON lines, and JSON documents that are lists of rows."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any

from models.datasets.entries import NAMES, NUMBERS, TEXTS, Row, Wishes, check_heads, row_of
from models.datasets.text import utf8
from models.errors import BadDataset, InputError, TooLarge, UnreadableStructure

LINE_BYTES = 20_000_000
DOCUMENT_BYTES = 400_000_000
ROWS = (
    "a zip of structures with id_prop.csv, JSON lines, extxyz, Parquet or CSV, also as .gz or .zst"
)
FROM_ASE = 'What ASE reads it also writes so: ase.io.write("set.extxyz", ase.io.read(FILE, ":")).'


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        key = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {key[:60]!r} stands twice in one object")
    return found


_JSON = json.JSONDecoder(object_pairs_hook=_each_once)


def lines(file: IO[bytes], wishes: Wishes) -> Iterator[Row]:
    """A row a line."""
    file = utf8(file)
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
    """A list of rows, also under `data` or `structures`; rows by id; or as pandas writes a table."""
    raw = utf8(file).read(DOCUMENT_BYTES + 1)
    if len(raw) > DOCUMENT_BYTES:
        raise TooLarge(
            "The JSON document is too large to be read at once.",
            file=name,
            expected=f"at most {DOCUMENT_BYTES:,} bytes",
            hint="Write it as JSON lines: one object a line.",
        )
    try:
        found = _JSON.decode(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as fault:
        raise BadDataset(f"The JSON is broken: {str(fault)[:100]}.", file=name) from None
    for number, record in enumerate(_records(found), 1):
        if isinstance(record, dict):
            yield row_of(number, record, wishes)
        else:
            yield Row(number, f"row {number}", error=_no_object(record))


def _records(found: Any) -> Iterator[Any]:
    if not isinstance(found, dict):
        yield from found if isinstance(found, list) else [found]
        return
    columns = found.get("columns")
    inner = next((found[key] for key in ("data", "structures") if key in found), None)
    if isinstance(columns, list) and isinstance(inner, list):
        yield from _split(columns, inner, found.get("index"))
    elif isinstance(inner, list):
        yield from inner
    elif "nextid" in found and "ids" in found:
        raise BadDataset("This is a database of ASE.", expected=ROWS, hint=FROM_ASE)
    elif _is_columns(found):
        yield from _by_column(found)
    elif not _is_row(found) and found and all(isinstance(each, dict) for each in found.values()):
        yield from (_named(key, each) for key, each in found.items())
    else:
        yield found


def _split(columns: list[Any], rows: list[Any], index: Any) -> Iterator[Any]:
    names = [str(column) for column in columns]
    check_heads(names)
    ids = index if isinstance(index, list) and len(index) == len(rows) else [None] * len(rows)
    for key, row in zip(ids, rows, strict=True):
        if not isinstance(row, list):
            yield row
            continue
        record = dict(zip(names, row, strict=False))
        yield _named(key, record)


def _named(key: Any, record: dict[str, Any]) -> dict[str, Any]:
    """The row with its key as its name, unless it has one or the key is none."""
    unnamed = isinstance(key, str) and not any(name in record for name in NAMES)
    return {"id": key, **record} if unnamed else record


def _is_row(found: dict[str, Any]) -> bool:
    """Whether a structure is here, so that this is one row."""
    return "sites" in found or "attributes" in found or isinstance(found.get("lattice"), list)


def _is_columns(found: dict[str, Any]) -> bool:
    """Whether each key is a column: a list, or values by the same keys (pandas' own way)."""
    texts = [found[key] for key in (*TEXTS, "atoms") if key in found]
    arrays = (found.get(key) for key in NUMBERS)
    return any(isinstance(each, list) or _is_keyed(each) for each in texts) or any(
        map(_holds_lists, arrays)
    )


def _holds_lists(column: Any) -> bool:
    values = list(column.values()) if isinstance(column, dict) else column
    return (
        isinstance(values, list) and bool(values) and all(isinstance(one, list) for one in values)
    )


def _is_keyed(values: Any) -> bool:
    whole = not isinstance(values, dict) or _is_row(values) or not values
    return not whole and all(isinstance(each, dict | str) for each in values.values())


def _by_column(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each key of any column; what is a list has its values in the order of the keys."""
    keys: dict[Any, None] = {}
    for each in found.values():
        keys |= dict.fromkeys(each if isinstance(each, dict) else ())
    longest = max((len(each) for each in found.values() if isinstance(each, list)), default=0)
    keys |= dict.fromkeys(range(len(keys), longest))
    columns = {
        name: dict(zip(keys, each, strict=False)) if isinstance(each, list) else each
        for name, each in found.items()
        if isinstance(each, list | dict)
    }
    for key in keys:
        yield _named(key, {name: each[key] for name, each in columns.items() if key in each})


def _row(number: int, line: bytes, wishes: Wishes) -> Row:
    try:
        record = _JSON.decode(line.decode("utf-8", "surrogatepass"))
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

"""What is asked of a table: which rows, in which order, which columns, and where to go on."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.near import near
from service.problems import Problem, brief
from service.where import Type, Where, column_of, parse
from service.where_words import WhereError
from workers.columns import Column

TYPES = {
    "int64": Type.NUMBER,
    "int32": Type.NUMBER,
    "double": Type.NUMBER,
    "bool": Type.BOOLEAN,
    "string": Type.TEXT,
}
JSON_ENDS = (".reasons", ".values")
JSON_NAMES = frozenset({"error", "warnings"})
MOST_KEYS = 8
CHECK_BYTES = 6
MOST_INDEX = 2**63 - 1
SURROGATE = re.compile(r"[\ud800-\udfff]")

KeyValue = float | int | str | bool | None


@dataclass(frozen=True, slots=True)
class Key:
    """One column to sort by; where there is no value is last, either way."""

    column: str
    descending: bool = False
    type: Type = Type.NUMBER

    def fits(self, value: object) -> bool:
        """Whether a row can have this value in this column."""
        match value:
            case None:
                return True
            case bool():
                return self.type is Type.BOOLEAN
            case int():
                return self.type is Type.NUMBER and abs(value) <= MOST_INDEX
            case float():
                return self.type is Type.NUMBER
            case str():
                return self.type is Type.TEXT and not SURROGATE.search(value)
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """The row after which to go on, by the values of its keys, and how many rows came before."""

    values: tuple[KeyValue, ...]
    index: int
    seen: int
    shard: int = 0  # where the row is; in the order of the source nothing before it is looked into


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a table."""

    columns: tuple[Column, ...]  # those of the answer
    where: Where | None = None
    keys: tuple[Key, ...] = ()
    top: int | None = None
    words: str = ""  # the same for the same rows in the same order

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns of the answer."""
        return tuple(column.name for column in self.columns)


def holds_json(column: str) -> bool:
    """Whether the texts of this column are JSON."""
    return column in JSON_NAMES or column.endswith(JSON_ENDS)


def ask(
    there: Sequence[Column],
    where: str | None,
    sort: str | None,
    columns: str | None,
    top: int | None,
) -> Asked:
    """The question in these words. Raises: Problem."""
    types = {column.name: TYPES[column.type] for column in there}
    return Asked(
        columns=chosen(there, columns),
        where=filtered(where, types) if where is not None and where.strip() else None,
        keys=sorted_by(sort, types),
        top=top,
        words=json.dumps([where, sort, top]),
    )


def filtered(text: str, types: dict[str, Type]) -> Where:
    """The filter. Raises: Problem."""
    try:
        return parse(text, types)
    except WhereError as error:
        place = f"sign {error.at}"
        item = {
            "code": error.code,
            "detail": error.detail,
            "pointer": "where",
            "place": place,
            "expected": error.expected,
            "got": error.got,
            **({"hint": error.hint} if error.hint else {}),
        }
        there = f"The columns are {', '.join(types)}."
        raise Problem(
            error.code,
            f"where, {place}: {error.detail}",
            hint=error.hint or (None if error.code == "unknown_column" else there),
            errors=[item],
            place=place,
            expected=error.expected,
            got=error.got,
            columns=list(types),
        ) from error


def sorted_by(text: str | None, types: dict[str, Type]) -> tuple[Key, ...]:
    """`-band-gap,name`: from the largest band gap, the same ones by name. Raises: Problem."""
    keys = []
    for part in parts_of(text):
        name = known("sort", part.removeprefix("-").removeprefix("+"), types)
        if holds_json(name):
            raise refused("sort", f"`{name}` holds lists, which have no order.", types)
        keys.append(Key(name, part.startswith("-"), types[name]))
    if len(keys) > MOST_KEYS or len({key.column for key in keys}) < len(keys):
        raise refused("sort", f"Each column once, {MOST_KEYS} at most.", types)
    return tuple(keys)


def chosen(there: Sequence[Column], text: str | None) -> tuple[Column, ...]:
    """The columns to answer with, all if none are named. Raises: Problem."""
    named = {column.name: column for column in there}
    types = {column.name: TYPES[column.type] for column in there}
    names = dict.fromkeys(known("columns", part, types) for part in parts_of(text))
    return tuple(named[name] for name in names) or tuple(there)


def parts_of(text: str | None) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def known(where: str, name: str, types: dict[str, Type]) -> str:
    """The column of this name. Raises: Problem."""
    found = column_of(name, types)
    if found is not None:
        return found
    hint = near(name, types)
    item = {
        "code": "unknown_column",
        "detail": f"There is no column `{brief(name, 60)}`.",
        "pointer": where,
        "expected": f"one of: {', '.join(types)}",
        "got": brief(name, 60),
        **hint,
    }
    raise Problem(
        "unknown_column", f"{where}: {item['detail']}", hint=hint.get("hint"), errors=[item],
        columns=list(types),
    )  # fmt: skip


def refused(where: str, detail: str, types: dict[str, Type]) -> Problem:
    """A refusal of one parameter."""
    item = {"code": "invalid_field", "detail": detail, "pointer": where}
    return Problem("invalid_field", f"{where}: {detail}", errors=[item], columns=list(types))


def as_cursor(job: str, asked: Asked, place: Place) -> str:
    """An opaque name of a place in the answer to one question."""
    raw = json.dumps(
        [marked(job, asked), place.seen, place.shard, place.index, *place.values],
        separators=(",", ":"),
    ).encode()
    return base64.urlsafe_b64encode(checked(raw) + raw).decode().rstrip("=")


def of_cursor(job: str, asked: Asked, cursor: str) -> Place:
    """The place that a cursor names. Raises: Problem for one that was not made for this question."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        if raw[:CHECK_BYTES] != checked(raw[CHECK_BYTES:]):
            raise ValueError
        mark, seen, shard, index, *values = json.loads(raw[CHECK_BYTES:])
        if not all(isinstance(one, int) and 0 <= one <= MOST_INDEX for one in (seen, shard, index)):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise Problem(
            "invalid_cursor", "This cursor was not made here.", pointer="cursor"
        ) from None
    # The check keeps nobody who reads this from making a cursor of his own.
    fitting = len(values) == len(asked.keys) and all(map(Key.fits, asked.keys, values))
    if mark != marked(job, asked) or not fitting:
        raise Problem(
            "invalid_cursor",
            "This cursor goes on with another question.",
            pointer="cursor",
            hint="Send `where`, `sort` and `top` as on the first page, or use `links.next` as it was given.",
        )
    return Place(tuple(values), index, seen, shard)


def checked(raw: bytes) -> bytes:
    """Tells a cursor that was changed; what it leads to is checked like everything else."""
    return hashlib.blake2b(raw, digest_size=CHECK_BYTES, key=b"matprop table").digest()


def marked(job: str, asked: Asked) -> str:
    """The job and the question."""
    return hashlib.blake2b(f"{job} {asked.words}".encode(), digest_size=9).hexdigest()


def finite(value: Any) -> Any:
    """What JSON has no number for is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value

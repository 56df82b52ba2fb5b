"""Questions to a table as SQL; names are quoted and known, everything else is a parameter."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.asked import Asked, Key, KeyValue, Place, holds_json
from service.where import Value
from service.where_sql import quoted, sql_of
from workers.columns import Column, Type

FORMATS = {
    "csv": "FORMAT csv, HEADER",
    "jsonl": "FORMAT json",
    "parquet": "FORMAT parquet, COMPRESSION zstd",
}

SQL_TYPES = {
    "int64": "BIGINT",
    "int32": "INTEGER",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "string": "VARCHAR",
}

TYPES: dict[str, Type] = {
    "BIGINT": "int64",
    "INTEGER": "int32",
    "DOUBLE": "double",
    "BOOLEAN": "bool",
    "VARCHAR": "string",
}


@dataclass(frozen=True, slots=True)
class Question:
    """A statement with its parameters."""

    sql: str
    values: list[Any]


def found_rows(asked: Asked, shards: Sequence[str], place: Place | None, most: int) -> Question:
    """File, index and keys of the first rows: only what is asked about is read, and the rest for these rows alone."""
    condition, values = conditions(asked, place)
    keys = "".join(f", {quoted(key.column)}" for key in asked.keys)
    return Question(
        f'SELECT filename, "index"{keys} FROM read_parquet(?, filename=true)'
        f"{condition} ORDER BY {order(asked)} LIMIT ?",
        [list(shards), *values, most],
    )


def chosen_rows(asked: Asked, shards: Sequence[str], indices: Sequence[int]) -> Question:
    """These rows with the columns that are wanted, after their index."""
    wanted = "".join(f", {quoted(column.name)}" for column in asked.columns)
    marks = ", ".join("?" * len(indices))
    return Question(
        f'SELECT "index"{wanted} FROM read_parquet(?) WHERE "index" IN ({marks})',
        [list(shards), *indices],
    )


def counted(asked: Asked, shards: Sequence[str]) -> Question:
    """How many rows there are."""
    condition, values = conditions(asked, None)
    return Question(f"SELECT count(*) FROM read_parquet(?){condition}", [list(shards), *values])


def described(shard: str) -> Question:
    """The columns of a shard with their types."""
    return Question("DESCRIBE SELECT * FROM read_parquet(?)", [[shard]])


def exported(asked: Asked, shards: Sequence[str], path: Path, form: str) -> Question:
    """The whole answer into a file. Shards are read in their order, which is that of the index."""
    target = str(path).replace("'", "''")  # where a file goes cannot be a parameter
    if not shards:
        nothing = ", ".join(
            f"CAST(NULL AS {SQL_TYPES[column.type]}) AS {quoted(column.name)}"
            for column in asked.columns
        )
        return Question(f"COPY (SELECT {nothing} LIMIT 0) TO '{target}' ({FORMATS[form]})", [])
    condition, values = conditions(asked, None)
    wanted = ", ".join(outward(column, form) for column in asked.columns)
    ordered = f" ORDER BY {order(asked)}" if asked.keys else ""
    limited = "" if asked.top is None else " LIMIT ?"
    return Question(
        f"COPY (SELECT {wanted} FROM read_parquet(?){condition}{ordered}{limited}) "
        f"TO '{target}' ({FORMATS[form]})",
        [list(shards), *values, *([] if asked.top is None else [asked.top])],
    )


def outward(column: Column, form: str) -> str:
    """A column as it goes out: numbers are finite, and JSON is no text in JSON."""
    name = quoted(column.name)
    if column.type == "double":
        return f"CASE WHEN isfinite({name}) THEN {name} END AS {name}"
    if form == "jsonl" and holds_json(column.name):
        return f"TRY_CAST({name} AS JSON) AS {name}"
    return name


def conditions(asked: Asked, place: Place | None) -> tuple[str, list[Value | KeyValue]]:
    """What the rows have to fulfil."""
    parts: list[str] = []
    values: list[Value | KeyValue] = []
    if asked.where is not None:
        condition, given = sql_of(asked.where)
        parts.append(condition)
        values += given
    if place is not None:
        condition, more = after(asked.keys, place)
        parts.append(condition)
        values += more
    return (f" WHERE {' AND '.join(parts)}" if parts else ""), values


def order(asked: Asked) -> str:
    """Rows without a value last, the same ones by their index."""
    keys = [
        f"{quoted(key.column)} {'DESC' if key.descending else 'ASC'} NULLS LAST"
        for key in asked.keys
    ]
    return ", ".join([*keys, '"index" ASC'])


def after(keys: Sequence[Key], place: Place) -> tuple[str, list[KeyValue]]:
    """Rows behind the place: alike in the first keys, behind it in the next one."""
    ways: list[str] = []
    values: list[KeyValue] = []
    alike: list[str] = []
    known: list[KeyValue] = []
    for key, value in zip(keys, place.values, strict=True):
        name = quoted(key.column)
        if value is None:
            alike.append(f"{name} IS NULL")
            continue
        sign = "<" if key.descending else ">"
        ways.append(" AND ".join([*alike, f"({name} {sign} ? OR {name} IS NULL)"]))
        values += [*known, value]
        alike.append(f"{name} = ?")
        known.append(value)
    ways.append(" AND ".join([*alike, '"index" > ?']))
    return "(" + " OR ".join(f"({way})" for way in ways) + ")", [*values, *known, place.index]

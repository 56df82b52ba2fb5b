"""A filter as SQL: parameters for what was written, quoted names for columns that are known."""

from collections.abc import Sequence

from service.where import (
    Any,
    Column,
    Compare,
    Contains,
    Every,
    Has,
    In,
    Not,
    Null,
    Side,
    Truth,
    Value,
    Where,
)


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


def sql_of(where: Where) -> tuple[str, list[Value]]:
    """A condition with its parameters, in their order."""
    values: list[Value] = []
    return _sql(where, values), values


def _sql(where: Where, values: list[Value]) -> str:
    match where:
        case Truth(column):
            return quoted(column.name)
        case Compare(left, operator, right):
            return f"({_side(left, values)} {operator} {_side(right, values)})"
        case In(column, among):
            values += among
            return f"({quoted(column.name)} IN ({', '.join('?' * len(among))}))"
        case Null(column):
            return f"({quoted(column.name)} IS NULL)"
        case Contains(column, part):
            values.append(part)
            return f"contains({quoted(column.name)}, ?)"
        case Has(column, element):
            values.append(f"{element}([^a-z]|$)")
            return f"regexp_matches({quoted(column.name)}, ?)"
        case Not(part):
            return f"(NOT {_sql(part, values)})"
        case Every(parts):
            return _joined(" AND ", parts, values)
        case Any(parts):
            return _joined(" OR ", parts, values)


def _joined(word: str, parts: Sequence[Where], values: list[Value]) -> str:
    return "(" + word.join(_sql(part, values) for part in parts) + ")"


def _side(side: Side, values: list[Value]) -> str:
    if isinstance(side, Column):
        return quoted(side.name)
    values.append(side.value)
    return "?"

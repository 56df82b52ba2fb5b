"""The language of filters: what it means, what it refuses, and that it never does anything else."""

import functools
import operator
from typing import Any as Anything

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.where import (
    MOST_DEPTH,
    MOST_TESTS,
    Any,
    Compare,
    Contains,
    Every,
    Has,
    In,
    Literal,
    Not,
    Null,
    Truth,
    Type,
    Where,
    parse,
)
from service.where_sql import quoted, sql_of
from service.where_words import MOST_SIGNS, WhereError

COLUMNS = {
    "index": Type.NUMBER,
    "name": Type.TEXT,
    "formula": Type.TEXT,
    "in_domain": Type.BOOLEAN,
    "band-gap": Type.NUMBER,
    "band-gap.std": Type.NUMBER,
    "band-gap@2": Type.NUMBER,
    "is-metal.label": Type.TEXT,
}
ROWS: list[dict[str, Anything]] = [
    dict(zip(COLUMNS, row, strict=True))
    for row in [
        (0, "a.cif", "Fe2O3", True, 1.5, 0.1, 2.0, "metal"),
        (1, "b'c.cif", "CsCl", False, 0.0, 0.2, 0.0, "no metal"),
        (2, 'Ü "x".cif', "CO2", True, -1.0, None, None, None),
        (3, "bad.cif", None, None, None, None, None, None),
        (4, "e_%.cif", "Ca3(PO4)2", False, 1e300, 0.1, 1.5, "metal"),
        (5, "f.cif", "C", True, 1.5, 1.5, 1.5, ""),
    ]
]


def found(text: str) -> list[int]:
    """The rows that the filter keeps, by SQL."""
    return [row for row, truth in enumerate(truths(parse(text, COLUMNS))) if truth]


@functools.cache
def table() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    kinds = {Type.NUMBER: "DOUBLE", Type.TEXT: "VARCHAR", Type.BOOLEAN: "BOOLEAN"}
    fields = ", ".join(f"{quoted(name)} {kinds[kind]}" for name, kind in COLUMNS.items())
    connection.execute(f"CREATE TABLE t ({fields})")
    marks = ", ".join("?" * len(COLUMNS))
    connection.executemany(f"INSERT INTO t VALUES ({marks})", [list(row.values()) for row in ROWS])
    return connection


def truths(where: Where) -> list[bool | None]:
    condition, values = sql_of(where)
    rows = table().execute(f'SELECT {condition} FROM t ORDER BY "index"', values).fetchall()
    return [row[0] for row in rows]


def fault(text: str) -> WhereError:
    with pytest.raises(WhereError) as caught:
        parse(text, COLUMNS)
    return caught.value


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("band-gap > 1", [0, 4, 5]),
        ("band-gap >= 1.5 and band-gap <= 1.5", [0, 5]),
        ("1 < band-gap", [0, 4, 5]),
        ("band-gap = 1.5", [0, 5]),
        ("band-gap == 1.5", [0, 5]),
        ("band-gap <> 1.5", [1, 2, 4]),
        ("band-gap ≥ 1.5", [0, 4, 5]),
        ("band-gap > −1.5", [0, 1, 2, 4, 5]),
        ("band-gap > -.5e0", [0, 1, 4, 5]),
        ("band-gap > band-gap.std", [0, 4]),
        ("band-gap@2 = 2", [0]),
        ("in_domain", [0, 2, 5]),
        ("not in_domain", [1, 4]),
        ("in_domain = false", [1, 4]),
        ("in_domain is null", [3]),
        ("in_domain is not null", [0, 1, 2, 4, 5]),
        ("formula has C", [2, 5]),
        ("formula has Cs", [1]),
        ('formula has "P"', [4]),
        ("formula not has O", [1, 5]),
        ('formula contains "O"', [0, 2, 4]),
        ('name contains "%"', [4]),
        ("name contains '_'", [4]),
        ("name = 'b''c.cif'", [1]),
        ('name = "b\'c.cif"', [1]),
        ('name = "Ü ""x"".cif"', [2]),
        ('is-metal.label = ""', [5]),
        ("index in (0, 2, 99)", [0, 2]),
        ("index not in (0, 2, 99)", [1, 3, 4, 5]),
        ('is-metal.label in ("metal", "no metal")', [0, 1, 4]),
        ("in_domain and band-gap > 1 or index = 3", [0, 3, 5]),
        ("in_domain AND (band-gap > 1 OR index = 3)", [0, 5]),
        ("not (in_domain or band-gap > 1)", [1]),
        ("not not in_domain", [0, 2, 5]),
        ("BAND-GAP > 1 and IN_domain", [0, 5]),
        ("`band-gap` > 1", [0, 4, 5]),
        ("band-gap>1and in_domain", None),
    ],
)
def test_a_filter_keeps_what_it_says(text: str, rows: list[int] | None) -> None:
    if rows is None:
        fault(text)
    else:
        assert found(text) == rows


@pytest.mark.parametrize(
    ("text", "code", "at", "words"),
    [
        ("", "invalid_filter", 1, "empty"),
        ("bandgap > 1", "unknown_column", 1, "Did you mean `band-gap`?"),
        ("in_domain and gap > 1", "unknown_column", 15, "one of: index, name"),
        ("is-metal.label = metal", "unknown_column", 18, 'quotes: "metal"'),
        ("band-gap > nan", "unknown_column", 12, "finite"),
        ("band-gap > 1e999", "invalid_filter", 12, "too large"),
        ('band-gap > "1"', "invalid_filter", 12, "a number"),
        ("name = 3", "invalid_filter", 8, "a text"),
        ('name > "a"', "invalid_filter", 6, "no order"),
        ("in_domain > false", "invalid_filter", 11, "no order"),
        ("band-gap", "invalid_filter", 9, "Nothing is asked"),
        ("band-gap = null", "invalid_filter", 12, "`is null`"),
        ("band-gap is 3", "invalid_filter", 13, "by `=`"),
        ("1 < band-gap < 2", "invalid_filter", 14, "two tests"),
        ("1 = 1", "invalid_filter", 1, "Both sides"),
        ("in_domain & in_domain", "invalid_filter", 11, "Write `and`"),
        ("!in_domain", "invalid_filter", 1, "Write `not`"),
        ("(in_domain", "invalid_filter", 11, "not closed"),
        ("in_domain)", "invalid_filter", 10, "cannot stand here"),
        ("in_domain in_domain", "invalid_filter", 11, "`and`, `or`"),
        ('name = "a', "invalid_filter", 8, "not closed"),
        ("index in 3", "invalid_filter", 10, "`(`"),
        ("index in ()", "invalid_filter", 11, "a number"),
        ('index in (1, "a")', "invalid_filter", 14, "a number"),
        ("name contains O", "invalid_filter", 15, 'quotes: "O"'),
        ('band-gap contains "1"', "invalid_filter", 10, "asks of a text"),
        ("formula has pb", "invalid_filter", 13, "Did you mean `Pb`?"),
        ('formula has "Xx"', "invalid_filter", 13, "no element"),
        ("name has O", "invalid_filter", 6, "formula has"),
        ("band-gap > ٣", "invalid_filter", 12, "0 to 9"),
        ("band-gap > 1; drop table t", "invalid_filter", 13, "`;`"),
        ("name = '\0'", "invalid_filter", 8, "no text has"),
        ("name = '\ud800'", "invalid_filter", 8, "no text has"),
    ],
)
def test_a_fault_is_told_with_its_place_and_its_cure(
    text: str, code: str, at: int, words: str
) -> None:
    error = fault(text)
    assert (error.code, error.at) == (code, at)
    assert words in f"{error.detail} {error.expected} {error.hint}"


def test_what_is_too_much_is_refused_and_never_overflows() -> None:
    for text in (
        "(" * 100_000,
        "(" * (MOST_SIGNS - 1),
        "not " * (MOST_SIGNS // 4),
        "(" * (MOST_DEPTH + 1) + "in_domain" + ")" * (MOST_DEPTH + 1),
        " or ".join(["in_domain"] * (MOST_TESTS + 1)),
        f"index in ({','.join('1' * 3_000)})",
    ):
        assert fault(text).code == "invalid_filter"


def test_names_are_quoted_whatever_they_hold() -> None:
    columns = {'a" or 1=1 --': Type.NUMBER}
    where = parse('`a" or 1=1 --` > 1', columns)
    assert sql_of(where) == ('("a"" or 1=1 --" > ?)', [1.0])


# Against a plain evaluation in Python: unknown is None, as in SQL.

SIGNS = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def truth(where: Where, row: dict[str, Anything]) -> bool | None:
    match where:
        case Truth(column):
            return row[column.name]
        case Compare(left, sign, right):
            sides = [
                one.value if isinstance(one, Literal) else row[one.name] for one in (left, right)
            ]
            return None if None in sides else bool(SIGNS[sign](*sides))
        case In(column, values):
            return None if row[column.name] is None else row[column.name] in values
        case Null(column):
            return row[column.name] is None
        case Contains(column, part):
            return None if row[column.name] is None else part in row[column.name]
        case Has(column, element):
            return None if row[column.name] is None else element in elements(row[column.name])
        case Not(part):
            inner = truth(part, row)
            return None if inner is None else not inner
        case Every(parts):
            each = [truth(part, row) for part in parts]
            return False if False in each else None if None in each else True
        case Any(parts):
            each = [truth(part, row) for part in parts]
            return True if True in each else None if None in each else False
    raise AssertionError(where)


def elements(formula: str) -> set[str]:
    found: list[str] = []
    for sign in formula:
        if sign.isupper():
            found.append(sign)
        elif sign.islower():
            found[-1] += sign
    return set(found)


numbers = st.one_of(
    st.sampled_from([0.0, 1.5, -1.0, 2.0, 1e300]), st.floats(-10, 10, allow_subnormal=False)
)
texts = st.one_of(
    st.sampled_from(["a.cif", "metal", "C", "O", "_", "%", "'", '"', ""]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
)
of_type = {
    Type.NUMBER: numbers.map(repr),
    Type.TEXT: texts.map(lambda text: '"' + text.replace('"', '""') + '"'),
    Type.BOOLEAN: st.sampled_from(["true", "False"]),
}


@st.composite
def asked(draw: Anything) -> str:
    name = draw(st.sampled_from(sorted(COLUMNS)))
    value = of_type[COLUMNS[name]]
    signs = sorted(SIGNS) if COLUMNS[name] is Type.NUMBER else ["=", "!="]
    forms = [
        f"{name} {draw(st.sampled_from(signs))} {draw(value)}",
        f"{draw(value)} {draw(st.sampled_from(signs))} {name}",
        f"{name} {draw(st.sampled_from(['', 'not ']))}in ({', '.join(draw(st.lists(value, min_size=1, max_size=4)))})",
        f"{name} is {draw(st.sampled_from(['', 'not ']))}null",
        "in_domain",
        f"formula {draw(st.sampled_from(['', 'not ']))}has {draw(st.sampled_from(['O', 'C', 'Cs', 'P', 'Fe']))}",
        f"name contains {draw(of_type[Type.TEXT])}",
    ]
    return draw(st.sampled_from(forms))


filters = st.recursive(
    asked(),
    lambda inner: st.one_of(
        inner.map(lambda one: f"not {one}"),
        inner.map(lambda one: f"({one})"),
        st.tuples(inner, st.sampled_from(["and", "or", "AND"]), inner).map(" ".join),
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(filters)
def test_sql_finds_what_a_plain_evaluation_finds(text: str) -> None:
    where = parse(text, COLUMNS)
    assert truths(where) == [truth(where, row) for row in ROWS], text


words = st.sampled_from(
    [*COLUMNS, *"()<>=!,;'\"`&|.-+@", "and", "or", "not", "in", "is", "null", "has", "contains",
     "true", "1", "1e400", "O", "'a'", "−", "≤", " "]
)  # fmt: skip


@settings(max_examples=1_000)
@given(
    st.one_of(st.text(), st.lists(words, max_size=20).map(" ".join), st.lists(words).map("".join))
)
def test_any_text_is_a_filter_or_a_fault_with_its_place(text: str) -> None:
    error = None
    try:
        condition, values = sql_of(parse(text, COLUMNS))
    except WhereError as raised:
        error = raised
    if error is None:
        assert condition.count("?") == len(values)
    else:
        assert 1 <= error.at <= len(text) + 1
        assert error.detail
        assert error.expected

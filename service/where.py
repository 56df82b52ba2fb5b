"""The language of filters: `band-gap > 1.5 and in_domain and not (formula has Pb)`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from models.structures.composition import NUMBERS
from service.where_words import (
    MEANT,
    OPERATORS,
    RESERVED,
    Kind,
    WhereError,
    Word,
    meant,
    unknown_column,
    words_of,
)

MOST_DEPTH = 40
MOST_TESTS = 200
MOST_VALUES = 1_000


class Type(StrEnum):
    """What a column holds, as far as a filter cares."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"


Value = float | str | bool


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its name."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as it was written."""

    value: Value

    @property
    def type(self) -> Type:
        """What it can be compared with."""
        if isinstance(self.value, bool):
            return Type.BOOLEAN
        return Type.TEXT if isinstance(self.value, str) else Type.NUMBER


Side = Column | Literal


@dataclass(frozen=True, slots=True)
class Truth:
    """A column of booleans alone."""

    column: Column


@dataclass(frozen=True, slots=True)
class Compare:
    """`left operator right`, of which one at least is a column."""

    left: Side
    operator: str
    right: Side


@dataclass(frozen=True, slots=True)
class In:
    """Whether a column has one of these values."""

    column: Column
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Null:
    """Whether a column has no value."""

    column: Column


@dataclass(frozen=True, slots=True)
class Contains:
    """Whether a text holds another."""

    column: Column
    part: str


@dataclass(frozen=True, slots=True)
class Has:
    """Whether a formula holds an element."""

    column: Column
    element: str


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary; of what is unknown it is unknown too."""

    part: "Where"


@dataclass(frozen=True, slots=True)
class Every:
    """All of these."""

    parts: tuple["Where", ...]


@dataclass(frozen=True, slots=True)
class Any:
    """One of these at least."""

    parts: tuple["Where", ...]


Where = Truth | Compare | In | Null | Contains | Has | Not | Every | Any


def parse(text: str, columns: Mapping[str, Type]) -> Where:
    """The filter; nothing else is ever raised than WhereError."""
    return Parser(text, columns).whole()


def column_of(name: str, columns: Mapping[str, Type]) -> str | None:
    """The column that is meant: its name, however its letters are written if only one fits."""
    if name in columns:
        return name
    alike = [one for one in columns if one.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


# filter   → every, {"or", every}
# every    → each, {"and", each}
# each     → "not", each | "(", filter, ")" | test
# test     → side, operator, side | column of booleans | column, "is", ["not"], "null" | column, ["not"], question
# question → "in", "(", value, {",", value}, ")" | "contains", text | "has", element
# side     → column | value
class Parser:
    """Goes through the words once; how deep it goes is bounded."""

    def __init__(self, text: str, columns: Mapping[str, Type]) -> None:
        self.columns = columns
        self.words = words_of(text)
        self.at = 0
        self.depth = 0
        self.tests = 0

    @property
    def now(self) -> Word:
        """The word in turn."""
        return self.words[self.at]

    def whole(self) -> Where:
        """The whole filter."""
        if self.now.ends:
            raise self.fault("The filter is empty.", "a test, as `band-gap > 1.5`")
        found = self.any()
        if not self.now.ends:
            raise self.fault(f"{self.now.shown} cannot stand here.", "`and`, `or`, or the end",
                      MEANT.get(self.now.text) or self.chained())  # fmt: skip
        return found

    def any(self) -> Where:
        """Tests joined by `or`."""
        parts = [self.every()]
        while self.take("or"):
            parts.append(self.every())
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def every(self) -> Where:
        """Tests joined by `and`."""
        parts = [self.each()]
        while self.take("and"):
            parts.append(self.each())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def each(self) -> Where:
        """One test, turned round or in brackets."""
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise self.fault(f"The filter is nested more than {MOST_DEPTH} deep.", "fewer brackets")
        if self.take("not"):
            found: Where = Not(self.each())
        elif self.now.is_sign("("):
            self.at += 1
            found = self.any()
            if not self.now.is_sign(")"):
                raise self.fault(f"The bracket is not closed before {self.now.shown}.", "`)`, `and` or `or`",
                          MEANT.get(self.now.text) or self.chained())  # fmt: skip
            self.at += 1
        else:
            found = self.test()
        self.depth -= 1
        return found

    def test(self) -> Where:
        """A column, and what is asked of it."""
        self.tests += 1
        if self.tests > MOST_TESTS:
            raise self.fault(f"The filter has more than {MOST_TESTS} tests.", "fewer of them")
        first = self.now
        left = self.side("a column, a value, `not` or `(`")
        if self.now.kind is Kind.OPERATOR:
            return self.compare(left, first)
        if isinstance(left, Literal):
            raise self.fault(
                f"{self.now.shown} cannot follow a value.", f"one of {OPERATORS_SHOWN}"
            )
        if self.take("is"):
            turned = self.take("not")
            if not self.take("null"):
                raise self.fault(f"{self.now.shown} cannot follow `is`.", "`null` or `not null`",
                                 None if turned else "Compare values by `=`.")  # fmt: skip
            return Not(Null(left)) if turned else Null(left)
        following = self.words[min(self.at + 1, len(self.words) - 1)]
        turned = self.now.is_("not") and following.is_("in", "contains", "has")
        self.at += turned
        found = self.question(left)
        return Not(found) if turned else found

    def question(self, column: Column) -> Where:
        """`in`, `contains`, `has`, or nothing but a boolean."""
        if self.take("in"):
            return In(column, self.values(column))
        if self.now.is_("contains", "has") and column.type is not Type.TEXT:
            raise self.fault(f"`{column.name}` is a {column.type}; `{self.now.text.lower()}` asks of a text.",
                      "a column of texts, as `formula`")  # fmt: skip
        if self.take("contains"):
            return Contains(column, self.part())
        if self.now.is_("has"):
            if column.name != "formula":
                raise self.fault("`has` asks for an element of `formula`.", "`formula has …`",
                          "Of other texts ask by `contains`.")  # fmt: skip
            self.at += 1
            return Has(column, self.element())
        if column.type is not Type.BOOLEAN:
            raise self.fault(f"Nothing is asked of `{column.name}`, which is a {column.type}.",
                      f"one of {OPERATORS_SHOWN}, `in`, `is null`"
                      + (", `contains`" if column.type is Type.TEXT else ""),
                      MEANT.get(self.now.text))  # fmt: skip
        return Truth(column)

    def compare(self, left: Side, first: Word) -> Where:
        """Two sides of one type."""
        sign, operator = self.now, OPERATORS[self.now.text]
        self.at += 1
        second = self.now
        right = self.side("a value or a column", beside=left)
        if isinstance(left, Literal) and isinstance(right, Literal):
            raise self.fault("Both sides are values.", "a column on one side", at=first)
        if left.type is not right.type:
            wrong = second if isinstance(right, Literal) else first
            raise self.fault(f"{described(left)} cannot be compared with {described(right)}.",
                      f"a {(left if wrong is second else right).type}", at=wrong)  # fmt: skip
        if left.type is not Type.NUMBER and operator not in ("=", "!="):
            raise self.fault(f"A {left.type} has no order.", "`=` or `!=`", at=sign)
        return Compare(left, operator, right)

    def side(self, expected: str, beside: Side | None = None) -> Side:
        """A column or a value."""
        word = self.now
        if word.kind in (Kind.NUMBER, Kind.TEXT) or word.is_("true", "false"):
            return Literal(self.value(expected))
        if word.is_("null"):
            raise self.fault("Nothing is equal to null.", "`is null` or `is not null`")
        if word.kind is Kind.COLUMN or (word.kind is Kind.WORD and not word.is_(*RESERVED)):
            name = column_of(word.text, self.columns)
            if name is None:
                text = beside is not None and beside.type is Type.TEXT
                raise unknown_column(word.text, self.columns, word.at, text=text)
            self.at += 1
            return Column(name, self.columns[name])
        raise self.fault(f"{word.shown} cannot stand here.", expected, MEANT.get(word.text))

    def value(self, expected: str) -> Value:
        """A number, a text in quotes, `true` or `false`."""
        word = self.now
        if word.kind is Kind.NUMBER:
            number = float(word.text)
            if not math.isfinite(number):
                raise self.fault(
                    f"{word.shown} is too large for a number.", "a number up to 1.7e308"
                )
            self.at += 1
            return number
        if word.kind is Kind.TEXT:
            self.at += 1
            return word.text
        if word.is_("true", "false"):
            self.at += 1
            return word.text.lower() == "true"
        hint = f'Texts stand in quotes: "{word.text}".' if word.kind is Kind.WORD else None
        raise self.fault(f"{word.shown} cannot stand here.", expected, hint)

    def values(self, column: Column) -> tuple[Value, ...]:
        """What stands in brackets after `in`."""
        if not self.now.is_sign("("):
            raise self.fault(
                f"{self.now.shown} cannot follow `in`.", "`(`", "As in `index in (1, 2, 3)`."
            )
        found: list[Value] = []
        while not found or self.now.is_sign(","):
            self.at += 1
            word = self.now
            if len(found) >= MOST_VALUES:
                raise self.fault(f"More than {MOST_VALUES} values.", "fewer of them")
            found.append(self.value(f"a {column.type}"))
            if Literal(found[-1]).type is not column.type:
                raise self.fault(
                    f"{described(column)} cannot be {word.shown}.", f"a {column.type}", at=word
                )
        if not self.now.is_sign(")"):
            raise self.fault(f"{self.now.shown} cannot stand here.", "`,` or `)`")
        self.at += 1
        return tuple(found)

    def part(self) -> str:
        """The text after `contains`."""
        word = self.now
        if word.kind is not Kind.TEXT:
            hint = f'Texts stand in quotes: "{word.text}".' if word.kind is Kind.WORD else None
            raise self.fault(f"{word.shown} cannot follow `contains`.", "a text in quotes", hint)
        self.at += 1
        return word.text

    def element(self) -> str:
        """The symbol after `has`, with or without quotes."""
        word = self.now
        if word.kind not in (Kind.WORD, Kind.TEXT) or word.text not in NUMBERS:
            right = word.text.capitalize()
            hint = f"Did you mean `{right}`?" if right in NUMBERS else None
            raise self.fault(
                f"{word.shown} is no element.", "the symbol of an element, as `O`", hint
            )
        self.at += 1
        return word.text

    def take(self, keyword: str) -> bool:
        """Whether this keyword is in turn; then it is passed."""
        if not self.now.is_(keyword):
            return False
        self.at += 1
        return True

    def chained(self) -> str | None:
        """A hint for who writes `1 < x < 2`."""
        if self.now.kind is Kind.OPERATOR:
            return "Write two tests: `x > 1 and x < 2`."
        return None

    def fault(
        self, detail: str, expected: str, hint: str | None = None, at: Word | None = None
    ) -> WhereError:
        """What is wrong with a word, that in turn if none is named."""
        word = at or self.now
        return WhereError(detail, word.at, expected=expected, got=word.shown, hint=hint)


OPERATORS_SHOWN = ", ".join(f"`{one}`" for one in ("=", "!=", "<", "<=", ">", ">="))


def described(side: Side) -> str:
    """A side in words."""
    if isinstance(side, Column):
        return f"`{side.name}`, a {side.type},"
    return f"the {side.type} {meant(side.value)}"

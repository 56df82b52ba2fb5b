"""The words of a filter and what can be wrong with them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from service.near import near
from service.problems import brief

MOST_SIGNS = 8_000
RESERVED = frozenset({"and", "or", "not", "in", "is", "null", "contains", "has", "true", "false"})
OPERATORS = {
    "=": "=", "==": "=", "!=": "!=", "<>": "!=", "≠": "!=",
    "<": "<", "<=": "<=", "≤": "<=", ">": ">", ">=": ">=", "≥": ">=",
}  # fmt: skip
# What people write who come from other languages.
MEANT = {
    "&": "Write `and`.", "&&": "Write `and`.", "|": "Write `or`.", "||": "Write `or`.",
    "!": "Write `not`.", "~": "Write `not`.", "{": "Write `(`.", "[": "Write `(`.",
}  # fmt: skip
WORDS = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>[+\-−]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+\-]?\d+)?(?![\w.@-]))
    |(?P<word>[^\W\d][\w.@-]*)
    |(?P<operator><=|>=|<>|!=|==|=|<|>|≤|≥|≠)
    |(?P<sign>[(),])
    |(?P<text>"(?:[^"]|"")*"|'(?:[^']|'')*')
    |(?P<column>`(?:[^`]|``)+`)
    |(?P<strange>&&|\|\||[\w.@+\-−]+|.)""",
    re.VERBOSE | re.DOTALL,
)
DIGITS = re.compile(r"[0-9.eE+\-]+")


class Kind(StrEnum):
    """What a word is."""

    NUMBER = "number"
    WORD = "word"
    OPERATOR = "operator"
    SIGN = "sign"
    TEXT = "text"
    COLUMN = "column"
    STRANGE = "strange"
    END = "end"


class WhereError(Exception):
    """A filter that cannot be read; `at` is the place of the fault, from 1."""

    def __init__(
        self,
        detail: str,
        at: int,
        *,
        expected: str,
        got: str,
        hint: str | None = None,
        code: str = "invalid_filter",
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.at = at
        self.expected = expected
        self.got = got
        self.hint = hint
        self.code = code


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the filter: without quotes, and where it begins, from 1."""

    kind: Kind
    text: str
    at: int
    raw: str

    def is_(self, *keywords: str) -> bool:
        """Whether it is one of these keywords, however its letters are written."""
        return self.kind is Kind.WORD and self.text.lower() in keywords

    def is_sign(self, sign: str) -> bool:
        """Whether it is this bracket or comma."""
        return self.kind is Kind.SIGN and self.text == sign

    @property
    def ends(self) -> bool:
        """Whether nothing follows."""
        return self.kind is Kind.END

    @property
    def shown(self) -> str:
        """The word in a message."""
        return "the end" if self.kind is Kind.END else f"`{brief(self.raw, 60)}`"


def words_of(text: str) -> list[Word]:
    """The words of a filter, and its end. Raises: WhereError."""
    if len(text) > MOST_SIGNS:
        raise WhereError(f"The filter has {len(text):,} signs.", MOST_SIGNS + 1,
                         expected=f"at most {MOST_SIGNS:,}", got=f"{len(text):,}")  # fmt: skip
    found = [
        Word(Kind(one.lastgroup or "strange"), plain(one), one.start() + 1, one[0])
        for one in WORDS.finditer(text)
        if one.lastgroup != "space"
    ]
    for word in found:
        check(word)
    return [*found, Word(Kind.END, "", len(text) + 1, "")]


def plain(found: re.Match[str]) -> str:
    """What the word means, without its quotes."""
    raw = found[0]
    if found.lastgroup in ("text", "column"):
        return raw[1:-1].replace(raw[0] * 2, raw[0])
    return raw.replace("−", "-") if found.lastgroup == "number" else raw


def check(word: Word) -> None:
    """Raises: WhereError for what no filter has at any place."""
    if word.kind is Kind.NUMBER and not DIGITS.fullmatch(word.text):
        raise WhereError(f"{word.shown} is no number.", word.at,
                         expected="a number with digits from 0 to 9", got=word.shown)  # fmt: skip
    if word.kind in (Kind.TEXT, Kind.COLUMN) and any(
        sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in word.text
    ):
        raise WhereError(
            "The text holds a sign that no text has.", word.at, expected="a text", got=word.shown
        )
    if word.kind is Kind.STRANGE and word.text in ('"', "'", "`"):
        raise WhereError(f"The quote {word.text} is not closed.", word.at,
                         expected=f"{word.text} at the end of the text", got="the end",
                         hint="A quote inside of a text is written twice.")  # fmt: skip
    if word.kind is Kind.STRANGE:
        raise WhereError(f"{word.shown} cannot be read.", word.at,
                         expected="a column, a value, a comparison, `and`, `or`, `not` or a bracket",
                         got=word.shown, hint=MEANT.get(word.text))  # fmt: skip


def meant(value: object) -> str:
    """A value in a message."""
    return f'"{brief(value, 60)}"' if isinstance(value, str) else f"{value:g}"


def unknown_column(name: str, columns: Iterable[str], at: int, *, text: bool = False) -> WhereError:
    """There is no such column; where a text is due, its quotes may have been forgotten."""
    there = list(columns)
    hint = near(name, there).get("hint")
    if text and hint is None:
        hint = f'Texts stand in quotes: "{brief(name, 60)}".'
    elif name.lower() in ("inf", "infinity", "nan"):
        hint = "Numbers are finite; where there is none, ask by `is null`."
    return WhereError(
        f"There is no column `{brief(name, 60)}`.",
        at,
        expected=f"one of: {', '.join(there)}",
        got=brief(name, 60),
        hint=hint,
        code="unknown_column",
    )

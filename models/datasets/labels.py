"""What is a label: a number, a text, or a list of numbers; everything else is left out. Light."""

import json
import math
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from models.structures.text import DASHES

LONGEST_TEXT = 500
LONGEST_LIST = 100_000
STRUCTURES = ""  # in `columns.json` a number a row, that of its structure; no label is called so
# However they are written; but Na is sodium, and so F, No and the like stay words.
MISSING = frozenset({"", "nan", "n/a", "none", "null", "-", "--", "?", "#n/a", "<na>"})
NOT_AVAILABLE = frozenset({"NA", "na"})
TRUTH = {"true": True, "false": False}

ASE_JSON = "_JSON "  # how ASE marks what it writes as JSON into a comment
_MINUS = re.compile(f"[{DASHES}]")
_NUMERAL = re.compile(rf"[-+{DASHES}]?[.,]?\d[\d.,]*(e[-+{DASHES}]?\d+)?(\s+\S.*)?", re.IGNORECASE)
_COMMA = re.compile(rf"[-+{DASHES}]?\d*,\d+([eE][-+{DASHES}]?\d+)?$")

# A list of numbers goes from process to process as the bytes of its float64.
Cell = float | str | bytes | None


class Unfit(Exception):
    """This is no label."""


def cell(value: Any) -> Cell:
    """A value as a label. Raises: Unfit."""
    if value is None:
        return None
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, Sequence) and len(value) <= LONGEST_LIST:
        try:
            return array("d", _flat(value)).tobytes() if len(value) else None
        except RecursionError:
            raise Unfit from None
    raise Unfit


def value_of(text: str) -> Any:
    """What a text stands for in a table without types: a number, a list, or itself."""
    plain = text.strip().removeprefix(ASE_JSON)
    if plain.lower() in TRUTH:
        return TRUTH[plain.lower()]
    if plain[:1] == "[":
        try:
            return json.loads(plain)
        except (ValueError, RecursionError):
            return plain
    number = as_number(plain)
    return plain if number is None else number


def pointed(word: str, between: str) -> str:
    """A word of a table; where semicolons stand between them, numbers may have a comma for the point."""
    plain = word.strip()
    return plain.replace(",", ".") if between == ";" and _COMMA.match(plain) else plain


def as_number(text: str) -> float | None:
    """The number that a text is, if it is one."""
    try:
        return float(_MINUS.sub("-", text.replace("D", "E")) if "_" not in text else "no")
    except ValueError:
        return None


def misread(texts: Iterable[str | None]) -> str | None:
    """One of these texts, if most are numbers to people, as `1,5`, `1.234,5` and `1 eV` are."""
    known = [text for text in texts if text is not None]
    numerals = [text for text in known if as_number(text) is not None or _NUMERAL.fullmatch(text)]
    if 2 * len(numerals) <= len(known):
        return None
    return next((text for text in numerals if as_number(text) is None), numerals[0])


def _number(value: float | Decimal) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    return None if math.isnan(number) else number


def _text(text: str) -> str | None:
    plain = text.strip()
    if plain.lower() in MISSING or plain in NOT_AVAILABLE:
        return None
    if len(plain) > LONGEST_TEXT or "\0" in plain:
        raise Unfit
    return plain.encode("utf-8", "replace").decode()


def _flat(values: Sequence[Any]) -> Iterator[float]:
    """All numbers of a list, or of lists in lists, in their order; NaN for none."""
    for value in values:
        if value is None:
            yield math.nan
        elif isinstance(value, int | float | Decimal):
            number = _number(value)
            yield math.nan if number is None else number
        elif isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            raise Unfit

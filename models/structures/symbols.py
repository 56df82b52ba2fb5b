"""What files write for an element: `Fe`, `FE`, `Fe3+`, `Fe3+,spin=5`, `O2-`, `Fe1A`, `D`, `OW1`, `Vac`."""

import re
from collections.abc import Container

from models.errors import UnknownElement
from models.structures.composition import NUMBERS, SYMBOLS, VACANCY

_LETTERS = re.compile(r"[^A-Za-z]*?([A-Za-z]+)")
# An element, then a charge or a number, then perhaps a suffix; nothing like `Si/Al`.
_CHARGED = re.compile(r"([A-Za-z]{1,2})(?![A-Za-z])[\d+\-.()*'\"_]*([A-Za-z]\d{0,3})?[+-]?$")
_MIXED = re.compile(r"[A-Za-z]\d*\s*[/,;&|]\s*[A-Za-z]")
_VACANT = frozenset({"vac", "va", "vacancy", "vc", "[]", "square"})

# Groups that stand on one site: the atom that has a position, and what is missing.
_GROUPS = {
    "OH": ("O", 1), "O-H": ("O", 1), "OH2": ("O", 2), "H2O": ("O", 2), "WAT": ("O", 2),
    "OW": ("O", 0), "HW": ("H", 0), "HOH": ("O", 2), "NH4": ("N", 4), "NH3": ("N", 3),
    "CH3": ("C", 3), "CH2": ("C", 2), "CH": ("C", 1), "NH2": ("N", 2), "NH": ("N", 1),
}  # fmt: skip


def of_symbol(text: str) -> tuple[int, str | None]:
    """Atomic number of a type symbol, and what to tell the sender about it.

    Raises: UnknownElement.
    """
    plain = text.strip()
    known = NUMBERS.get(plain)
    if known:
        return known, None
    if ",spin=" in plain:
        return of_symbol(plain.partition(",")[0])[0], "the spin was left out"
    if plain.lower() in _VACANT:
        return VACANCY, None
    if group := _GROUPS.get(plain.upper()):
        return _of_group(plain, *group)
    letters = _CHARGED.match(plain)
    symbol = letters[1].capitalize() if letters else ""
    if symbol == "D":
        return 1, "deuterium was read as H"
    found = NUMBERS.get(symbol)
    if found is None:
        found = _valence(plain)
    if found is None:
        raise unknown(plain)
    return found, None


def of_label(text: str, expected: Container[int] = ()) -> tuple[int, str | None]:
    """Atomic number by a site's label alone; `expected` elements decide what `CA1` or `CO2` is.

    Raises: UnknownElement.
    """
    plain = text.strip()
    match = _LETTERS.match(plain)
    if match is None or _MIXED.search(plain):
        raise unknown(plain)
    word = match[1]
    if word.lower() in _VACANT:
        return VACANCY, None
    exact, short, long = NUMBERS.get(word), NUMBERS.get(word[0].upper()), None
    if len(word) > 1:
        long = NUMBERS.get(word[:2].capitalize())
    if len(word) == 1:
        if word in "Dd":
            return 1, "deuterium was read as H"
        if short is None:
            raise unknown(plain)
        return short, None
    if long and word[1].isupper() and short in expected and long not in expected:
        return (
            short or 0,
            f"the label {plain} was read as {word[0].upper()}, which the formula holds",
        )
    if exact or long:
        return exact or long or 0, _doubt(plain, word, exact or long or 0, short, expected)
    if group := _GROUPS.get(plain.upper()) or _GROUPS.get(word.upper()):
        return _of_group(plain, *group)
    if short is None:
        raise unknown(plain)
    return short, f"the label {plain} was read as {word[0].upper()}"


def _doubt(
    plain: str, word: str, read: int, short: int | None, expected: Container[int]
) -> str | None:
    """What to say of capitals such as `HO1` or `CA2`, unless the file says that it holds the element."""
    if not short or word[1:2].islower() or len(word) == 1 or read in expected:
        return None
    return f"the label {plain} was read as {SYMBOLS[read]}, though it may mean {SYMBOLS[short]}"


def unknown(text: str) -> UnknownElement:
    """The error for a symbol that names no element."""
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    hint = "Use the symbol of a chemical element."
    if text[:1] in "TtXxMmRrAQq" and len(re.sub(r"[^A-Za-z]", "", text)) == 1:
        hint = "Placeholders (T, M, X, R) name no element; put in the real one."
    return UnknownElement(
        f"{shown!r} names no element.",
        expected="an element's symbol",
        got=shown,
        hint=hint,
    )


def _valence(plain: str) -> int | None:
    """`Cval` and `Siva` of the scattering-factor tables."""
    match = re.fullmatch(r"([A-Z][a-z]?)(val|va|v)", plain)
    return NUMBERS.get(match[1]) if match else None


def _of_group(text: str, symbol: str, hydrogens: int) -> tuple[int, str | None]:
    note = f"{text} was read as {symbol}"
    if hydrogens:
        note += f" without its {hydrogens} hydrogen{'s' if hydrogens > 1 else ''}"
    return NUMBERS[symbol], note

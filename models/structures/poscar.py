"""POSCAR and CONTCAR of VASP 4, 5 and 6."""

import re
from collections.abc import Sequence
from itertools import takewhile

import numpy as np

from models.errors import TooLarge, UnreadableStructure
from models.structures import bounds
from models.structures.checks import Floats
from models.structures.composition import NUMBERS
from models.structures.draft import ReadOptions, finished
from models.structures.structure import Structure
from models.structures.symbols import of_symbol
from models.structures.symmetry import too_many

_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d{1,3})?$")
_SPECIES = re.compile(r"([A-Z][a-z]?)(\d+)?$")


def read(text: str, name: str, options: ReadOptions, notes: Sequence[str] = ()) -> Structure:
    """The structure of a POSCAR.

    Raises: InputError naming the line.
    """
    lines = text.split("\n")
    if len(lines) < 8:
        raise UnreadableStructure(
            f"A POSCAR needs at least 8 lines; this file has {len(lines)}.",
            expected="comment, scale, three cell vectors, symbols, counts, mode, coordinates",
        )
    warnings = list(notes)
    cell = np.array([_floats(lines, row, 3) for row in (2, 3, 4)])
    symbols, counts, row = _species(lines)
    total = sum(counts)
    if total > bounds.SITES:
        raise too_many(total)
    if total == 0:
        raise UnreadableStructure("The counts of sites are all zero.", place=f"line {row}")
    row, cartesian = _mode(lines, row)
    if len(lines) - row < total:
        raise _short(total, len(lines) - row, len(lines))
    sites = np.array([_coordinates(lines, row + i, i, total) for i in range(total)])
    if symbols is None:
        symbols = _version_4(lines, counts, row, warnings)
    _extra(lines, row + total, warnings)
    factors = _scale(lines, cell)
    lattice = cell * factors
    if cartesian:
        sites = _fractional(sites * factors, lattice)
    numbers = [_number(symbol, warnings) for symbol in symbols]
    return finished(
        name, lattice, np.repeat(numbers, counts), sites, warnings=warnings, options=options
    )


def _floats(lines: list[str], row: int, count: int) -> list[float]:
    words = lines[row].split()[:count]
    if len(words) < count or not all(_FLOAT.match(word) for word in words):
        raise UnreadableStructure(
            f"Line {row + 1} does not hold {count} numbers.",
            place=f"line {row + 1}",
            expected=f"{count} numbers",
            got=lines[row].strip()[:60],
        )
    return [float(word.replace("D", "e").replace("d", "e")) for word in words]


def _scale(lines: list[str], cell: Floats) -> Floats:
    """Factors of the Cartesian x, y and z; a negative one is the volume."""
    words = []
    for word in lines[1].split()[:3]:
        if not _FLOAT.match(word):
            break
        words.append(word)
    factors = np.array(_floats(lines, 1, 3 if len(words) == 3 else 1))
    if len(factors) == 1 and factors[0] < 0:
        volume = abs(float(np.linalg.det(cell)))
        factors = np.cbrt(-factors / volume) if volume else factors
    if not (factors > 0).all():
        raise UnreadableStructure(
            "The scale of the cell must be positive, or a negative volume.",
            place="line 2",
            expected="one number, or three positive ones",
            got=lines[1].strip()[:60],
        )
    return np.repeat(factors, 3) if len(factors) == 1 else factors


def _species(lines: list[str]) -> tuple[list[str] | None, list[int], int]:
    """Symbols (VASP 5 and later), counts, and the row after them; words after them are comments."""
    words = lines[5].split()
    first = _leading_counts(words)
    if first:
        return None, _counts(first, 5), 6
    counts: list[str] = []
    row = 6
    while row < len(lines) and (more := _leading_counts(lines[row].split())):
        counts += more
        row += 1
        if len(counts) >= len(words):
            break
    symbols, rest = words[: len(counts)], words[len(counts) :]
    if not counts or len(symbols) < len(counts) or (rest and _is_species(rest[0])):
        named = next((i for i, word in enumerate(words) if not _is_species(word)), len(words))
        raise UnreadableStructure(
            f"{named} symbols on line 6 and {len(counts)} counts on line 7.",
            place="lines 6 and 7",
            expected="as many counts as symbols",
            got=f"{lines[5].strip()[:40]} / {lines[6].strip()[:40]}",
        )
    return symbols, _counts(counts, 6), row


def _leading_counts(words: list[str]) -> list[str]:
    return list(takewhile(str.isdigit, words))


def _is_species(word: str) -> bool:
    return re.split(r"[_/:.]", word)[0] in NUMBERS


def _counts(words: list[str], row: int) -> list[int]:
    if any(len(word) > 7 for word in words):
        raise TooLarge(
            "A count of sites is far too large.",
            place=f"line {row + 1}",
            expected=f"at most {bounds.SITES:,} sites",
            got=max(words, key=len)[:20],
        )
    return [int(word) for word in words]


def _mode(lines: list[str], row: int) -> tuple[int, bool]:
    """The row of the first site, and whether coordinates are Cartesian."""
    first = lines[row].strip()[:1].lower() if row < len(lines) else ""
    if first == "s":  # selective dynamics
        row += 1
        first = lines[row].strip()[:1].lower() if row < len(lines) else ""
    if first not in ("c", "k", "d", "f"):
        raise UnreadableStructure(
            "The line that says Direct or Cartesian is missing.",
            place=f"line {row + 1}",
            expected="Direct or Cartesian",
            got=lines[row].strip()[:40] if row < len(lines) else "end of file",
        )
    return row + 1, first in ("c", "k")


def _coordinates(lines: list[str], row: int, site: int, total: int) -> list[float]:
    if not lines[row].strip():
        raise _short(total, site, row + 1)
    return _floats(lines, row, 3)


def _short(total: int, found: int, line: int) -> UnreadableStructure:
    return UnreadableStructure(
        f"The counts say {total} sites, but only {max(0, found)} have coordinates.",
        place=f"line {line}",
        expected=f"{total} lines of coordinates",
        got=str(max(0, found)),
    )


def _version_4(lines: list[str], counts: list[int], row: int, warnings: list[str]) -> list[str]:
    """The symbols of a file without a line of symbols, if it clearly tells them elsewhere."""
    behind = [_behind(line) for line in lines[row : row + sum(counts)]]
    parts = np.split(np.array(behind, dtype=object), np.cumsum(counts)[:-1])
    groups = [set(part) for part in parts]
    ends = [" ".join(sorted(group)) for group in groups]
    settled = ends if NUMBERS.keys() >= set(ends) else None
    symbols = _in_comment(lines[0], counts) or settled
    if symbols is None or any(
        group - {"", symbol} for group, symbol in zip(groups, symbols, strict=True)
    ):
        raise UnreadableStructure(
            "The ends of the lines and the comment line do not settle the elements (VASP 4 format)."
            if any(behind)
            else "The file names no elements: it has no line of symbols before the counts (VASP 4 format).",
            place="line 6",
            expected="a line of element symbols, like `Na Cl`",
            got=lines[5].strip()[:40],
            hint="Add the line of symbols before the counts, as VASP 5 writes it.",
        )
    warnings.append(
        "No line of symbols (VASP 4): those at the ends of the lines were taken."
        if settled
        else f"No line of symbols (VASP 4): {' '.join(symbols)} of the comment line was taken."
    )
    return symbols


def _behind(line: str) -> str:
    """The element symbols behind the coordinates of a line, or else those of its remark."""
    plain, _, remark = line.replace("#", "!").partition("!")
    return _named(plain.split()[3:]) or _named(remark.split())


def _named(words: list[str]) -> str:
    """The element symbols among these words, each once; flags of selective dynamics are none."""
    rest = [word for word in words if not word.isdigit()]
    if len(rest) > 2 and {"T", "F"} >= set(rest[:3]):
        rest = rest[3:]
    found = {match[1] for match in map(_SPECIES.match, rest) if match and match[1] in NUMBERS}
    return " ".join(sorted(found))


def _in_comment(comment: str, counts: list[int]) -> list[str] | None:
    """The symbols of a comment that is nothing but these, with the right numbers if with any."""
    named = [
        match for word in comment.split() if (match := _SPECIES.match(word)) and match[1] in NUMBERS
    ]
    fits = len(named) == len(comment.split()) == len(counts) and all(
        match[2] is None or int(match[2]) == count
        for match, count in zip(named, counts, strict=True)
    )
    return [match[1] for match in named] if fits else None


def _number(word: str, warnings: list[str]) -> int:
    """The element of `Fe`, `Fe_pv`, `Fe_pv/1a2b3c`, `H.5`."""
    symbol = re.split(r"[_/:.]", word)[0]
    if symbol != word and symbol in ("H", "H1"):
        warnings.append(f"The pseudo-hydrogen {word} was read as H.")
    number, note = of_symbol(symbol)
    if note:
        warnings.append(f"{word}: {note}.")
    if number == 0:
        raise UnreadableStructure(f"{word!r} is a vacancy, not an element.", place="line 6")
    return number


def _extra(lines: list[str], row: int, warnings: list[str]) -> None:
    """Coordinates directly after the last ones, and further frames, are no CONTCAR's velocities."""
    if any("configuration=" in line for line in lines[row:]):
        warnings.append(
            "The file holds further frames (XDATCAR), which were left out; send them as extended XYZ."
        )
    if (
        row < len(lines)
        and len(words := lines[row].split()) >= 3
        and all(map(_FLOAT.match, words[:3]))
    ):
        warnings.append(
            f"Line {row + 1} and after: more coordinates than the counts say; left out."
        )


def _fractional(cartesian: Floats, lattice: Floats) -> Floats:
    from models.structures.checks import check_cell

    check_cell(lattice, 1)
    fractional: Floats = cartesian @ np.linalg.inv(lattice)
    return fractional

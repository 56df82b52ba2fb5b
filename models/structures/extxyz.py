"""Extended XYZ: one or several frames, each with its lattice."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import InputError, UnreadableStructure
from models.structures import bounds
from models.structures.checks import check_cell, said_of_directions
from models.structures.composition import SYMBOLS
from models.structures.draft import ReadOptions, finished
from models.structures.structure import Structure
from models.structures.symbols import of_symbol
from models.structures.symmetry import too_many

# key=value, key="a b", key='a b', key={a b}, key=[a, b]; a bare key is a flag
_PAIR = re.compile(
    r"""([A-Za-z_][\w.\-]*)\s*=\s*("[^"]*"|'[^']*'|\{[^}]*\}|\[[^\n]*?\](?=\s|$)|[^\s"'{\[]\S*)"""
)
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d{1,3})?$")


def frames(text: str) -> Iterator[tuple[int, list[str]]]:
    """The line number and the lines of each frame.

    Raises: UnreadableStructure, TooLarge.
    """
    lines = text.split("\n")
    row = 0
    while row < len(lines):
        head = lines[row].strip()
        if not head:
            row += 1
            continue
        if not head.isdigit() or len(head) > 9:
            raise UnreadableStructure(
                f"Line {row + 1} should hold the number of sites of the next frame.",
                place=f"line {row + 1}",
                expected="a whole number",
                got=head[:40],
            )
        count = int(head)
        if count > bounds.SITES:
            raise too_many(count)
        if row + 2 + count > len(lines):
            raise UnreadableStructure(
                f"The frame of line {row + 1} ends before its {count} sites.",
                place=f"line {row + 1}",
                expected=f"{count} lines of sites",
                got=str(max(0, len(lines) - row - 2)),
            )
        yield row + 1, lines[row : row + 2 + count]
        row += 2 + count


def pairs(comment: str) -> dict[str, str]:
    """What a comment line says, by key."""
    return {key: raw.strip("\"'") for key, raw in _PAIR.findall(comment)}


def read(
    lines: list[str], start: int, name: str, options: ReadOptions, notes: Sequence[str] = ()
) -> Structure:
    """The structure of one frame.

    Raises: InputError naming the line.
    """
    warnings = list(notes)
    values = {key.lower(): raw for key, raw in pairs(lines[1]).items()}
    lattice = _lattice(values, start + 1)
    warnings += said_of_directions(_periodic(values))
    species, position = _columns(values.get("properties", "species:S:1:pos:R:3"), start + 1)
    numbers: list[int] = []
    sites: list[list[float]] = []
    for row, line in enumerate(lines[2:], start + 2):
        words = line.split()
        try:
            numbers.append(_element(words[species], warnings))
            sites.append([_float(word) for word in words[position : position + 3]])
        except InputError as error:
            error.place = f"line {row}"
            raise
        except (IndexError, ValueError):
            sites.append([])
        if len(sites[-1]) != 3:
            raise UnreadableStructure(
                f"Line {row} is no site.",
                place=f"line {row}",
                expected="an element and three coordinates",
                got=line.strip()[:60],
            )
    check_cell(lattice, max(1, len(numbers)))
    cartesian = np.array(sites).reshape(-1, 3)
    fractional = cartesian @ np.linalg.inv(lattice)
    return finished(
        name, lattice, numbers, fractional, warnings=list(dict.fromkeys(warnings)), options=options
    )


def _float(word: str) -> float:
    if not _FLOAT.match(word):
        raise ValueError(word)
    return float(word.replace("D", "e").replace("d", "e"))


def _element(word: str, warnings: list[str]) -> int:
    if word.isdigit() and 0 < int(word) < len(SYMBOLS):
        return int(word)
    number, note = of_symbol(word)
    if note:
        warnings.append(f"{word}: {note}.")
    if number == 0:
        raise UnreadableStructure(f"{word!r} is a vacancy, not an element.")
    return number


def _lattice(values: dict[str, str], line: int) -> np.ndarray:
    raw = values.get("lattice") or values.get("cell")
    words = re.split(r"[\s,\[\]{}]+", raw.strip("[]{} \t")) if raw else []
    words = [word for word in words if word]
    if len(words) != 9 or not all(_FLOAT.match(word) for word in words):
        raise UnreadableStructure(
            "The frame has no lattice." if raw is None else "The lattice is not nine numbers.",
            place=f"line {line}",
            expected='Lattice="ax ay az bx by bz cx cy cz"',
            got=raw[:60] if raw else None,
            hint="Write the file as extended XYZ, with the cell in its comment line.",
        )
    lattice = np.array([_float(word) for word in words]).reshape(3, 3)
    if not lattice.any():  # as ASE has it of atoms without a cell
        raise UnreadableStructure(
            "The frame's lattice is all zero: it has no cell.",
            place=f"line {line}",
            expected='Lattice="ax ay az bx by bz cx cy cz"',
            got=raw[:60] if raw else None,
            hint="Give it a cell: a molecule is read in a box.",
        )
    return lattice


def _periodic(values: dict[str, str]) -> list[bool]:
    flags = re.findall(r"true|false|[tf01]", values.get("pbc", "T T T").lower())
    return [flag in ("t", "true", "1") for flag in flags]


@dataclass(frozen=True, slots=True)
class SiteColumn:
    """What some words of each line are."""

    name: str
    kind: str  # S, R, I, L
    at: int
    width: int


def columns(properties: str) -> list[SiteColumn]:
    """What `Properties` says of the lines of a frame."""
    parts = properties.split(":")
    found: list[SiteColumn] = []
    at = 0
    for name, kind, width in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        wide = int(width) if width.isdigit() and len(width) < 4 else 1
        found.append(SiteColumn(name, kind, at, wide))
        at += wide
    return found


def _columns(properties: str, line: int) -> tuple[int, int]:
    """The columns where the element and the position start."""
    places: dict[str, int] = {}
    for column in columns(properties):
        places.setdefault(column.name.lower(), column.at)
    species = next(
        (places[key] for key in ("species", "element", "symbols", "z", "numbers") if key in places),
        None,
    )
    position = next((places[key] for key in ("pos", "positions") if key in places), None)
    if species is None or position is None:
        raise UnreadableStructure(
            "The frame's Properties name no species or no positions.",
            place=f"line {line}",
            expected="Properties=species:S:1:pos:R:3",
            got=properties[:60],
        )
    return species, position

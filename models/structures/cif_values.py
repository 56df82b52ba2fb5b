"""Values of a CIF: numbers with uncertainties, the cell's parameters, formulas."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from models.errors import ImpossibleGeometry, UnreadableStructure
from models.structures import bounds
from models.structures.cif_text import unquote
from models.structures.composition import NUMBERS, RANK, SYMBOLS
from models.structures.symmetry import Floats

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d{1,3})?)(?:\(\d*\)?)?$")
VOLUME_OFF = 0.02  # rounding, or another temperature
_FRACTION = re.compile(r"([+-]?\d{1,3})/(\d{1,3})$")


def idealised(coordinates: Floats) -> Floats:
    """0.3333 and 0.6667 mean thirds; pymatgen's rule, or special positions would not close."""
    thirds = np.abs(coordinates * 3.0 - np.rint(coordinates * 3.0)) <= 4e-4
    if thirds.any():
        for ideal in (1 / 3, 2 / 3):
            near = thirds & (np.abs(coordinates / ideal - 1) <= bounds.SAME_PLACE)
            coordinates[near] = ideal
    return coordinates


def number(raw: str, place: str) -> float:
    """A CIF number, its uncertainty in brackets dropped.

    Raises: UnreadableStructure.
    """
    text = unquote(raw).strip()
    match = _NUMBER.match(text)
    if match:
        return float(match[1].replace("d", "e").replace("D", "e"))
    fraction = _FRACTION.match(text)
    if fraction and int(fraction[2]):
        return int(fraction[1]) / int(fraction[2])
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    hint = "Use a decimal point, not a comma." if re.match(r"[+-]?\d+,\d+", text) else None
    raise UnreadableStructure(
        f"{shown!r} is no number.", place=place, expected="a finite number", got=shown, hint=hint
    )


def lattice_of(values: Sequence[float]) -> Floats:
    """Rows are a, b, c from lengths and angles, in pymatgen's orientation and to its last bit.

    Raises: ImpossibleGeometry.
    """
    a, b, c = values[:3]
    for value in values[:3]:
        if not 0 < value <= bounds.LENGTH:
            raise ImpossibleGeometry(
                f"A cell edge is {value:g} Å long.",
                place="cell",
                expected=f"{bounds.THICKNESS} to {bounds.LENGTH:g} Å",
                got=f"{value:g}",
            )
    for angle in values[3:]:
        if not bounds.ANGLE <= angle <= 180 - bounds.ANGLE:
            raise ImpossibleGeometry(
                f"A cell angle is {angle:g}°.",
                place="cell",
                expected=f"{bounds.ANGLE:g} to {180 - bounds.ANGLE:g} degrees",
                got=f"{angle:g}",
                hint="Are the angles in degrees?",
            )
    radians = np.radians(values[3:])
    cos_alpha, cos_beta, cos_gamma = np.cos(radians).tolist()
    sin_alpha, sin_beta, _ = np.sin(radians).tolist()
    reach = (cos_alpha * cos_beta - cos_gamma) / (sin_alpha * sin_beta)
    gamma_star = np.arccos(min(1.0, max(-1.0, reach)))
    cos_star, sin_star = float(np.cos(gamma_star)), float(np.sin(gamma_star))
    return np.array(
        [
            [a * sin_beta, 0.0, a * cos_beta],
            [-b * sin_alpha * cos_star, b * sin_alpha * sin_star, b * cos_alpha],
            [0.0, 0.0, c],
        ]
    )


@lru_cache(maxsize=512)
def stated_formula(raw: str) -> dict[int, float] | None:
    """Amounts by atomic number of `'Fe2 O3'`; nothing when it is no plain formula."""
    text = unquote(raw)
    amounts: dict[int, float] = {}
    at = 0
    for match in re.finditer(r"([A-Z][a-z]?)\s*(\d+\.?\d*|\.\d+)?(?:\(\d+\))?[\s,]*", text):
        symbol = "H" if match[1] == "D" else match[1]
        if match.start() != at or symbol not in NUMBERS:
            return None
        amount = float(match[2] or 1)
        amounts[NUMBERS[symbol]] = amounts.get(NUMBERS[symbol], 0.0) + amount
        at = match.end()
    return amounts if at == len(text) and sum(amounts.values()) > 0 else None


def formula_warnings(text: str, units: str | None, numbers: NDArray[np.uint8]) -> list[str]:
    """What the file's own formula says that its sites do not."""
    stated = stated_formula(text)
    if not stated:
        return []
    counts = Counter(numbers.tolist())
    total, stated_total = len(numbers), sum(stated.values())
    if counts.keys() == stated.keys():
        off = max(abs(counts[z] / total - stated[z] / stated_total) for z in counts)
        if off <= 0.01:
            return _units_warnings(units, total, stated.values())
    return [_formula_warning(counts, stated, unquote(text))]


def volume_warnings(text: str | None, lattice: Floats) -> list[str]:
    """What the file's own volume says that its cell does not."""
    match = _NUMBER.match(text) if text else None
    stated = float(match[1].lower().replace("d", "e")) if match else 0.0
    volume = float(lattice[0, 0] * lattice[1, 1] * lattice[2, 2])  # as `lattice_of` turns the cell
    if stated <= 0 or abs(stated / volume - 1) <= VOLUME_OFF:
        return []
    return [f"The cell has {volume:.1f} Å³, but the file says {stated:g}: are its edges right?"]


def _units_warnings(units: str | None, sites: int, amounts: Collection[float]) -> list[str]:
    """Whether formula units and formula make the number of sites; a lost operation shows here."""
    count = unquote(units).strip() if units else ""
    stated = sum(amounts)
    told = int(count) * stated if count.isdigit() and len(count) < 6 else 0
    if not told or abs(told - sites) <= 0.02 * sites:
        return []
    # Some programs write the formula of the whole cell, and Z all the same.
    if abs(stated - sites) <= 0.02 * sites and all(n % int(count) == 0 for n in amounts):
        return []
    said = f"The cell has {sites} sites, but Z = {count} formula units make {told:g}"
    return [f"{said}: are symmetry operations or sites missing?"]


def _formula_warning(counts: Counter[int], stated: dict[int, float], text: str) -> str:
    if 1 in stated and 1 not in counts:
        return f"The formula {text} holds H, but no hydrogen site is listed: it is missing here."
    missing = [SYMBOLS[z] for z in stated if z not in counts]
    if missing:
        return f"The formula {text} holds {', '.join(missing)}, but no such site is listed."
    divisor = gcd(*counts.values())
    found = " ".join(
        f"{SYMBOLS[z]}{counts[z] // divisor}" for z in sorted(counts, key=RANK.__getitem__)
    )
    return f"The sites give {found}, the file's formula says {text}."

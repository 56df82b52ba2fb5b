"""The short way through an ordinary CIF: one block, plain values, listed operations; compiled."""

import numpy as np

from models.structures import bounds
from models.structures.agreement import Said, check_fit, disagreements, group
from models.structures.cif import expanded
from models.structures.cif_values import formula_warnings, idealised, lattice_of
from models.structures.draft import ReadOptions, seal
from models.structures.sites import Reading, Sites
from models.structures.structure import Structure

try:
    from models.structures import _cif as compiled
except ImportError:  # built without a compiler: the long way reads the same
    compiled = None  # type: ignore[assignment]


def ordinary(data: bytes, name: str, options: ReadOptions) -> Structure | None:
    """The structure of an ordinary file; nothing when it has to be looked at more closely.

    Raises: InputError of the kind that fits.
    """
    if compiled is None or len(data) > bounds.FILE_BYTES:
        return None
    found = compiled.ordinary(data, bounds.LINE_CHARS, bounds.SITES)
    if found is None:
        return None
    cell, texts, numbers, positions, formula, units, volume, symbol, number, thirds = found
    coordinates = np.frombuffer(positions).reshape(-1, 3)
    if thirds:
        coordinates = idealised(coordinates.copy())
    reading = Reading(name, lattice_of(cell), Sites([], list(numbers), coordinates), options)
    ops = group(texts)
    check_fit(ops, reading.lattice)
    made = expanded(reading, ops)
    if made is None:
        return None
    kinds, fractional = made
    warnings = formula_warnings(formula, units, kinds) if formula else []
    said = Said(symbol, number, volume)
    warnings += disagreements(said, ops, reading.lattice, kinds, fractional)
    return seal(name, reading.lattice, kinds, fractional, warnings=warnings, options=options)

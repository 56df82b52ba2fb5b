"""The symmetry of a CIF that lists no plain operations: magnetic ones, or a space group by name."""

from collections import Counter

import numpy as np

from models.errors import InputError, TooLarge, UnreadableStructure
from models.structures import bounds
from models.structures.checks import check_cell, closest
from models.structures.cif_text import ABSENT, Block, unquote
from models.structures.cif_values import stated_formula
from models.structures.sites import Reading
from models.structures.symmetry import IDENTITY, Operations, operation

_MAGNETIC = ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_operation_mxmymz")
_CENTRING = "_space_group_symop_magn_centering_xyz"
_MAGNETIC_NAME = ("_space_group_magn_name_bns", "_space_group_magn_number_bns")


def unlisted(block: Block, reading: Reading) -> Operations:
    """The operations that the block means without listing them as usual.

    Raises: UnreadableStructure on a group that is named but unknown.
    """
    magnetic = block.column(_MAGNETIC[0])
    if magnetic:
        return _magnetic(block, magnetic)
    if block.value(*_MAGNETIC_NAME):
        raise UnreadableStructure(
            "The magnetic space group is named, but its operations are not listed.",
            place="space group",
            expected="_space_group_symop_magn_operation.xyz",
            hint="Export the file with its symmetry operations.",
        )
    from models.structures.spacegroup import candidates

    found = candidates(block, reading.lattice)
    if not found:
        reading.warnings.append(
            "The file tells no symmetry: its sites were taken as all there are."
        )
        return IDENTITY
    name, ops = found[0] if len(found) == 1 else _best(found, block, reading)
    if len(ops) > 1:
        others = [other for other, _ in found if other != name]
        reading.warnings.append(
            f"No symmetry operations are listed; those of {name} were taken"
            + (f" (of several settings; another is {others[0]})." if others else ".")
        )
    return ops


def _magnetic(block: Block, column: list[str]) -> Operations:
    plain = [_spatial(raw) for raw in column if raw not in ABSENT]
    centring = [_spatial(raw) for raw in block.column(_CENTRING) or () if raw not in ABSENT]
    if max(1, len(plain)) * max(1, len(centring)) > bounds.OPERATIONS:
        raise TooLarge(
            "The file lists too many magnetic operations.",
            expected=f"at most {bounds.OPERATIONS}, centring included",
            got=f"{len(plain)} x {len(centring)}",
        )
    rotations, translations = [], []
    for rotation, shift in plain:
        for _, more in centring or [(np.eye(3), np.zeros(3))]:
            rotations.append(rotation)
            translations.append((shift + more) % 1 if centring else shift)
    return Operations(np.array(rotations), np.array(translations))


def _spatial(raw: str) -> tuple[np.ndarray, np.ndarray]:
    """`x,y,z,-1` without its time reversal."""
    text = unquote(raw)
    parts = text.split(",")
    return operation(",".join(parts[:3]) if len(parts) == 4 else text)


def _best(
    found: list[tuple[str, Operations]], block: Block, reading: Reading
) -> tuple[str, Operations]:
    """The setting whose cell agrees with the stated formula and keeps sites apart."""
    scores = [_score(ops, block, reading) for _, ops in found]
    return found[scores.index(max(scores))]


def _score(ops: Operations, block: Block, reading: Reading) -> int:
    listed = reading.sites
    try:
        fractional, source = ops.expand(listed.coordinates)
        numbers = np.array(listed.numbers, np.uint8)[source]
        thickness = check_cell(reading.lattice, len(numbers))
        score = 0 if closest(reading.lattice, thickness, numbers, fractional) else 2
    except InputError:
        return -1
    text, units = block.value("_chemical_formula_sum"), block.value("_cell_formula_units_z")
    stated = stated_formula(text) if text else None
    if stated and units and units.isdigit():
        counts = Counter(numbers.tolist())
        agrees = all(abs(counts[z] - n * int(units)) < 0.5 for z, n in stated.items())
        score += 4 if agrees else 0
    return score

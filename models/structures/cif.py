"""One CIF block to a structure: the short way for ordinary files, the careful one for the rest."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.errors import UnreadableStructure
from models.structures import bounds
from models.structures.agreement import Said, check_fit, disagreements, group
from models.structures.checks import check_cell, closest
from models.structures.cif_text import ABSENT, Block, unquote
from models.structures.cif_values import formula_warnings, idealised, lattice_of, number
from models.structures.composition import NUMBERS
from models.structures.draft import ReadOptions, check_coordinates, seal
from models.structures.sites import Reading, Sites, sorted_sites
from models.structures.spacegroup import said
from models.structures.structure import Structure
from models.structures.symmetry import Floats, Operations, too_many

_CELL = (
    "_cell_length_a",
    "_cell_length_b",
    "_cell_length_c",
    "_cell_angle_alpha",
    "_cell_angle_beta",
    "_cell_angle_gamma",
)
_OPERATIONS = (
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_operation_xyz",
    "_symmetry_equiv_pos_as_xyz_",
    "_space_group_symop_operation_xyz_",
)
_AXES = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_MODULATED = frozenset(
    {"_cell_modulation_dimension", "_cell_wave_vector_seq_id", "_cell_wave_vector_x"}
)
_CARTESIAN = ("_atom_site_cartn_x", "_atom_site_cartn_y", "_atom_site_cartn_z")
_ONCE = (*_CELL, _AXES[0], _CARTESIAN[0], *_OPERATIONS)
_MAGNETIC = frozenset(
    {
        "_atom_site_moment_label",
        "_atom_site_moment_crystalaxis_x",
        "_space_group_symop_magn_operation_xyz",
    }
)
_POSITIONS = frozenset({_AXES[0], _CARTESIAN[0]})


def holds_structure(block: Block) -> bool:
    """Whether the block lists sites; publication and powder blocks do not."""
    return block.holds(_POSITIONS)


def structure(
    block: Block, name: str, options: ReadOptions, notes: Sequence[str] = ()
) -> Structure:
    """The structure of one block.

    Raises: InputError of the kind that fits.
    """
    if block.holds(_MODULATED):
        raise UnreadableStructure(
            "The structure is incommensurate (modulated).",
            expected="a structure that is periodic in three dimensions",
            hint="Send a commensurate approximant.",
        )
    matrix = _lattice(block)
    warnings = list(notes)
    if block.holds(_MAGNETIC):
        warnings.append("Magnetic moments were left out.")
    listed = _sites(block, matrix, warnings)
    reading = Reading(name, matrix, listed, options, warnings)
    ops = _symmetry(block, reading)
    if listed.occupancy is None and listed.parts is None:
        made = expanded(reading, ops)
        if made is not None:
            numbers, fractional = made
            warnings.extend(_warnings(block, matrix, ops, *made))
            return seal(name, matrix, numbers, fractional, warnings=warnings, options=options)
    return _carefully(block, reading, ops)


def expanded(reading: Reading, ops: Operations) -> tuple[NDArray[np.uint8], Floats] | None:
    """All sites of the cell in pymatgen's order; nothing when two of them are too near."""
    listed = reading.sites
    fractional, source = ops.expand(listed.coordinates)
    numbers = np.array(listed.numbers, np.uint8)[source]
    thickness = check_cell(reading.lattice, len(numbers))
    if closest(reading.lattice, thickness, numbers, fractional):
        return None
    order = sorted_sites(listed, numbers, source)
    return (numbers, fractional) if order is None else (numbers[order], fractional[order])


def _carefully(block: Block, reading: Reading, ops: Operations) -> Structure:
    from models.structures.disorder import resolved

    numbers, fractional, whole = resolved(reading, ops)
    if whole:
        reading.warnings.extend(_warnings(block, reading.lattice, ops, numbers, fractional))
    return seal(
        reading.name,
        reading.lattice,
        numbers,
        fractional,
        warnings=reading.warnings,
        options=reading.options,
    )


# -- cell ------------------------------------------------------------------------------------------


def _lattice(block: Block) -> Floats:
    pairs = block.pairs
    try:
        values = [float(pairs[tag]) for tag in _CELL]
    except (KeyError, ValueError):
        values = _cell_values(block)
    return lattice_of(values)


def _cell_values(block: Block) -> list[float]:
    values: list[float] = []
    missing: list[str] = []
    for tag in ("_cell_length_a", "_cell_length_b", "_cell_length_c"):
        raw = block.value(tag)
        if raw is None:
            missing.append(tag)
        values.append(0.0 if raw is None else number(raw, tag))
    angles = [block.value(f"_cell_angle_{angle}") for angle in ("alpha", "beta", "gamma")]
    if all(angle is None for angle in angles):
        missing.append("_cell_angle_…")
    if missing or any(angle is None for angle in angles):
        absent = [
            f"_cell_angle_{n}"
            for n, v in zip(("alpha", "beta", "gamma"), angles, strict=True)
            if v is None
        ]
        raise UnreadableStructure(
            f"The cell is incomplete: {', '.join(missing or absent)} missing.",
            place="cell",
            expected="three lengths and three angles",
        )
    return values + [number(angle or "", f"_cell_angle_{i}") for i, angle in enumerate(angles)]


# -- sites -----------------------------------------------------------------------------------------


def _sites(block: Block, matrix: Floats, warnings: list[str]) -> Sites:
    plain = _plain_sites(block)
    if plain is not None:
        return plain
    from models.structures.cif_sites import careful_sites

    x = block.column(_AXES[0])
    fractional = x is not None and not all(raw in ABSENT for raw in x)
    columns = [block.column(tag) for tag in (_AXES if fractional else _CARTESIAN)]
    whole = [column for column in columns if column is not None]
    if len(whole) < 3 or len({len(column) for column in whole}) > 1:
        raise UnreadableStructure(
            "The sites have no complete coordinates.",
            place="_atom_site loop",
            expected="_atom_site_fract_x, _y and _z",
        )
    if len(whole[0]) > bounds.SITES:
        raise too_many(len(whole[0]))
    if not whole[0]:
        raise UnreadableStructure("The loop of sites is empty.", place="_atom_site loop")
    return careful_sites(block, whole, matrix, warnings, fractional=fractional)


_UNUSUAL = frozenset(
    {
        "_atom_site_calc_flag",
        "_atom_site_disorder_group",
        "_atom_site_attached_hydrogens",
        "_atom_site_label_alt_id",
        "_atom_type_oxidation_number",
    }
)


def _plain_sites(block: Block) -> Sites | None:
    """Sites whose values are plain numbers and symbols; nothing when any is not."""
    loop = block.loops.get(_AXES[0])
    if loop is None or loop.fault or block.holds(_UNUSUAL):
        return None
    tags, values = loop.tags, loop.values
    width = len(tags)
    try:
        x, y, z = (values[tags.index(tag) :: width] for tag in _AXES)
        symbols = values[tags.index("_atom_site_type_symbol") :: width]
        numbers = [_KNOWN[symbol] for symbol in symbols]
        flat = [*map(float, x), *map(float, y), *map(float, z)]
    except (KeyError, ValueError):
        return None
    if not numbers or len(numbers) > bounds.SITES:
        return None
    if "_atom_site_occupancy" in tags and not _ONE.issuperset(
        values[tags.index("_atom_site_occupancy") :: width]
    ):
        return None
    text = "".join(x + y + z)
    if "_" in text:
        return None
    coordinates = np.array(flat).reshape(3, -1).T.copy()
    check_coordinates(coordinates)
    if "333" in text or "666" in text or "e" in text or "E" in text:
        coordinates = idealised(coordinates)
    labels = (
        values[tags.index("_atom_site_label") :: width] if "_atom_site_label" in tags else symbols
    )
    return Sites(labels, numbers, coordinates)


_KNOWN = dict(NUMBERS)
_ONE = frozenset({"1", "1.0", "1.00", "1.000", "1.0000", "1.00000", "1.000000", "1.", "."})


# -- symmetry --------------------------------------------------------------------------------------


def _symmetry(block: Block, reading: Reading) -> Operations:
    for tag in _OPERATIONS:
        column = block.column(tag)
        if column:
            texts = _texts(block, tag, column)
            if texts:
                ops = group(texts)
                check_fit(ops, reading.lattice)
                return ops
    from models.structures.cif_symmetry import unlisted

    return unlisted(block, reading)


def _texts(block: Block, tag: str, column: list[str]) -> tuple[str, ...]:
    texts = [unquote(raw) for raw in column]
    texts = [text for text in texts if text not in ABSENT]
    if all(text.count(",") == 2 for text in texts):
        return tuple(texts)
    loop = block.loops.get(tag)
    return tuple(regrouped([unquote(raw) for raw in (loop.values if loop else column)]))


def regrouped(values: list[str]) -> list[str]:
    """`x,` `y,` `z` written without quotes: three pieces are one operation."""
    found: list[str] = []
    open_: list[str] = []
    for value in values:
        if not open_ and value.isdigit():
            continue
        open_.append(value)
        text = " ".join(open_)
        if text.count(",") >= 2 and not text.rstrip().endswith((",", "+", "-")):
            found.append(text)
            open_ = []
    return found + ([" ".join(open_)] if open_ else [])


def _warnings(
    block: Block, lattice: Floats, ops: Operations, numbers: NDArray[np.uint8], fractional: Floats
) -> list[str]:
    text = block.pairs.get("_chemical_formula_sum")
    units = block.pairs.get("_cell_formula_units_z")
    told = Said(*said(block), block.value("_cell_volume"))
    return [
        *(
            f"{tag} stands twice, the second time with other values; the first were used."
            for tag in _ONCE
            if tag in block.twice
        ),
        *(formula_warnings(text, units, numbers) if text else ()),
        *disagreements(told, ops, lattice, numbers, fractional),
    ]

"""Symmetry operations from a space group's symbol or number, when the file lists none."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import gemmi
import numpy as np

from models.errors import UnreadableStructure
from models.structures.cif_text import Block
from models.structures.symmetry import (
    IDENTITY,
    LOOSE,
    TIGHT,
    Floats,
    Operations,
    misfit,
    no_fit,
    operation,
)

_HALL = ("_symmetry_space_group_name_hall", "_space_group_name_hall")
_SYMBOL = (
    "_symmetry_space_group_name_h-m",
    "_symmetry_space_group_name_h_m",
    "_space_group_name_h-m_alt",
    "_space_group_name_h-m_full",
    "_space_group_name_h-m_ref",
    "_space_group_name_h-m",
    "_symmetry_space_group_name_h-m_",
    "_space_group_name_h-m_alt_",
    "_aflow_space_group_name",
)
_NUMBER = (
    "_symmetry_int_tables_number",
    "_space_group_it_number",
    "_symmetry_int_tables_number_",
    "_space_group_it_number_",
)
# `P 6(3) m c`, `P 6~3~ m c`, and `P 63 m c (#186)`.
_SCREW = re.compile(r"(?<=\d)(?:\(|~|<sub>)(\d)(?:\)|~|</sub>)")
_APPENDED = re.compile(r" ?\((?:#|No\. ?)?\d{2,3}\)$")


def named(block: Block) -> str | None:
    """The space group as the file calls it."""
    return block.value(*_SYMBOL) or block.value(*_HALL) or block.value(*_NUMBER)


def candidates(block: Block, lattice: Floats) -> list[tuple[str, Operations]]:
    """The settings that the file's symbol or number can mean, the likeliest first.

    Raises: UnreadableStructure when the group is named but unknown.
    """
    hall = block.value(*_HALL)
    if hall and (found := _from_hall(" ".join(hall.split()))):
        return [(f"the Hall symbol {hall}", found)]
    symbol, number = said(block)
    if not symbol and not number:
        return []
    groups = settings(symbol, number)
    if not groups:
        raise UnreadableStructure(
            f"The space group {symbol or number!r} is unknown and no symmetry operations are listed.",
            place="space group",
            expected="a Hermann-Mauguin symbol, a number of 1 to 230, or listed operations",
            got=symbol or number,
            hint="Export the file with its symmetry operations, or in P 1.",
        )
    fitting = [group for group in groups if _fits(group, lattice, TIGHT)] or [
        group for group in groups if _fits(group, lattice, LOOSE)
    ]
    if not fitting:
        raise no_fit(f"The space group {groups[0].hm} does", lattice)
    return [(group.xhm(), _operations(group.xhm())) for group in fitting]


def said(block: Block) -> tuple[str | None, str | None]:
    """The space group's symbol and its number, as far as the file tells them."""
    return block.value(*_SYMBOL), block.value(*_NUMBER)


@lru_cache(maxsize=1024)
def settings(symbol: str | None, number: str | None) -> tuple[gemmi.SpaceGroup, ...]:
    """All settings that the symbol can mean, or without one the number; nothing when it is unknown."""
    return tuple(_settings(symbol) if symbol else _numbered(number or ""))


def _settings(symbol: str) -> Iterator[gemmi.SpaceGroup]:
    words = " ".join(symbol.replace("_", " ").split())
    plain = _APPENDED.sub("", _SCREW.sub(r"\1", words))
    found = gemmi.find_spacegroup_by_name(symbol.strip()) or gemmi.find_spacegroup_by_name(plain)
    # Databases append the setting: S or 1, Z or 2, H or HR, R or RS.
    setting = re.search(r"[: ](1|2|[hrsz]{1,2})\s*$|(?<=[a-z0-9])([HRSZ])$", plain)
    if setting and found and setting[0][:1] == " " and setting[1] in ("1", "2"):
        setting = None  # the last axis of the symbol
    ext = (setting[1] or setting[2]).lower() if setting else ""
    stem = plain[: setting.start()].strip() if setting else plain
    found = found or gemmi.find_spacegroup_by_name(stem)
    if found is None:
        found = gemmi.find_spacegroup_by_name(stem.lower().capitalize())
    if found is None:
        return
    wanted = {"s": "1", "z": "2", "hr": "H", "rs": "R", "rr": "R"}.get(ext, ext.upper())
    same = [g for g in gemmi.spacegroup_table() if g.hm == found.hm and g.number == found.number]
    chosen = [g for g in same if wanted and g.ext == wanted]
    yield from chosen or same


def _numbered(number: str) -> Iterator[gemmi.SpaceGroup]:
    digits = re.match(r"\d{1,3}$", number.strip())
    if digits is None or not 1 <= int(digits[0]) <= 230:
        return
    first = gemmi.find_spacegroup_by_number(int(digits[0]))
    yield from (
        group
        for group in gemmi.spacegroup_table()
        if group.number == first.number and group.hm == first.hm
    )


def _fits(group: gemmi.SpaceGroup, lattice: Floats, most: float) -> bool:
    return misfit(plain_operations(group.xhm()), lattice) <= most


@lru_cache(maxsize=256)
def plain_operations(xhm: str) -> Operations:
    """The operations of a setting, in any order."""
    return _of(gemmi.find_spacegroup_by_name(xhm).operations())


@lru_cache(maxsize=256)
def _operations(xhm: str) -> Operations:
    group = gemmi.find_spacegroup_by_name(xhm)
    made = _of(group.operations())
    return _in_pymatgens_order(group, made)


def _of(group: gemmi.GroupOps) -> Operations:
    listed = list(group)
    rotations = np.array([op.rot for op in listed], float) / gemmi.Op.DEN
    translations = np.array([op.tran for op in listed], float) / gemmi.Op.DEN
    return IDENTITY if len(listed) == 1 else Operations(rotations, translations)


def _from_hall(symbol: str) -> Operations | None:
    try:
        return _of(gemmi.symops_from_hall(symbol))
    except (ValueError, RuntimeError):
        return None


def _in_pymatgens_order(group: gemmi.SpaceGroup, made: Operations) -> Operations:
    """The same operations as pymatgen sorts them, so that sites come in its order too."""
    from pymatgen.symmetry.groups import SpaceGroup

    symbol = group.hm.replace(" ", "")
    for entry in SpaceGroup.SYMM_OPS:
        names = (entry["hermann_mauguin"], entry["universal_h_m"], entry["hermann_mauguin_u"])
        if entry["number"] != group.number or symbol not in names:
            continue
        listed = [operation(text) for text in entry["symops"]]
        kept = {_Hashed(r.tobytes() + t.tobytes(), (r, t)) for r, t in listed}
        theirs = Operations(
            np.array([one.value[0] for one in kept]), np.array([one.value[1] for one in kept])
        )
        if _keys(theirs) == _keys(made):
            return theirs
    return made


@dataclass(frozen=True, slots=True)
class _Hashed:
    """Comes out of a set in the order of pymatgen's operations, whose hashes are all alike too."""

    key: bytes
    value: tuple[Floats, Floats] = field(compare=False)

    def __hash__(self) -> int:
        return 7


def _keys(ops: Operations) -> set[bytes]:
    steps = np.rint(ops.translations * 24).astype(np.int64) % 24
    rotations = np.rint(ops.rotations).astype(np.int64)
    return {r.tobytes() + t.tobytes() for r, t in zip(rotations, steps, strict=True)}

"""Energies by GFN1-xTB, with tblite."""

import numpy as np

from models.errors import InputError
from models.generators.sheets import Sheets, sheet
from models.structures.structure import Structure

BOHR = 0.529177210544  # Å
HARTREE = 27.211386245981  # eV
ATTEMPTS = 5  # at a sheet whose charges do not come to rest


class NotConverged(Exception):
    """The charges of a structure did not come to rest."""


def labelled(wanted: Sheets, at: int) -> tuple[Structure, dict[str, float]]:
    """The sheet of this number with its energies. Raises: InputError."""
    for attempt in range(ATTEMPTS):
        structure = sheet(wanted, at, attempt)
        try:
            total = energy(structure)
        except NotConverged:
            continue
        return structure, {"energy": total, "sheet_energy": total / len(structure.numbers)}
    raise InputError(f"The energy of sheet {at} could not be computed.", hint="Shake it less.")


def energy(structure: Structure) -> float:
    """The total energy in eV, at the Γ point, all three directions periodic.

    Raises: NotConverged.
    """
    from tblite.exceptions import TBLiteRuntimeError
    from tblite.interface import Calculator

    positions = structure.fractional @ structure.lattice
    calculator = Calculator(
        "GFN1-xTB",
        structure.numbers.astype(int),
        positions / BOHR,
        lattice=structure.lattice / BOHR,
        periodic=np.array([True] * 3),
    )
    calculator.set("verbosity", 0)
    try:
        return float(calculator.singlepoint().get("energy")) * HARTREE
    except TBLiteRuntimeError as error:
        raise NotConverged(str(error)) from error

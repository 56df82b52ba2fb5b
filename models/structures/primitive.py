"""The primitive cell, on request."""

import warnings

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SYMPREC = 0.01  # Å; positions this near are equivalent


def reduced(
    lattice: Floats, numbers: NDArray[np.uint8], fractional: Floats
) -> tuple[Floats, NDArray[np.uint8], Floats, str | None]:
    """The smallest cell with the same crystal, unrotated; and what was done, in words."""
    import spglib

    cell = (lattice.tolist(), fractional.tolist(), numbers.tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own future
        found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=SYMPREC)
    if found is None:
        return lattice, numbers, fractional, "No symmetry was found; the cell was kept as it is."
    matrix, positions, kinds = found
    if len(kinds) >= len(numbers):
        return lattice, numbers, fractional, None
    note = f"Reduced to the primitive cell: {len(kinds)} of {len(numbers)} sites."
    wrapped = positions - np.floor(positions)
    return np.array(matrix), np.asarray(kinds, np.uint8), np.array(wrapped), note

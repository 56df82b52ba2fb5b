"""A crystal structure: plain arrays, checked when they were read."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """An ordered periodic structure; rows of `lattice` are the cell vectors."""

    name: str
    lattice: NDArray[np.float64]  # (3, 3), Å
    numbers: NDArray[np.uint8]  # (N,)
    fractional: NDArray[np.float64]  # (N, 3)
    warnings: tuple[str, ...] = ()

    def digest(self) -> str:
        """The same for the same numbers, whatever file they came in."""
        state = hashlib.blake2b(digest_size=16)
        for array in (self.numbers, self.lattice, self.fractional):
            state.update(np.ascontiguousarray(array).tobytes())
        return state.hexdigest()

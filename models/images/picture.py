"""What an image is made from: atoms in a box. Stored, cached, sent between processes and batched."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.samples import HEADER

MAGIC = b"mpp1"
BODY = struct.Struct("<I3f")  # pixels, lengths
PERIODIC, THICK = 4, 8  # bits beside the dimensions, which are 2 or 3
PIXELS_AN_EDGE = 64  # in time


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Atoms in an orthogonal box of two or three dimensions."""

    numbers: NDArray[np.uint8]  # (N,)
    fractional: NDArray[np.float32]  # (N, dimensions)
    lengths: NDArray[np.float32]  # (dimensions,) Å
    pixels: int  # along each side
    periodic: bool
    cells: int = 1  # of the structure, that the box holds
    thick: bool = False  # there were heights that the image does not show

    @property
    def n_sites(self) -> int:
        """Atoms in the box."""
        return len(self.numbers)

    @property
    def dimensions(self) -> int:
        """Two or three."""
        return len(self.lengths)

    @property
    def cost(self) -> int:
        """Pixels are what takes time."""
        return int(max(1, self.pixels**self.dimensions // PIXELS_AN_EDGE))

    def pack(self) -> bytes:
        """One byte string; `unpack` reads it without copying."""
        flags = self.dimensions | PERIODIC * self.periodic | THICK * self.thick
        lengths = (*map(float, self.lengths), 0.0)[:3]
        return b"".join(
            [
                HEADER.pack(MAGIC, flags, self.cells, self.n_sites, self.cost),
                BODY.pack(self.pixels, *lengths),
                self.fractional.tobytes(),
                self.numbers.tobytes(),
            ]
        )


def unpack(packed: bytes) -> Picture:
    """The picture that `Picture.pack` wrote."""
    magic, flags, cells, sites, _ = HEADER.unpack_from(packed)
    if magic != MAGIC:
        raise ValueError(f"not a packed picture: starts with {magic!r}")
    dimensions = flags & 3
    pixels = BODY.unpack_from(packed, HEADER.size)[0]
    lengths = np.frombuffer(packed, np.float32, dimensions, HEADER.size + 4)
    at = HEADER.size + BODY.size
    fractional = np.frombuffer(packed, np.float32, sites * dimensions, at)
    numbers = np.frombuffer(packed, np.uint8, sites, at + fractional.nbytes)
    return Picture(
        numbers,
        fractional.reshape(sites, dimensions),
        lengths,
        pixels,
        bool(flags & PERIODIC),
        cells,
        bool(flags & THICK),
    )

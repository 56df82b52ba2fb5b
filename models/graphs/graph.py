"""A crystal graph as flat arrays: what is stored, cached, sent between processes and batched."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.samples import HEADER

MAGIC = b"mpg1"


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Edges are sorted by their centre site; a site's missing neighbours are simply not there."""

    numbers: NDArray[np.uint8]  # (N,)
    counts: NDArray[np.int32]  # (N,) edges of each site
    index: NDArray[np.int32]  # (E,) the neighbour's site
    distance: NDArray[np.float32]  # (E,) Å
    weight: NDArray[np.float32] | None = None  # (E,) 0…1; none: all 1
    ambiguous: bool = False  # another order of equally far neighbours would give another graph

    @property
    def n_sites(self) -> int:
        """Sites of the cell."""
        return len(self.numbers)

    @property
    def n_edges(self) -> int:
        """Edges of all sites."""
        return len(self.index)

    @property
    def cost(self) -> int:
        """Edges are what takes time."""
        return len(self.index)

    def pack(self) -> bytes:
        """One byte string; `unpack` reads it without copying."""
        parts = [
            HEADER.pack(MAGIC, self.weight is not None, self.ambiguous, self.n_sites, self.n_edges),
            self.counts.tobytes(),
            self.index.tobytes(),
            self.distance.tobytes(),
            b"" if self.weight is None else self.weight.tobytes(),
            self.numbers.tobytes(),
        ]
        return b"".join(parts)


def unpack(packed: bytes | memoryview) -> Graph:
    """The graph that `Graph.pack` wrote."""
    magic, weighted, ambiguous, sites, edges = HEADER.unpack_from(packed)
    if magic != MAGIC:
        raise ValueError(f"not a packed graph: starts with {magic!r}")
    at = HEADER.size
    counts = np.frombuffer(packed, np.int32, sites, at)
    index = np.frombuffer(packed, np.int32, edges, at := at + 4 * sites)
    distance = np.frombuffer(packed, np.float32, edges, at := at + 4 * edges)
    at += 4 * edges
    weight = np.frombuffer(packed, np.float32, edges, at) if weighted else None
    at += 4 * edges if weighted else 0
    numbers = np.frombuffer(packed, np.uint8, sites, at)
    return Graph(numbers, counts, index, distance, weight, bool(ambiguous))

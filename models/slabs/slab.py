"""A slab as the bond family reads it: a graph, the adsorbate's site, and candidates for its bonds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.graphs.graph import Graph
from models.graphs.graph import unpack as unpack_graph
from models.samples import HEADER

MAGIC = b"mps1"
BONDS = 4  # that are told of a slab; it has at least so many candidates


@dataclass(frozen=True, slots=True, eq=False)
class Slab:
    """A candidate is a site of the slab, or one of its images: a site may occur twice in a small cell."""

    graph: Graph
    angle: NDArray[np.float32]  # (E,) solid angle of the face, relative to the centre's largest
    anchor: int  # the adsorbate's site
    candidate: NDArray[np.int32]  # (C,) sites, the nearest first
    initial: NDArray[np.float32]  # (C,) Å, how far they are before relaxation

    @property
    def numbers(self) -> NDArray[np.uint8]:
        """Atomic numbers of all sites, in the order of the input."""
        return self.graph.numbers

    @property
    def n_sites(self) -> int:
        """Sites of the cell."""
        return self.graph.n_sites

    @property
    def cost(self) -> int:
        """Edges are what takes time."""
        return self.graph.cost

    def pack(self) -> bytes:
        """One byte string; `unpack` reads it without copying."""
        parts = [
            HEADER.pack(MAGIC, len(self.candidate), 0, self.n_sites, self.cost),
            np.int32(self.anchor).tobytes(),
            self.candidate.tobytes(),
            self.initial.tobytes(),
            self.angle.tobytes(),
            self.graph.pack(),
        ]
        return b"".join(parts)


def unpack(packed: bytes) -> Slab:
    """The slab that `Slab.pack` wrote."""
    magic, count, _, _, edges = HEADER.unpack_from(packed)
    if magic != MAGIC:
        raise ValueError(f"not a packed slab: starts with {magic!r}")
    at = HEADER.size
    anchor = int(np.frombuffer(packed, np.int32, 1, at)[0])
    candidate = np.frombuffer(packed, np.int32, count, at := at + 4)
    initial = np.frombuffer(packed, np.float32, count, at := at + 4 * count)
    angle = np.frombuffer(packed, np.float32, edges, at := at + 4 * count)
    graph = unpack_graph(memoryview(packed)[at + 4 * edges :])
    return Slab(graph, angle, anchor, candidate, initial)

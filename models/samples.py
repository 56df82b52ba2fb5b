"""A structure as a network reads it, packed: what is cached, stored and sent between processes. No torch here."""

import struct
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.families.kinds import AnyInput
    from models.structures.structure import Structure

# Every packed sample begins with 16 bytes: what it is, two bytes of its own, sites, cost.
HEADER = struct.Struct("<4sBBxxII")


class Sample(Protocol):
    """One structure as one of the networks reads it."""

    @property
    def numbers(self) -> NDArray[np.uint8]:
        """Atomic numbers of all sites, in the order of the input."""

    @property
    def n_sites(self) -> int:
        """Sites of the cell."""

    @property
    def cost(self) -> int:
        """What it takes to compute, in edges of a graph."""

    def pack(self) -> bytes:
        """One byte string, which `unpack` reads without copying."""


def cost_of(packed: bytes) -> int:
    """The cost of a packed sample."""
    return int(HEADER.unpack_from(packed)[4])


def unpack(packed: bytes) -> Sample:
    """The sample that was packed. Raises: ValueError."""
    magic = packed[:4]
    if magic == b"mpg1":
        from models.graphs.graph import unpack as graph

        return graph(packed)
    if magic == b"mpp1":
        from models.images.picture import unpack as picture

        return picture(packed)
    if magic == b"mps1":
        from models.slabs.slab import unpack as slab

        return slab(packed)
    raise ValueError(f"not a packed sample: starts with {magic!r}")


def featurise(structure: "Structure", settings: "AnyInput", adsorbate: str | None = None) -> Sample:
    """The structure as a model with these settings reads it.

    `adsorbate` names the adsorbed atom or molecule (slabs only): indices of sites, or an element's symbol.
    Raises: InputError.
    """
    if settings.kind == "graph":
        from models.graphs.featurise import featurise as graph

        return graph(structure, settings)
    if settings.kind == "image":
        from models.images.featurise import featurise as picture

        return picture(structure, settings)
    from models.slabs.featurise import featurise as slab

    return slab(structure, settings, adsorbate)


def notes(sample: Sample, settings: "AnyInput") -> tuple[str, ...]:
    """What the sender should know of an answer made from this sample."""
    from models.graphs.featurise import notes as of_graph
    from models.graphs.graph import Graph

    if settings.kind == "graph" and isinstance(sample, Graph):
        return of_graph(sample, settings)
    if settings.kind == "image":
        from models.images.featurise import notes as of_picture
        from models.images.picture import Picture

        return of_picture(sample) if isinstance(sample, Picture) else ()
    return ()

"""What owner and inference worker send each other in an entry of a lane: msgpack, never pickle."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

Fault = dict[str, Any]  # an error as `MatpropError.as_dict` gives it


@dataclass(frozen=True, slots=True)
class Work:
    """Packed graphs, and what is asked of them beside the values."""

    graphs: Sequence[bytes]
    features: bool = False
    sites: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One graph's answer, or why there is none."""

    values: tuple[float, ...] = ()
    features: list[float] | None = None
    contributions: list[list[float]] | None = None
    error: Fault | None = None


def pack_work(work: Work) -> bytes:
    """An entry's content."""
    packed: bytes = msgpack.packb([work.features, work.sites, list(work.graphs)])
    return packed


def unpack_work(content: bytes) -> Work:
    """The work that was packed."""
    features, sites, graphs = msgpack.unpackb(content)
    return Work(graphs, features, sites)


def pack_found(found: Sequence[Found]) -> bytes:
    """A reply's content, one row a graph."""
    rows = [[one.values, one.features, one.contributions, one.error] for one in found]
    packed: bytes = msgpack.packb(rows)
    return packed


def unpack_found(content: bytes) -> list[Found]:
    """The rows that were packed."""
    return [Found(tuple(row[0]), *row[1:]) for row in msgpack.unpackb(content)]

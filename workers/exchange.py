"""What owner and inference worker send each other in an entry of a lane: msgpack, never pickle."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from models.errors import ModelError
from models.trust.trust import Near
from workers.said import Said, pack_said, unpack_said

Fault = dict[str, Any]  # an error as `MatpropError.as_dict` gives it

FEATURES, NEIGHBOURS = 1, 2
NOTHING = Said()


@dataclass(frozen=True, slots=True)
class Work:
    """Packed graphs, and what is asked of them beside the values."""

    graphs: Sequence[bytes]
    features: bool = False
    sites: bool = False
    neighbours: bool = False
    trace: str | None = None  # the owner's span, while spans are sent
    former: bool = False  # asked by an owner of the version before, who reads values only


@dataclass(frozen=True, slots=True)
class Found:
    """One graph's answer, or why there is none."""

    said: Said = NOTHING
    features: list[float] | None = None
    contributions: list[list[float]] | None = None
    error: Fault | None = None
    nearest: Sequence[Near] | None = None
    packed: bytes | None = (
        None  # `said` as it can be kept; none from a worker of the version before
    )


def pack_work(work: Work) -> bytes:
    """An entry's content. A number stands where the version before had a truth, which it reads as one."""
    asks = FEATURES * work.features + NEIGHBOURS * work.neighbours
    trace = [work.trace] if work.trace else []  # workers of the version before know no fourth part
    packed: bytes = msgpack.packb([asks, work.sites, list(work.graphs), *trace])
    return packed


def unpack_work(content: bytes) -> Work:
    """The work that was packed."""
    asks, sites, graphs, *trace = msgpack.unpackb(content)
    former = isinstance(asks, bool)
    return Work(
        graphs,
        bool(asks & FEATURES),
        sites,
        bool(asks & NEIGHBOURS),
        trace[0] if trace else None,
        former,
    )


def pack_found(found: Sequence[Found], *, former: bool = False) -> bytes:
    """A reply's content, one row a graph."""
    packed: bytes = msgpack.packb([_former_row(one) if former else _row(one) for one in found])
    return packed


def unpack_found(content: bytes) -> list[Found]:
    """The rows that were packed."""
    return [_found(*row) for row in msgpack.unpackb(content)]


def _row(one: Found) -> list[Any]:
    near = one.nearest
    told = None if near is None else [[n.name, n.formula, n.distance, n.labels] for n in near]
    said = pack_said(one.said) if one.error is None else b""
    return [said, one.features, one.contributions, one.error, told]


def _former_row(one: Found) -> list[Any]:
    return [one.said.values, one.features, one.contributions, one.error]


def _found(
    told: bytes | list[float],
    features: list[float] | None,
    contributions: list[list[float]] | None,
    error: Fault | None,
    nearest: list[list[Any]] | None = None,
) -> Found:
    if error is not None:
        return Found(error=error)
    near = None
    if nearest is not None:
        near = [Near(name, formula, far, tuple(labels)) for name, formula, far, labels in nearest]
    if isinstance(told, bytes) and (said := unpack_said(told)) is not None:
        return Found(said, features, contributions, None, near, told)
    if isinstance(told, bytes):
        return Found(error=ModelError("This was computed by another version of matprop.").as_dict())
    return Found(Said(tuple(told)), features, contributions, None, near)

from typing import Any

from numpy.typing import NDArray

Buffer = NDArray[Any]

def convolved(
    shape: tuple[int, int, int, int, float, float, float],
    weights: tuple[Buffer, ...],
    numbers: Buffer,
    first_site: Buffer,
    first_edge: Buffer,
    neighbour: Buffer,
    distance: Buffer,
    weight: Buffer | None,
    out: Buffer,
    /,
) -> None:
    """All convolutions of all members: fills the sites' vectors, the last or those of all layers.

    Shape: members, convolutions, padded width, width of residual ones (0: gated), table rows an Å (0: bins),
    start and width of the bins. Weights: start, first, table, weights, bias; then of gated ones after, of residual
    ones norms, up, up_bias, down, down_bias; see `compiled.py`.
    """

def dense(
    shape: tuple[int, int, int], given: Buffer, weights: Buffer, bias: Buffer, out: Buffer, /
) -> None:
    """A layer of each member and its softplus.  Shape: members, floats a row given, of which so many count."""

def told(
    shape: tuple[int, int, int, int], given: Buffer, weights: Buffer, bias: Buffer, out: Buffer, /
) -> None:
    """A layer of each member in double precision.  Shape: as of `dense`, and the outputs."""

def mean(shape: tuple[int, int, int], given: Buffer, first_site: Buffer, out: Buffer, /) -> None:
    """The mean over the sites of each crystal, in double precision.  Shape: as of `dense`."""

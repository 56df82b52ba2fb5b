from typing import Any

from numpy.typing import NDArray

Buffer = NDArray[Any]
Given = tuple[Buffer | None, ...]

def forward(
    given: Given,
    training: bool,
    eps: float,
    momentum: float,
    figures: Buffer | None,
    new: Buffer | None,
    terms: Buffer | None,
    sums: Buffer | None,
    site_z: Buffer | None,
    table_z: Buffer | None,
    /,
) -> None:
    """A convolution's new vectors, and what its gradient needs; moves the running figures in training."""

def backward(given: Given, /, *arrays: Buffer | None) -> None:
    """The gradients of everything that a convolution was made of.

    Arrays: figures, terms, sums, site_z, table_z, gradient; filled: vectors, table, gate, sum, site, neighbour.
    """

def summed(given: Given, /, *arrays: Buffer | None) -> None:
    """What the edges of a residual convolution tell each site; `given` ends with the sites.  Filled: terms, sums."""

def back_from_sum(given: Given, /, *arrays: Buffer | None) -> None:
    """The gradients of what that was made of.

    Arrays: terms, gradient; filled: vectors, table, site, neighbour, bias.
    """

def merge(*arrays: Buffer | None) -> int:
    """Edges of a site to one neighbour over one distance as one; how many are left.

    Arrays: first_edge, neighbour, distance, weight; filled: first_edge, neighbour, distance, times, weight, row.
    """

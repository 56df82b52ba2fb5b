from collections.abc import Buffer

Given = tuple[Buffer | None, ...]

def forward(
    given: Given,
    training: bool,
    eps: float,
    momentum: float,
    figures: Buffer,
    new: Buffer,
    sums: Buffer,
    site_z: Buffer | None,
    table_z: Buffer | None,
    /,
) -> None:
    """A convolution's new vectors, and what its gradient needs; moves the running figures in training."""

def backward(
    given: Given,
    figures: Buffer,
    sums: Buffer,
    site_z: Buffer,
    table_z: Buffer,
    gradient: Buffer,
    vectors: Buffer,
    terms: Buffer,
    table: Buffer,
    gate: Buffer,
    sum: Buffer,
    /,
) -> None:
    """The gradients of everything that a convolution was made of."""

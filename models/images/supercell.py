"""Orthogonal cells of the same crystal."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SQUARE = 1e-4  # largest cosine of a right angle: 0.001 Å over 10 Å
REACH = 2  # of a new vector, in old ones
CELLS = 8  # at most, in one orthogonal one


def orthogonal(vectors: Floats) -> Integers | None:
    """Rows that make new, orthogonal cell vectors out of these: of the smallest cell there is.

    # (dimensions, dimensions) of whole numbers
    """
    size = len(vectors)
    if _square(vectors):
        return np.eye(size, dtype=np.int64)
    steps = np.array([each for each in product(range(-REACH, REACH + 1), repeat=size) if any(each)])
    steps = steps[[tuple(each) > (0,) * size for each in steps.tolist()]]  # not both v and -v
    length = np.linalg.norm(steps @ vectors, axis=1)
    steps = steps[np.argsort(length, kind="stable")]
    unit = steps @ vectors
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    right = np.abs(unit @ unit.T) < SQUARE
    chosen = np.argwhere(np.triu(right))
    if size == 3:
        third = right[chosen[:, 0]] & right[chosen[:, 1]]
        place, last = np.nonzero(third)
        chosen = np.column_stack([chosen[place], last])
        chosen = chosen[chosen[:, 2] > chosen[:, 1]]
    if not len(chosen):
        return None
    volume = np.abs(np.rint(np.linalg.det(steps[chosen].astype(float))))
    best = int(np.argmin(volume))
    return _in_order(steps[chosen[best]]) if volume[best] <= CELLS else None


def repeated(fractional: Floats, cell: Integers) -> Floats:
    """The sites in the new cell: all of one old cell, then all of the next.  # (cells × N, dimensions)"""
    back = np.linalg.inv(cell)
    reach = range(-int(np.abs(cell).sum()), int(np.abs(cell).sum()) + 1)
    steps = np.array(list(product(reach, repeat=len(cell)))) @ back
    inside = ((steps > -1e-9) & (steps < 1 - 1e-9)).all(1)
    whole: Floats = (steps[inside][:, None] + fractional @ back) % 1.0
    return whole.reshape(-1, len(cell))


def _square(vectors: Floats) -> bool:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return bool((np.abs(unit @ unit.T - np.eye(len(unit))) < SQUARE).all())


def _in_order(cell: Integers) -> Integers:
    """Along the old vectors as far as may be, and right-handed: a turned cell, no mirrored one."""
    order = np.argsort([-abs(row).astype(float) @ (9.0 ** -np.arange(len(row))) for row in cell])
    cell = cell[order].copy()
    if np.linalg.det(cell.astype(float)) < 0:
        cell[-1] *= -1
    return cell

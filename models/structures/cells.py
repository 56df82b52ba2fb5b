"""Small algebra of cells: written out, since for 3 × 3 a library call costs more than the sums."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = list[list[float]]

AXES = ((0, 1, 2), (1, 2, 0), (2, 0, 1))


def inverse(m: Rows) -> tuple[Rows, float]:
    """The inverse by cofactors, and the volume."""
    determinant = (
        m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1])
        + m[0][1] * (m[1][2] * m[2][0] - m[1][0] * m[2][2])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
    )
    share = 1.0 / determinant  # to the bit as pymatgen has it
    rows = [
        [(m[j][i] * m[jj][ii] - m[jj][i] * m[j][ii]) * share for _, j, jj in AXES]
        for _, i, ii in AXES
    ]
    return rows, abs(determinant)


def product(columns: Floats, rows: Rows) -> Floats:
    """Row vectors, given as (3, …), times a matrix: plain sums in a fixed order, unlike a BLAS."""
    x, y, z = columns
    return np.stack([(x * a + y * b) + z * c for a, b, c in zip(*rows, strict=True)])


def reach_of(back: Rows) -> list[float]:
    """How many cells one Å reaches across, along each axis; `back` is the inverse of the cell."""
    return [math.hypot(*(row[axis] for row in back)) for axis in range(3)]


def reduction(rows: Rows) -> NDArray[np.int64]:
    """Integers that combine the cell vectors to short ones.  # (3, 3)"""
    whole = np.eye(3, dtype=np.int64)
    short = np.array(rows)
    for _ in range(200):
        order = np.argsort((short**2).sum(1), kind="stable")
        short, whole = short[order], whole[order]
        pair = short[:2]
        steps = np.rint(np.linalg.lstsq(pair.T, short[2], rcond=None)[0])
        if not steps.any():  # the longest cannot be made shorter: now the second
            steps = np.array([np.rint(short[0] @ short[1] / (short[0] @ short[0])), 0.0])
            if not steps[0]:
                return whole
            short[1] -= steps[0] * short[0]
            whole[1] -= int(steps[0]) * whole[0]
            continue
        short[2] -= steps @ pair
        whole[2] -= steps.astype(np.int64) @ whole[:2]
    return whole

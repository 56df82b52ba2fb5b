"""Crystals that the tests of the numbers share."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from models.structures.structure import Structure

# As every process of the service does: with more threads than free cores, small products wait for each other.
torch.set_num_threads(1)

Make = Callable[..., Structure]


def crystal(lattice: object, numbers: list[int], fractional: list[list[float]]) -> Structure:
    """A structure from plain lists; three lengths stand for an orthogonal cell."""
    cell = np.asarray(lattice, float)
    return Structure(
        "crystal",
        np.diag(cell) if cell.ndim == 1 else cell,
        np.array(numbers, np.uint8),
        np.array(fractional, float),
    )


@pytest.fixture
def make() -> Make:
    """Builds a structure."""
    return crystal


@pytest.fixture
def perovskite() -> Structure:
    """SrTiO3: its cut at twelve neighbours falls into ties."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return crystal([3.905] * 3, [38, 22, 8, 8, 8], sites)


@pytest.fixture
def crystals(perovskite: Structure) -> list[Structure]:
    """Of several kinds: cubic, hexagonal, monoclinic without symmetry, one site, layers."""
    chance = np.random.default_rng(5)
    face_centred = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 1.8075
    skewed = np.array([[5.1, 0, 0], [0.3, 6.2, 0], [-1.9, 0.4, 7.3]])
    graphite = [[2.46, 0, 0], [-1.23, 1.23 * 3**0.5, 0], [0, 0, 6.71]]
    layers = [[0, 0, 0.25], [0, 0, 0.75], [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
    spread = (np.arange(8)[:, None] * [0.5, 0.25, 0.125] + chance.uniform(0, 0.03, (8, 3))) % 1
    return [
        perovskite,
        crystal(face_centred, [29], [[0, 0, 0]]),
        crystal([4.12] * 3, [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        crystal(graphite, [6] * 4, layers),
        crystal(skewed, [22, 8, 8, 14, 8, 26, 8, 12], spread.tolist()),
    ]


@pytest.fixture
def supercell() -> Callable[[Structure, tuple[int, int, int]], Structure]:
    """The same crystal in a larger cell."""

    def repeat(structure: Structure, times: tuple[int, int, int]) -> Structure:
        shifts = np.array(list(np.ndindex(times)), float)
        sites = (structure.fractional[None] + shifts[:, None]).reshape(-1, 3) / times
        return Structure(
            structure.name,
            structure.lattice * np.array(times)[:, None],
            np.tile(structure.numbers, len(shifts)),
            sites,
        )

    return repeat

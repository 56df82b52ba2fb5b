"""Sheets and molecules, and pictures of them."""

from collections.abc import Callable

import numpy as np
import pytest

from models.images.featurise import featurise
from models.images.picture import Picture
from models.settings.image import ImageSettings
from models.structures.structure import Structure

Drawn = Callable[..., Picture]


@pytest.fixture
def sheet() -> Structure:
    """Eight atoms of a shaken sheet, 6 × 5 Å, under 12 Å of vacuum."""
    chance = np.random.default_rng(2)
    fractional = np.full((8, 3), 0.25)
    grid = np.array([(x, y) for x in range(4) for y in range(2)]) / [4, 2]
    fractional[:, :2] = (grid + chance.uniform(0, 0.05, (8, 2))) % 1
    numbers = np.array([5, 7, 6, 6, 7, 5, 6, 6], np.uint8)
    return Structure("sheet", np.diag([6.0, 5.0, 12.0]), numbers, fractional)


@pytest.fixture
def molecule() -> Structure:
    """Five atoms in a plane, around the middle of a box of 10 Å."""
    places = np.array([[4.1, 4.3, 5], [5.2, 4.4, 5], [5.6, 5.5, 5], [4.6, 6.2, 5], [3.6, 5.4, 5]])
    return Structure("molecule", np.eye(3) * 10, np.array([6, 1, 8, 7, 1], np.uint8), places / 10)


@pytest.fixture
def drawn() -> Drawn:
    """A picture, with these settings."""

    def make(structure: Structure, **settings: object) -> Picture:
        return featurise(structure, ImageSettings(**settings))  # type: ignore[arg-type]

    return make

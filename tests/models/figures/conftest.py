"""A card and figures of every kind, made up."""

from typing import Any

import pytest

from models.figures.told import Figures
from tests.models.figures.made_up import HOSTILE, bonds, card_of, classes, full


@pytest.fixture
def a_card() -> Any:
    """Makes a card."""
    return card_of


@pytest.fixture(params=[full, bonds, classes], ids=["full", "bonds", "classes"])
def figures(request: Any) -> Figures:
    """Figures of each kind."""
    made: Figures = request.param()
    return made


@pytest.fixture
def full_figures() -> Figures:
    """All that a regression can have."""
    return full()


@pytest.fixture
def hostile() -> str:
    """What a stranger might write into a card."""
    return HOSTILE

"""Who is the adsorbate, and what a slab that leaves it open is told."""

import numpy as np
import pytest

from models.errors import UnfitStructure
from models.samples import featurise
from models.settings.slab import SlabSettings
from models.structures.structure import Structure

LAYERS = [[x, y, z] for z in (0, 2) for y in (0, 2.8) for x in (0, 2.8)]


def slab(numbers: list[int], sites: list[list[float]], height: float = 20.0) -> Structure:
    cell = np.diag([5.6, 5.6, height])
    positions = np.array(LAYERS + sites, float)
    every = np.array([46] * len(LAYERS) + numbers, np.uint8)
    return Structure("slab", cell, every, positions @ np.linalg.inv(cell))


CO = slab([6, 8], [[0.1, 0, 3.9], [0.1, 0, 5.05]])


@pytest.mark.parametrize(("named", "anchor"), [(None, 8), ("8", 8), ("C", 8), ("9 8", 8), ("9", 9)])
def test_the_adsorbate_is_found_or_named(named: str | None, anchor: int) -> None:
    sample = featurise(CO, SlabSettings(), named)

    assert sample.anchor == anchor
    assert not {8, 9} & set(
        sample.candidate.tolist()
    )  # bonds lead to the slab, not into the molecule


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_vacuum_may_lie_along_any_axis(axis: int) -> None:
    order = np.roll([0, 1, 2], axis)
    turned = Structure("slab", CO.lattice[order], CO.numbers, CO.fractional[:, order])

    assert featurise(turned, SlabSettings()).anchor == 8


def test_a_small_cell_offers_images_of_its_sites() -> None:
    lattice = np.diag([2.8, 2.8, 20.0])
    sites = np.array([[0, 0, 0], [0, 0, 2.0], [1.4, 1.4, 3.5]]) @ np.linalg.inv(lattice)

    sample = featurise(
        Structure("s", lattice, np.array([46, 46, 8], np.uint8), sites), SlabSettings()
    )

    assert sample.candidate[:4].tolist() == [1, 1, 1, 1]
    assert np.ptp(sample.initial[:4]) < 1e-5


@pytest.mark.parametrize(
    ("structure", "named", "message"),
    [
        (slab([], []), None, "no molecule"),
        (slab([8, 8], [[0, 0, 3.8], [2.8, 2.8, 3.8]]), None, "2 molecules"),
        (slab([8, 8], [[0, 0, 3.8], [2.8, 2.8, 3.8]]), "O", "Which O"),
        (CO, "40", "no site 40"),
        (CO, "Xx", "no element"),
        (CO, "N", "no element"),
        (slab([8], [[0, 0, 12.5]], 40), "8", "too far"),
    ],
)
def test_an_unclear_adsorbate_is_told(
    structure: Structure, named: str | None, message: str
) -> None:
    with pytest.raises(UnfitStructure, match=message) as caught:
        featurise(structure, SlabSettings(), named)

    assert caught.value.as_dict()["place"] == "adsorbate"
    assert caught.value.as_dict()["hint"]


def test_a_crystal_is_no_slab() -> None:
    crystal = Structure(
        "c", np.eye(3) * 3.9, np.array([46, 8], np.uint8), np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    )

    with pytest.raises(UnfitStructure, match="vacuum along no axis"):
        featurise(crystal, SlabSettings())

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from models.errors import UnfitStructure, UnsupportedElement
from models.images.featurise import notes
from models.images.picture import Picture
from models.images.supercell import orthogonal
from models.samples import cost_of, unpack
from models.settings.image import ImageSettings
from models.structures.structure import Structure

Drawn = Callable[..., Picture]

GRAPHENE = np.array([[2.46, 0, 0], [-1.23, 2.46 * np.sqrt(3) / 2, 0], [0, 0, 12.0]])
HONEYCOMB = np.array([[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])


def graphene(lattice: np.ndarray = GRAPHENE) -> Structure:
    return Structure("graphene", lattice, np.array([6, 6], np.uint8), HONEYCOMB)


def distances(picture: Picture) -> np.ndarray:
    away = picture.fractional[:, None] - picture.fractional[None]
    away = (away - np.rint(away)) * picture.lengths
    return np.sort(np.linalg.norm(away, axis=2), axis=1)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_unpacking_gives_what_was_packed(sheet: Structure, drawn: Drawn, dimensions: int) -> None:
    picture = drawn(sheet, box="cell", dimensions=dimensions, pixels=32)
    packed = picture.pack()
    again = unpack(packed)

    assert isinstance(again, Picture)
    assert again.pack() == packed
    assert np.array_equal(again.fractional, picture.fractional)
    assert np.array_equal(again.lengths, picture.lengths)
    assert (again.pixels, again.periodic, again.dimensions) == (32, True, dimensions)
    assert cost_of(packed) == picture.cost == 32**dimensions // 64


def test_a_centred_molecule_may_lie_anywhere_and_across_the_edge(
    molecule: Structure, drawn: Drawn
) -> None:
    shifts = np.random.default_rng(0).uniform(-3, 3, (20, 3))
    expected = drawn(molecule).fractional
    for shift in shifts:
        moved = replace(molecule, fractional=(molecule.fractional + shift) % 1)
        assert np.allclose(drawn(moved).fractional, expected, atol=1e-6)


def test_a_hexagonal_cell_is_drawn_as_its_rectangle_of_two(drawn: Drawn) -> None:
    picture = drawn(graphene(), box="cell")

    assert np.allclose(sorted(picture.lengths), [2.46, 2.46 * np.sqrt(3)])
    assert picture.cells == 2
    # Each atom has its three neighbours; two of them are one atom and its copy in so small a box.
    assert np.allclose(distances(picture)[:, 1], 2.46 / np.sqrt(3), atol=1e-5)
    assert "2 such cells" in notes(picture)[0]


@pytest.mark.parametrize("turn", [1, 2])
def test_the_sheet_is_found_along_whichever_axis_the_vacuum_lies(turn: int, drawn: Drawn) -> None:
    order = np.roll([0, 1, 2], turn)
    other = Structure("turned", GRAPHENE[order], np.array([6, 6], np.uint8), HONEYCOMB[:, order])

    assert drawn(other, box="cell").cells == 2
    assert np.allclose(
        distances(drawn(other, box="cell")), distances(drawn(graphene(), box="cell"))
    )


def test_a_tilted_vacuum_axis_changes_nothing_of_a_flat_sheet(drawn: Drawn) -> None:
    tilted = GRAPHENE + np.array([[0, 0, 0], [0, 0, 0], [0.7, 0.4, 0]])
    found = drawn(graphene(tilted), box="cell")

    assert np.allclose(distances(found), distances(drawn(graphene(), box="cell")), atol=1e-5)


def test_a_primitive_cell_of_silicon_is_drawn_as_its_cube(drawn: Drawn) -> None:
    lattice = 5.43 / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]], float)
    sites = np.array([[0, 0, 0], [0.25, 0.25, 0.25]])
    picture = drawn(
        Structure("Si", lattice, np.array([14, 14], np.uint8), sites), box="cell", dimensions=3
    )

    assert picture.cells == 2  # half the cube: a/√2 × a/√2 × a
    assert np.allclose(np.prod(picture.lengths), 5.43**3 / 2)
    assert np.allclose(distances(picture)[:, 1], 5.43 * np.sqrt(3) / 4, atol=1e-5)


def test_orthogonal_cells_stay_as_they_are() -> None:
    assert np.array_equal(orthogonal(np.diag([3.0, 4.0, 5.0])), np.eye(3))
    assert np.array_equal(orthogonal(np.array([[0.0, 2.0], [3.0, 0.0]])), np.eye(2))


def test_a_cell_that_no_right_angles_fit_is_refused_with_its_angle(drawn: Drawn) -> None:
    skewed = GRAPHENE.copy()
    skewed[1] = [0.71, 2.2, 0]
    with pytest.raises(UnfitStructure, match="skewed") as caught:
        drawn(graphene(skewed), box="cell")
    assert caught.value.got == "72.11°"


def test_crystals_are_neither_sheets_nor_molecules(
    perovskite_like: Structure, drawn: Drawn
) -> None:
    with pytest.raises(UnfitStructure, match="no sheet"):
        drawn(perovskite_like, box="cell")
    with pytest.raises(UnfitStructure, match="no molecule"):
        drawn(perovskite_like)


@pytest.fixture
def perovskite_like() -> Structure:
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    return Structure("CsCl", np.eye(3) * 4.1, np.array([55, 17], np.uint8), sites)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"side": 2.0}, "larger than the box"), ({"side": 5.0, "centred": False}, "within the box")],
)
def test_what_does_not_fit_the_box_is_told(
    molecule: Structure, drawn: Drawn, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(UnfitStructure, match=message) as caught:
        drawn(molecule, **settings)
    assert caught.value.place is not None
    assert caught.value.hint


def test_elements_without_an_image_of_their_own_are_refused(
    molecule: Structure, drawn: Drawn
) -> None:
    with pytest.raises(UnsupportedElement) as caught:
        drawn(molecule, species=["H", "C", "N"])
    assert caught.value.place == "site 2 (O)"


def test_heights_that_are_not_drawn_are_told(sheet: Structure, drawn: Drawn) -> None:
    rough = sheet.fractional.copy()
    rough[0, 2] += 0.05

    assert notes(drawn(sheet, box="cell")) == ()
    assert "heights" in notes(drawn(replace(sheet, fractional=rough), box="cell"))[0]
    assert notes(drawn(replace(sheet, fractional=rough), box="cell", dimensions=3)) == ()


def test_the_sample_does_not_depend_on_how_it_is_drawn() -> None:
    assert ImageSettings(gamma=0.3).key() == ImageSettings(representation="agr").key()
    assert ImageSettings(pixels=32).key() != ImageSettings().key()


@pytest.mark.parametrize(
    "settings",
    [
        {"species": ["C", "Xx"]},
        {"species": ["C", "C"]},
        {"dimensions": 3, "pixels": 256},
        {"dimensions": 3, "representation": "angular"},
        {"representation": "agr", "bias": -0.1},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Value error"):
        ImageSettings(**settings)  # type: ignore[arg-type]

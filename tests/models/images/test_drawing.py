from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from models.families.family import family
from models.images.collate import collate
from models.images.forest import forest
from models.images.picture import Picture
from models.networks.drawing import Drawing
from models.settings.image import ImageSettings
from models.structures.structure import Structure
from models.training.dataset import Dataset, Labels

Drawn = Callable[..., Picture]
REPRESENTATIONS = ["gaussian", "onehot", "agr", "displaced", "angular"]


def image(picture: Picture, **settings: object) -> torch.Tensor:
    torch.manual_seed(0)
    drawing = Drawing(ImageSettings(**settings)).eval()  # type: ignore[arg-type]
    with torch.inference_mode():
        return drawing(collate([picture]))[0]


def defined(picture: Picture, gamma: float, copies: int) -> np.ndarray:
    """The sum of the paper's Eq. 1, atom by atom in double precision."""
    lengths, size = picture.lengths.astype(float), picture.dimensions
    middles = [(np.arange(picture.pixels) + 0.5) / picture.pixels * each for each in lengths]
    mesh = np.stack(np.meshgrid(*middles, indexing="ij"), -1)
    total = np.zeros(mesh.shape[:-1])
    for number, place in zip(picture.numbers, picture.fractional.astype(float), strict=True):
        for shift in product(range(-copies, copies + 1), repeat=size):
            squares = ((mesh - (place + shift) * lengths) ** 2).sum(-1)
            total += number * np.exp(-squares / (2 * gamma**2))
    return total


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("gamma", [0.2, 2.0])
def test_the_image_of_a_sheet_is_the_sum_over_all_its_copies(
    sheet: Structure, drawn: Drawn, gamma: float, dimensions: int
) -> None:
    settings = {"box": "cell", "dimensions": dimensions, "pixels": 16, "gamma": gamma}
    picture = drawn(sheet, **settings)
    expected = defined(picture, gamma, 3)

    found = image(picture, **settings)[0].numpy()

    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_image_of_a_molecule_is_the_sum_over_its_atoms(
    molecule: Structure, drawn: Drawn, dimensions: int
) -> None:
    settings = {"dimensions": dimensions, "pixels": 20, "centred": False, "gamma": 0.2}
    picture = drawn(molecule, **settings)

    found = image(picture, **settings)[0].numpy()

    assert np.allclose(found, defined(picture, 0.2, 0), rtol=1e-4, atol=1e-6)


def test_one_hot_images_hold_each_element_in_its_pixel(molecule: Structure, drawn: Drawn) -> None:
    settings = {
        "representation": "onehot",
        "species": ["C", "H", "N", "O"],
        "centred": False,
        "pixels": 20,
    }
    found = image(drawn(molecule, **settings), **settings)

    assert found.sum((1, 2)).tolist() == [1, 2, 1, 1]
    assert found[0, 8, 8] == found[3, 11, 11] == found[1, 10, 8] == 1  # (4.1, 4.3), (5.6, 5.5), …


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_a_molecule_moved_by_whole_pixels_is_the_same_image_moved(
    molecule: Structure, drawn: Drawn, representation: str
) -> None:
    settings = {"representation": representation, "centred": False, "pixels": 40}
    moved = replace(molecule, fractional=molecule.fractional + np.array([0.05, -0.1, 0]))
    here, there = (image(drawn(each, **settings), **settings) for each in (molecule, moved))

    inner = slice(6, 34)  # what is far from the edges, at which other rows come in
    assert torch.allclose(
        there.roll((-2, 4), (1, 2))[:, inner, inner], here[:, inner, inner], atol=2e-4
    )


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_a_sheet_moved_by_whole_pixels_is_the_same_image_rolled(
    sheet: Structure, drawn: Drawn, representation: str
) -> None:
    settings = {"representation": representation, "box": "cell", "pixels": 16}
    moved = replace(sheet, fractional=(sheet.fractional + np.array([3 / 16, 14 / 16, 0])) % 1)
    here, there = (image(drawn(each, **settings), **settings) for each in (sheet, moved))

    assert torch.allclose(there, here.roll((3, -2), (1, 2)), atol=1e-3)


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_a_quarter_turn_of_the_molecule_turns_its_image(
    molecule: Structure, drawn: Drawn, representation: str
) -> None:
    settings = {"representation": representation, "centred": False, "pixels": 32}
    turned = molecule.fractional[:, [1, 0, 2]] * [-1, 1, 1] + [1, 0, 0]
    here = image(drawn(molecule, **settings), **settings)
    there = image(drawn(replace(molecule, fractional=turned), **settings), **settings)

    assert torch.allclose(there, here.rot90(1, (1, 2)), atol=1e-3)


def test_harmonics_tell_a_bent_pair_of_neighbours_from_a_straight_one(drawn: Drawn) -> None:
    settings = {"representation": "angular", "centred": False, "pixels": 50}
    straight, bent = ([[-1.4, 0], [1.4, 0]], [[-1.4, 0], [0, 1.4]])
    powers = []
    for around in (straight, bent):
        places = np.full((2, 3), 5.1)
        places[:, :2] += around
        pair = Structure("pair", np.eye(3) * 10, np.array([6, 6], np.uint8), places / 10)
        powers.append(image(drawn(pair, **settings), **settings)[1:, 25, 25])

    assert torch.allclose(powers[0][0], powers[1][0], rtol=1e-3)  # order 0 sees distances only
    assert powers[0][1] < 1e-3 * powers[1][1]  # order 1 of a straight pair is nothing


def test_learned_images_of_shells_are_those_of_their_definition(
    molecule: Structure, drawn: Drawn
) -> None:
    settings = {"representation": "displaced", "centred": False, "pixels": 20}
    drawing = Drawing(ImageSettings(**settings))  # type: ignore[arg-type]
    shares = torch.tensor([0.5, -1.0, 0, 0.3, 0, 0, 2.0])
    drawing.shares.data[:] = shares  # type: ignore[union-attr]
    picture = drawn(molecule, **settings)
    pixels = np.floor(picture.fractional * 20)
    mesh = np.stack(np.meshgrid(np.arange(20), np.arange(20), indexing="ij"), -1)
    expected = np.zeros((20, 20))
    for number, place in zip(picture.numbers, pixels, strict=True):
        radius = np.linalg.norm(mesh - place, axis=2)
        for ring, share in enumerate(shares.tolist()):
            expected += number * share * np.exp(-0.5 * (radius - 2 * ring) ** 2)
    drawing.norm = None

    found = drawing(collate([picture]))[0, 0].detach().numpy()

    assert np.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("representation", ["agr", "displaced"])
def test_gradients_reach_every_learned_share_and_the_penalty_adds_its_sign(
    molecule: Structure, drawn: Drawn, representation: str
) -> None:
    gradients = []
    for lasso in (0.0, 0.1):
        torch.manual_seed(1)
        drawing = Drawing(ImageSettings(representation=representation, lasso=lasso))  # type: ignore[arg-type]
        (drawing(collate([drawn(molecule)])) ** 3).sum().backward()
        assert drawing.shares is not None
        gradients.append(drawing.shares.grad)

    assert (gradients[0] != 0).all()
    assert torch.allclose(
        gradients[1] - gradients[0], 0.1 * drawing.shares.detach().sign(), atol=1e-2
    )


def test_a_bias_is_added_to_every_pixel(molecule: Structure, drawn: Drawn) -> None:
    picture = drawn(molecule)
    assert torch.equal(image(picture, bias=-0.1), image(picture) - 0.1)


def test_a_forest_learns_from_pixels(drawn: Drawn) -> None:
    chance = np.random.default_rng(0)
    gaps = chance.uniform(1, 2, (60, 2))  # of the second target some labels are missing
    pairs = [np.array([[4, 5, 5], [4 + gap, 5, 5]]) / 10 for gap in gaps[:, 0]]
    pictures = [
        drawn(Structure("pair", np.eye(3) * 10, np.ones(2, np.uint8), pair), pixels=16)
        for pair in pairs
    ]
    gaps[:30, 1] = np.nan
    data = Dataset(pictures, Labels.one_a_row(gaps), family("image"))

    answers = forest(data, np.arange(40))

    tested, mean = gaps[40:, 0], gaps[:40, 0].mean()
    assert answers.shape == (60, 2)
    assert np.abs(answers[40:, 0] - tested).mean() < 0.2 * np.abs(mean - tested).mean()

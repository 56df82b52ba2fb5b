from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.families.family import family
from models.families.recipes import Settings, resolved
from models.images.picture import Picture
from models.infer import prepare_process
from models.settings.training import TrainingSettings
from models.structures.structure import Structure
from models.training.dataset import Dataset, Labels
from models.training.loop import Training
from models.training.split import Split

SMALL = {"pixels": 32, "reducing_layers": 3, "reducing_filters": 8, "hidden_width": 32}
CELL = {"box": "cell", "pixels": 16, "reducing_layers": 3, "reducing_filters": 8}
NONE = np.array([], dtype=np.int64)
Drawn = Callable[..., Picture]


def chosen(**wanted: Any) -> Settings:
    return resolved("image", "best", {**SMALL, **wanted}, targets=1, classifies=False)


def built(settings: Settings) -> nn.Module:
    torch.manual_seed(3)
    return family("image").build(settings.network).eval()


def answers(network: nn.Module, pictures: list[Picture]) -> torch.Tensor:
    with torch.inference_mode():
        values: torch.Tensor = network(family("image").collate(pictures)).values
        return values


def pictured(settings: Settings, structures: list[Structure]) -> list[Picture]:
    from models.samples import featurise

    made = [featurise(each, settings.input) for each in structures]  # type: ignore[arg-type]
    return [each for each in made if isinstance(each, Picture)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"keeping_layers": 2, "keeping_filters": 4},
        {"dimensions": 3, "pixels": 16},
        {"species": ["C", "N", "B"], "box": "cell", "representation": "agr"},
        {"periodicity": "shifted", "box": "cell"},
        {"periodicity": "shifted", "box": "cell", "dimensions": 3, "pixels": 16},
        {"periodicity": "circular", "box": "cell", "keeping_layers": 2},
        {"periodicity": "circular", "box": "cell", "dimensions": 3, "pixels": 16},
        {"pixels": 27, "reducing_layers": 4},
    ],
)
def test_every_form_answers_alone_as_in_company_whatever_the_order_of_atoms(
    settings: dict[str, Any], sheet: Structure, molecule: Structure
) -> None:
    made = chosen(**settings)
    network = built(made)
    first = sheet if "box" in settings else molecule
    other = replace(first, numbers=first.numbers[::-1].copy())
    fewer = replace(first, numbers=first.numbers[:4], fractional=first.fractional[:4])
    mixed = replace(first, numbers=first.numbers[::-1], fractional=first.fractional[::-1])
    one, *_, shuffled = pictures = pictured(made, [first, other, fewer, mixed])

    alone, together = answers(network, [one]), answers(network, pictures)

    assert torch.allclose(alone, together[:1], atol=1e-5)
    assert torch.allclose(answers(network, [shuffled]), alone, atol=1e-5)
    assert not torch.allclose(together[1:3], together[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_circular_images_answer_the_same_after_shifts_by_whole_strides(
    sheet: Structure, dimensions: int
) -> None:
    made = chosen(
        **CELL, periodicity="circular", keeping_layers=2, keeping_filters=4, dimensions=dimensions
    )
    network = built(made)
    moved = replace(sheet, fractional=(sheet.fractional + 0.5) % 1)
    beside = replace(sheet, fractional=(sheet.fractional + np.array([0.2, 0, 0])) % 1)
    here, there, elsewhere = answers(network, pictured(made, [sheet, moved, beside]))

    assert torch.allclose(here, there, atol=1e-5)
    assert not torch.allclose(here, elsewhere, atol=1e-5)  # half a stride is another matter


def test_shifted_copies_bring_each_edge_to_the_middle(sheet: Structure) -> None:
    made = chosen(**CELL, periodicity="shifted")
    network = built(made)
    image = torch.arange(256.0).view(1, 1, 16, 16)

    copies = network._shifted(image)  # type: ignore[operator]

    assert copies.shape == (4, 1, 16, 16)
    assert copies[1, 0, 0, 8] == copies[2, 0, 8, 0] == copies[3, 0, 8, 8] == image[0, 0, 0, 0]


def test_the_papers_first_network_has_nineteen_convolutions_and_ends_with_2_by_2_pixels() -> None:
    paper = {"pixels": 256, "reducing_layers": 7, "keeping_layers": 2, "reducing_filters": 64}
    made = resolved("image", "best", paper, targets=1, classifies=False)
    network = family("image").build(made.network)

    assert [each.stride[0] for each in network.convolutions] == [2, *[1, 1, 2] * 6]
    assert network.hidden.in_features == 64 * 2 * 2


@pytest.mark.parametrize("dimensions", [2, 3])
def test_ten_molecules_are_learned_by_heart(molecule: Structure, dimensions: int) -> None:
    prepare_process()
    chance = np.random.default_rng(4)
    made = chosen(dimensions=dimensions, pixels={2: 16, 3: 8}[dimensions])
    shaken = [
        replace(molecule, fractional=molecule.fractional + chance.normal(0, 0.02, (5, 3)))
        for _ in range(10)
    ]
    labels = Labels.one_a_row(chance.normal(3, 2, (10, 1)))
    data = Dataset(pictured(made, shaken), labels, family("image"))
    training = Training(
        data,
        Split(np.arange(10), NONE, NONE),
        made.network,
        TrainingSettings(epochs=150, batch_size=10, learning_rate=0.01, average=0.9),
    )

    losses = [report.loss for report in training.run()]

    assert losses[-1] < 0.1 * losses[0]
    assert training.evaluate(np.arange(10))["mae"] < 0.2


@pytest.mark.parametrize("representation", ["gaussian", "agr", "displaced", "angular"])
def test_what_was_saved_answers_as_before(
    representation: str, molecule: Structure, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    made = chosen(representation=representation)
    network = built(made)
    pictures = pictured(made, [molecule])
    save_file(network.state_dict(), tmp_path / "weights")
    torch.manual_seed(77)
    again = family("image").build(made.network)
    again.load_state_dict(load_file(tmp_path / "weights"))
    ready = family("image").ready([again], torch.device("cpu"))

    with torch.inference_mode():
        (values,) = ready(family("image").collate(pictures)).values

    assert torch.allclose(values, answers(network, pictures), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pixels": 32, "reducing_layers": 6}, "cannot be halved 6 times"),
        ({"box": "cell", "periodicity": "circular", "pixels": 36}, "a multiple of 8"),
        ({"periodicity": "shifted"}, "set box to cell"),
    ],
)
def test_networks_that_cannot_be_are_refused(settings: dict[str, Any], message: str) -> None:
    from models.errors import BadSetting

    with pytest.raises(BadSetting, match=message):
        chosen(**settings)

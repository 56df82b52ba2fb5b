from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from models.card import Card, Target
from models.catalogue import CARD, WEIGHTS
from models.checkpoint import elements_sha256, load_networks, save_model
from models.errors import DamagedModel
from models.graphs.collate import collate
from models.graphs.elements import Kind, table_sha256
from models.graphs.featurise import featurise
from models.networks.crystal import CrystalNetwork
from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings
from models.structures.structure import Structure

SETTINGS = NetworkSettings(convolutions=2, width=8, hidden_width=6)


@pytest.fixture
def card() -> Card:
    return Card(
        name="test",
        version=1,
        title="A test",
        origin="trained",
        targets=(Target(property="band-gap", unit="eV"),),
        graph=GraphSettings(),
        network=SETTINGS,
        elements_sha256=table_sha256(),
        weights_sha256="",
        created_at=datetime.now(UTC),
    )


@pytest.mark.parametrize("elements", ["categories", "numbers"])
def test_saved_is_loaded(
    tmp_path: Path, card: Card, crystals: list[Structure], elements: Kind
) -> None:
    batch = collate([featurise(each, GraphSettings()) for each in crystals])
    settings = SETTINGS.model_copy(update={"elements": elements})
    network = CrystalNetwork(settings)
    card = card.model_copy(
        update={"network": settings, "elements_sha256": elements_sha256(settings)}
    )
    network(batch)  # moves BatchNorm's figures
    saved = save_model(tmp_path, card, [network])

    again, (loaded,) = load_networks(tmp_path)

    assert again == saved
    assert torch.equal(loaded(batch).values, network.eval()(batch).values)


def test_other_weights_than_the_cards_are_refused(tmp_path: Path, card: Card) -> None:
    save_model(tmp_path, card, [CrystalNetwork(SETTINGS)])
    data = bytearray((tmp_path / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (tmp_path / WEIGHTS).write_bytes(data)

    with pytest.raises(DamagedModel, match="not those the card was written for"):
        load_networks(tmp_path)


def test_weights_that_do_not_fit_the_settings_are_refused(tmp_path: Path, card: Card) -> None:
    wider = NetworkSettings(convolutions=2, width=9, hidden_width=6)
    save_model(tmp_path, card, [CrystalNetwork(wider)])

    with pytest.raises(DamagedModel, match=r"\(9, 92\), expected float32 \(8, 92\)"):
        load_networks(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, card: Card) -> None:
    network = CrystalNetwork(SETTINGS)
    torch.nn.init.constant_(network.embedding.bias, torch.inf)
    save_model(tmp_path, card, [network])

    with pytest.raises(DamagedModel, match="not finite"):
        load_networks(tmp_path)


def test_another_table_of_elements_is_refused(tmp_path: Path, card: Card) -> None:
    other = card.model_copy(update={"elements_sha256": table_sha256("numbers")})
    save_model(tmp_path, other, [CrystalNetwork(SETTINGS)])

    with pytest.raises(DamagedModel, match="another table"):
        load_networks(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", '{"format": 1', '{"surprise": 1}'])
def test_a_card_that_is_none_is_refused(tmp_path: Path, card: Card, text: str) -> None:
    save_model(tmp_path, card, [CrystalNetwork(SETTINGS)])
    (tmp_path / CARD).write_text(text)

    with pytest.raises(DamagedModel):
        load_networks(tmp_path)

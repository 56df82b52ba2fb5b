"""A model's figures as they lie beside its card; whoever made them, they are checked when read."""

import hashlib
from pathlib import Path

from pydantic import ValidationError

from models.card import Card
from models.catalogue import FIGURES
from models.errors import DamagedModel
from models.figures.told import FIGURES_BYTES, Figures, Kind
from models.settings.network import NetworkSettings


def parsed(card: Card, data: bytes) -> Figures:
    """The figures of this card. Raises: ValueError that says what is wrong."""
    if len(data) > FIGURES_BYTES:
        raise ValueError(f"more than {FIGURES_BYTES:,} bytes")
    if hashlib.sha256(data).hexdigest() != card.figures_sha256:
        raise ValueError("not those the card was written for")
    try:
        figures = Figures.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if len(figures.targets) != len(card.targets):
        raise ValueError("not as many targets as the card has")
    return figures


def read(card: Card, folder: Path) -> Figures | None:
    """None where a model has none. Raises: DamagedModel."""
    if card.figures_sha256 is None:
        return None
    path = folder / FIGURES
    try:
        if path.stat().st_size > FIGURES_BYTES:
            raise ValueError(f"more than {FIGURES_BYTES:,} bytes")
        return parsed(card, path.read_bytes())
    except (OSError, ValueError) as error:
        raise DamagedModel(f"The figures of {card.id} cannot be read: {error}.") from error


def kind_of(card: Card) -> Kind | None:
    """Which tables of elements a model can have; none where its answers are no sums over sites."""
    if card.family == "site":
        return "predictions"
    if not isinstance(card.network, NetworkSettings) or card.classifies:
        return None
    network = card.network
    # Of full pooling without hidden layers nothing but sums follows the sites' vectors.
    sums = network.readout == "linear" or (network.readout == "full" and not network.hidden_layers)
    return "contributions" if sums else None

"""A model as two files: `card.json`, and `weights.safetensors` of which the card holds the hash."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from models.card import CARD_FORMAT, Card
from models.catalogue import CARD, WEIGHTS, card_bytes
from models.errors import DamagedModel
from models.families.family import family, sketch
from models.graphs.elements import table_sha256
from models.settings.frozen import Frozen

State = dict[str, Tensor]

LARGEST_WEIGHTS = 512_000_000  # bytes; larger networks are not trained


def save_model(folder: Path, card: Card, networks: Sequence[nn.Module]) -> Card:
    """Write both files; the card that is returned knows the weights' hash and the number of members."""
    folder.mkdir(parents=True, exist_ok=True)
    data = save(_together([weights(network) for network in networks]))
    known = {"weights_sha256": hashlib.sha256(data).hexdigest(), "members": len(networks)}
    card = card.model_copy(update=known)
    (folder / WEIGHTS).write_bytes(data)
    (folder / CARD).write_bytes(card_bytes(card))
    return card


def load_networks(folder: Path) -> tuple[Card, list[nn.Module]]:
    """The card and the members in evaluation. Raises: DamagedModel."""
    try:
        card = Card.model_validate_json((folder / CARD).read_bytes())
        if (folder / WEIGHTS).stat().st_size > LARGEST_WEIGHTS:
            raise DamagedModel(f"{card.id}: the file of weights is larger than any network.")
        data = (folder / WEIGHTS).read_bytes()
    except (OSError, ValueError) as error:
        raise DamagedModel(f"The model in {folder.name} cannot be read: {error}.") from error
    return card, build(card, data)


def elements_sha256(network: Frozen) -> str:
    """Of the table that such a network starts from; images have none of their own."""
    return table_sha256(getattr(network, "elements", "categories"))


def build(card: Card, data: bytes) -> list[nn.Module]:
    """The members that these weights fit. Raises: DamagedModel."""
    if card.format != CARD_FORMAT:
        raise DamagedModel(f"{card.id}: card format {card.format} is not known to this version.")
    if hashlib.sha256(data).hexdigest() != card.weights_sha256:
        raise DamagedModel(f"{card.id}: the weights are not those the card was written for.")
    if card.elements_sha256 != elements_sha256(card.network):
        raise DamagedModel(f"{card.id}: trained with another table of elements.")
    try:
        state = load(data)
    except (SafetensorError, ValueError) as error:
        raise DamagedModel(f"{card.id}: {error}.") from error
    # A card may ask for more than there is memory: nothing is made before the weights are known to be there.
    wrong = difference(_expected(card), state)
    if wrong:
        raise DamagedModel(f"{card.id}: {wrong}.")
    return [_member(card, state, at) for at in range(card.members)]


def _together(states: Sequence[State]) -> State:
    """Of several members all in one tensor, the members first."""
    one, *more = states
    found = {
        name: torch.stack([each[name] for each in states]) if more else value
        for name, value in one.items()
    }
    return {name: value.detach().cpu().contiguous() for name, value in found.items()}


def _expected(card: Card) -> State:
    """Shapes alone."""
    one = weights(sketch(card.family, card.network))
    if card.members == 1:
        return one
    return {name: value.expand(card.members, *value.shape) for name, value in one.items()}


def _member(card: Card, state: State, at: int) -> nn.Module:
    own = {name: value[at] for name, value in state.items()} if card.members > 1 else state
    network = family(card.family).build(card.network)
    network.load_state_dict(own, strict=False)
    return network.eval()


def weights(network: nn.Module) -> State:
    """All that is learned; BatchNorm's counters are not."""
    return {
        name: value for name, value in network.state_dict().items() if value.is_floating_point()
    }


def difference(expected: State, got: State) -> str | None:
    """In words, why a state does not fit a network."""
    missing, surplus = sorted(expected.keys() - got.keys()), sorted(got.keys() - expected.keys())
    if missing:
        return f"no {missing[0]} among the weights"
    if surplus:
        return f"{surplus[0]} belongs to another network"
    for name, value in expected.items():
        if got[name].shape != value.shape or got[name].dtype != value.dtype:
            return f"{name} is {describe(got[name])}, expected {describe(value)}"
        if not torch.isfinite(got[name]).all():
            return f"{name} holds numbers that are not finite"
    return None


def describe(value: Tensor) -> str:
    """Type and shape, as `float32 (64, 92)`."""
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"

"""Members of an ensemble arranged for answering together: what they share is computed once."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.graphs.collate import Batch
from models.images.collate import Batch as Pictures
from models.networks import compiled
from models.networks.compiled import CompiledNetwork
from models.networks.convolution import SharedConvolution
from models.networks.folded import FoldedNetwork
from models.networks.image import ImageNetwork
from models.networks.readout import Output, side_by_side
from models.networks.trunk import Trunk

Together = Callable[[Any], Output]
Some = TypeVar("Some", bound=Batch)
Network = TypeVar("Network", bound=nn.Module)


def arranged(networks: Sequence[Trunk], device: torch.device) -> Together:
    """Networks of convolutions and `readout`, ready to answer on this device."""
    if device.type != "cpu":
        return stacked(networks, device)
    if not any(isinstance(each, SharedConvolution) for each in networks[0].convolutions):
        return CompiledNetwork(networks) if compiled.there() else FoldedNetwork(networks)
    # So little is left to compute in Eq. 4 that double precision, in which no answer depends on its
    # company, costs next to nothing.
    return in_double(networks)


def in_double(networks: Sequence[nn.Module]) -> Together:
    """On a CPU, where no answer is to depend on its company; one member after the other, which is quicker there."""
    members = [_resting(each).double() for each in networks]

    def together(batch: Batch) -> Output:
        wide = doubled(batch)
        return side_by_side([member(wide) for member in members])

    return together


def doubled(batch: Some) -> Some:
    """The same in double precision."""
    wide: dict[str, Any] = {
        each.name: value.double()
        for each in fields(batch)
        if isinstance(value := getattr(batch, each.name), Tensor) and value.is_floating_point()
    }
    return replace(batch, **wide)


def stacked(networks: Sequence[nn.Module], device: torch.device) -> Together:
    """All members in each operation; what does not depend on their weights is computed once."""
    members = [_resting(each).to(device) for each in networks]
    one = members[0]
    if len(members) == 1:
        return lambda batch: side_by_side([one(batch)])
    own = {
        name: torch.stack([each.get_parameter(name) for each in members])
        for name, _ in one.named_parameters()
    }
    for name, value in one.named_buffers():
        others = [each.get_buffer(name) for each in members]
        if not all(torch.equal(value, each) for each in others):
            own[name] = torch.stack(others)
    return lambda batch: _in_one_pass(one, own, batch)


def _in_one_pass(network: nn.Module, own: dict[str, Tensor], batch: Any) -> Output:
    def member(state: dict[str, Tensor]) -> tuple[Tensor, ...]:
        output: Output = functional_call(network, state, (batch,))
        told = (output.values, output.features, output.sites)
        return tuple(each for each in told if each is not None)

    return Output(*torch.vmap(member)(own))


def pictured(networks: Sequence[ImageNetwork], device: torch.device) -> Together:
    """One image for all members, read by one after the other: in one operation their filters are slower."""
    members = [_resting(each).to(device) for each in networks]

    def together(batch: Pictures) -> Output:
        image = members[0].image(batch)
        return side_by_side([member.read(image, len(batch.numbers)) for member in members])

    return together


def _resting(network: Network) -> Network:
    return network.eval().requires_grad_(requires_grad=False)

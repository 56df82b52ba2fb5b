"""The crystal family: one row of values a crystal."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.families.family import Network, Values
from models.graphs.collate import Batch, collate
from models.graphs.graph import Graph
from models.networks.convolution import GatedConvolution
from models.networks.crystal import CrystalNetwork
from models.networks.folded import FoldedNetwork
from models.networks.readout import Output

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import NetworkSettings

__all__ = ["build", "collate", "ready", "sizes", "told"]


def sizes(samples: Sequence[Graph]) -> NDArray[np.int64]:
    """One row a crystal."""
    return np.ones(len(samples), np.int64)


def build(settings: "NetworkSettings") -> CrystalNetwork:
    """CGCNN."""
    return CrystalNetwork(settings)


def ready(network: nn.Module, device: torch.device) -> Network:
    """Folded on a CPU."""
    assert isinstance(network, CrystalNetwork)
    network = network.eval().requires_grad_(requires_grad=False)
    if device.type != "cpu":
        return network.to(device)
    if all(isinstance(each, GatedConvolution) for each in network.convolutions):
        return FoldedNetwork(network)
    # So little is left to compute in Eq. 4 that double precision, in which no answer depends on its
    # company, costs next to nothing.
    network = network.double()

    def in_double(batch: Batch) -> Output:
        output: Output = network(replace(batch, distance=batch.distance.double()))
        return output

    return in_double


def told(sample: Graph, values: Values) -> tuple[float, ...]:  # noqa: ARG001
    """One number a target."""
    return tuple(values[0].tolist())

"""The crystal family: one row of values a crystal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.families.family import Network, Values
from models.graphs.collate import collate
from models.graphs.graph import Graph
from models.networks.crystal import CrystalNetwork
from models.networks.together import arranged

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import NetworkSettings

__all__ = ["build", "collate", "ready", "sizes", "spread", "told"]


def sizes(samples: Sequence[Graph]) -> NDArray[np.int64]:
    """One row a crystal."""
    return np.ones(len(samples), np.int64)


def build(settings: "NetworkSettings") -> CrystalNetwork:
    """CGCNN."""
    return CrystalNetwork(settings)


def ready(networks: Sequence[nn.Module], device: torch.device) -> Network:
    """All members in one pass; folded on a CPU."""
    return arranged(cast("Sequence[CrystalNetwork]", networks), device)


def told(sample: Graph, values: Values) -> tuple[float, ...]:  # noqa: ARG001
    """One number a target."""
    return tuple(values[0].tolist())


def spread(sample: Graph, values: Values, deviations: Values) -> tuple[float, ...]:  # noqa: ARG001
    """One number a target."""
    return tuple(deviations[0].tolist())

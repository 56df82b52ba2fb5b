"""The site family: one row of values a site, in the order of the input."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.families.family import Network, Values
from models.graphs.collate import collate
from models.graphs.graph import Graph
from models.networks.site import SiteNetwork
from models.networks.together import arranged

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import SiteNetworkSettings

__all__ = ["build", "collate", "ready", "sizes", "spread", "told"]


def sizes(samples: Sequence[Graph]) -> NDArray[np.int64]:
    """One row a site."""
    return np.array([sample.n_sites for sample in samples], np.int64)


def build(settings: "SiteNetworkSettings") -> SiteNetwork:
    """CGCNN without pooling."""
    return SiteNetwork(settings)


def ready(networks: Sequence[nn.Module], device: torch.device) -> Network:
    """All members in one pass; folded on a CPU."""
    return arranged(cast("Sequence[SiteNetwork]", networks), device)


def told(sample: Graph, values: Values) -> tuple[float, ...]:  # noqa: ARG001
    """Target by target, a number a site."""
    return tuple(values.T.ravel().tolist())


def spread(sample: Graph, values: Values, deviations: Values) -> tuple[float, ...]:  # noqa: ARG001
    """Target by target, a number a site."""
    return tuple(deviations.T.ravel().tolist())

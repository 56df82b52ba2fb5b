"""The image family: one row of values a picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.families.family import Network, Values
from models.images.collate import collate
from models.images.picture import Picture
from models.networks.image import ImageNetwork
from models.networks.together import pictured

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import ImageNetworkSettings

__all__ = ["build", "collate", "ready", "sizes", "spread", "told"]


def sizes(samples: Sequence[Picture]) -> NDArray[np.int64]:
    """One row a picture."""
    return np.ones(len(samples), np.int64)


def build(settings: "ImageNetworkSettings") -> ImageNetwork:
    """CNNAS."""
    return ImageNetwork(settings)


def ready(networks: Sequence[nn.Module], device: torch.device) -> Network:
    """As trained, with one image for all members."""
    return pictured(cast("Sequence[ImageNetwork]", networks), device)


def told(sample: Picture, values: Values) -> tuple[float, ...]:  # noqa: ARG001
    """One number a target."""
    return tuple(values[0].tolist())


def spread(sample: Picture, values: Values, deviations: Values) -> tuple[float, ...]:  # noqa: ARG001
    """One number a target."""
    return tuple(deviations[0].tolist())

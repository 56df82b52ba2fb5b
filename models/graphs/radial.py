"""What an edge tells the network: its distance, spread over smooth or sharp bins."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import TrunkSettings


ONEHOT_START, ONEHOT_BINS, ONEHOT_WIDTH = 0.7, 10, 0.45  # up to 5.2 Å
# exp(-28) is 7e-13. Without this bound 4 % of all values are subnormal or underflow, and those take
# a slow path in the exponential and then in every product they enter.
LOWEST_EXPONENT = -28.0


def edge_width(settings: "TrunkSettings") -> int:
    """Numbers an edge."""
    return ONEHOT_BINS if settings.edge_features == "onehot" else len(centres(settings))


def centres(settings: "TrunkSettings") -> Tensor:
    """Where the Gaussians sit, in Å."""
    span = settings.edge_stop - settings.edge_start
    steps = round(span / settings.edge_step)
    return settings.edge_start + settings.edge_step * torch.arange(steps + 1, dtype=torch.float64)


def expand(distance: Tensor, settings: "TrunkSettings") -> Tensor:
    """Features of edges by their distance in Å.  # (edges, width)"""
    if settings.edge_features == "onehot":
        return torch.nn.functional.one_hot(bins(distance), ONEHOT_BINS).to(distance.dtype)
    at = centres(settings).to(distance.device, distance.dtype)
    offset = (distance[:, None] - at) / settings.edge_step
    return (-offset.square_()).clamp_min_(LOWEST_EXPONENT).exp_()


def bins(distance: Tensor) -> Tensor:
    """The paper's ten bins; the outer ones take all beyond.  # (edges,)"""
    return ((distance - ONEHOT_START) / ONEHOT_WIDTH).floor().clamp(0, ONEHOT_BINS - 1).long()

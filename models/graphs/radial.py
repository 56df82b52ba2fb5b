"""What an edge tells the network: its distance, spread over smooth or sharp bins."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import TrunkSettings


ONEHOT_START, ONEHOT_BINS, ONEHOT_WIDTH = 0.7, 10, 0.45  # up to 5.2 Å
# exp(-28) is 7e-13. Without this bound 4 % of all values are subnormal or underflow, and those take
# a slow path in the exponential and then in every product they enter.
LOWEST_EXPONENT = -28.0
BAND = 8  # Gaussians that are more than 1.2e-7 = exp(-16) at any distance


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """Edges of a batch, those of a site that are alike as one."""

    first_edge: Tensor  # (sites,)
    neighbour: Tensor  # (merged,)
    distance: Tensor  # (merged,) Å
    times: Tensor  # (merged,) float, for how many edges it stands
    weight: Tensor  # (merged,) the sum of theirs
    row: Tensor  # (edges,) where each edge went


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Features of edges of which all but a few successive ones are zero."""

    start: Tensor  # (edges,) int32, the first; of merged ones where there are such
    share: Tensor  # (edges, a few)
    merged: Merged | None = None

    def __len__(self) -> int:
        """Edges of the batch."""
        return len(self.merged.row if self.merged else self.start)

    @classmethod
    def all_rows(cls, features: Tensor) -> Self:
        """None is zero."""
        return cls(torch.zeros(len(features), dtype=torch.int32), features)

    @classmethod
    def row_each(cls, edges: int) -> Self:
        """Each edge has one feature, which no other has."""
        return cls(torch.arange(edges, dtype=torch.int32), torch.ones(edges, 1))

    def dense(self, width: int) -> Tensor:
        """With the zeros.  # (edges, width)"""
        at = self.start.long()[:, None] + torch.arange(self.share.shape[1])
        features = self.share.new_zeros(len(self.start), width).scatter_(1, at, self.share)
        return features.index_select(0, self.merged.row) if self.merged else features


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """Features of edges of which many are alike."""

    features: Tensor  # (kinds, …)
    which: Tensor  # (edges,) int32


def edge_width(settings: "TrunkSettings") -> int:
    """Numbers an edge."""
    return ONEHOT_BINS if settings.edge_features == "onehot" else _gaussians(settings)


def centres(settings: "TrunkSettings") -> Tensor:
    """Where the Gaussians sit, in Å."""
    number = torch.arange(_gaussians(settings), dtype=torch.float64)
    return settings.edge_start + settings.edge_step * number


def _gaussians(settings: "TrunkSettings") -> int:
    return round((settings.edge_stop - settings.edge_start) / settings.edge_step) + 1


def expand(distance: Tensor, settings: "TrunkSettings") -> Tensor:
    """Features of edges by their distance in Å.  # (edges, width)"""
    if settings.edge_features == "onehot":
        return torch.nn.functional.one_hot(bins(distance), ONEHOT_BINS).to(distance.dtype)
    at = centres(settings).to(distance.device, distance.dtype)
    offset = (distance[:, None] - at) / settings.edge_step
    return (-offset.square_()).clamp_min_(LOWEST_EXPONENT).exp_()


def band(distance: Tensor, settings: "TrunkSettings") -> Band:
    """The same, to the rounding of single precision, without what is zero; on a CPU."""
    if settings.edge_features == "onehot":
        return Band(bins(distance).int(), distance.new_ones(len(distance), 1))
    at = centres(settings).to(distance.dtype)
    few = min(BAND, len(at))
    below = ((distance - at[0]) * (1 / settings.edge_step)).floor_().int() - (BAND // 2 - 1)
    start = below.clamp_(0, len(at) - few)
    near = at.unfold(0, few, 1).index_select(0, start)  # (edges, few)
    offset = (distance[:, None] - near) / settings.edge_step
    return Band(start, (-offset.square_()).clamp_min_(LOWEST_EXPONENT).exp_())


def bins(distance: Tensor) -> Tensor:
    """The paper's ten bins; the outer ones take all beyond.  # (edges,)"""
    return ((distance - ONEHOT_START) / ONEHOT_WIDTH).floor().clamp(0, ONEHOT_BINS - 1).long()

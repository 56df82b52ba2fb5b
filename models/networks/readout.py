"""From the sites' vectors to the crystal's answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.graphs.collate import Batch

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import NetworkSettings


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """What leaves the network, before the normaliser."""

    values: Tensor  # (crystals, outputs)
    features: Tensor  # (crystals, width) the pooled vector, before any hidden layer
    sites: Tensor | None = None  # (sites, outputs) whose mean over a crystal is its value


def side_by_side(members: Sequence[Output]) -> Output:
    """What several members answer to one batch, the members first."""
    sites = [each.sites for each in members if each.sites is not None]
    return Output(
        torch.stack([each.values for each in members]),
        torch.stack([each.features for each in members]),
        torch.stack(sites) if sites else None,
    )


class Readout(nn.Module):
    """Mean of the sites' vectors (S16), or all layers' softmax (S11-S13), then hidden layers."""

    def __init__(self, settings: "NetworkSettings") -> None:
        super().__init__()
        width, hidden = settings.width, settings.hidden_width
        self.width = width
        self.site_layers = layers(width, width, settings.site_layers)
        self.full = settings.readout == "full"
        if self.full:
            shares = [nn.Linear(width, width) for _ in range(settings.convolutions + 1)]
            self.shares = nn.ModuleList(shares)
        self.hidden = layers(width, hidden, settings.hidden_layers)
        # The released code drops out before a classifier's hidden layers, never in evaluation.
        self.dropout = nn.Dropout(0.5 if settings.task == "classification" else 0.0)
        self.out = nn.Linear(hidden if settings.hidden_layers else width, settings.outputs)

    def forward(self, layers: list[Tensor], batch: Batch) -> Output:
        """The answer from the vectors after each convolution."""
        sites = self._sites(layers)
        pooled = mean(sites, batch)
        crystals = pooled if self.full else F.softplus(pooled)
        for at, layer in enumerate(self.hidden):
            crystals = F.softplus(layer(crystals))
            crystals = crystals if at else self.dropout(crystals)
        # With nothing but sums after the pooling, the answer is the mean of what the sites would answer.
        sums = self.full and not self.hidden
        return Output(self.out(crystals), pooled, self.out(sites) if sums else None)

    def _sites(self, layers: list[Tensor]) -> Tensor:
        if not self.full:
            return through(self.site_layers, layers[-1])
        shares = zip(self.shares, layers, strict=True)
        return torch.stack(
            [share(through(self.site_layers, each)).softmax(1) for share, each in shares]
        ).sum(0)


class LinearReadout(nn.Module):
    """One scalar a site, whose mean is the value (S14-S15): the answer carries its explanation."""

    def __init__(self, settings: "NetworkSettings") -> None:
        super().__init__()
        self.site_layers = layers(settings.width, settings.width, settings.site_layers)
        self.out = nn.Linear(settings.width, settings.outputs)

    def forward(self, layers: list[Tensor], batch: Batch) -> Output:
        """The answer from the vectors after the last convolution."""
        sites = through(self.site_layers, layers[-1])
        scalars = self.out(sites)
        return Output(mean(scalars, batch), mean(sites, batch), scalars)


def mean(sites: Tensor, batch: Batch) -> Tensor:
    """The mean over the sites of each crystal.  # (crystals, …)"""
    empty = sites.new_zeros(batch.n_crystals, sites.shape[1])
    sums = empty.index_add_(0, batch.crystal, sites)
    return sums / batch.n_sites[:, None].to(sites.dtype)


def through(layers: nn.ModuleList, sites: Tensor) -> Tensor:
    """Fully connected layers, one after the other."""
    for layer in layers:
        sites = F.softplus(layer(sites))
    return sites


def layers(first: int, width: int, count: int) -> nn.ModuleList:
    """So many hidden layers."""
    return nn.ModuleList(nn.Linear(width if at else first, width) for at in range(count))

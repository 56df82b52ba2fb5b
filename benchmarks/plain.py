"""CGCNN as the paper writes it, unfactorised: what our networks are measured against."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.graphs.collate import Batch
from models.graphs.elements import table


@dataclass(frozen=True, slots=True, eq=False)
class Cached:
    """What the published code keeps of a batch: features of sites and edges, ready expanded."""

    sites: Tensor  # (sites, 92)
    edges: Tensor  # (sites, 12, 41)
    neighbour: Tensor  # (sites, 12)
    crystals: Sequence[Tensor]  # the sites of each


def cached(batch: Batch) -> Cached:
    """From a batch in which all sites have 12 neighbours."""
    # As the published code does it: numpy and doubles first, which leaves 4 % subnormal floats.
    offset = batch.distance.double().numpy()[:, None] - np.arange(0, 8.1, 0.2)
    expanded = torch.Tensor(np.exp(-(offset**2) / 0.2**2))
    sizes = [int(size) for size in batch.n_sites]
    return Cached(
        torch.tensor(table())[batch.numbers],
        expanded.view(len(batch.numbers), 12, -1),
        batch.neighbour.view(-1, 12),
        torch.split(torch.arange(len(batch.numbers)), sizes),
    )


class PlainConvolution(nn.Module):
    """Eq. 5 with one product over the joined vectors of each edge."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.full = nn.Linear(2 * width + 41, 2 * width)
        self.edge_norm, self.sum_norm = nn.BatchNorm1d(2 * width), nn.BatchNorm1d(width)

    def forward(self, sites: Tensor, cache: Cached) -> Tensor:
        """New vectors of the sites."""
        near = sites[cache.neighbour]  # (sites, 12, width)
        joined = torch.cat([sites[:, None].expand_as(near), near, cache.edges], 2)
        mixed = self.full(joined)
        mixed = self.edge_norm(mixed.view(-1, mixed.shape[2])).view(mixed.shape)
        gate, core = mixed.chunk(2, 2)
        summed = (torch.sigmoid(gate) * F.softplus(core)).sum(1)
        return F.softplus(sites + self.sum_norm(summed))


class PlainNetwork(nn.Module):
    """Embedding, convolutions, mean, hidden layer."""

    def __init__(self, width: int, convolutions: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(92, width)
        self.convolutions = nn.ModuleList(PlainConvolution(width) for _ in range(convolutions))
        self.hidden, self.out = nn.Linear(width, hidden), nn.Linear(hidden, 1)

    def forward(self, cache: Cached) -> Tensor:
        """One number a crystal."""
        sites = self.embedding(cache.sites)
        for convolution in self.convolutions:
            sites = convolution(sites, cache)
        pooled = torch.stack([sites[each].mean(0) for each in cache.crystals])
        value: Tensor = self.out(F.softplus(self.hidden(F.softplus(pooled))))
        return value

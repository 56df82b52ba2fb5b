"""The network of bond distances: convolutions over the slab, then each pair of adsorbate and candidate."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.graphs.collate import Batch
from models.graphs.radial import LOWEST_EXPONENT, edge_width, expand
from models.networks.readout import Output, layers, through
from models.networks.trunk import Trunk
from models.slabs.collate import SlabBatch

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import BondNetworkSettings

ANGLES, ANGLE_WIDTH = 6, 0.2  # centres 0, 0.2 … 1.0, as the numbers of the paper's Fig. 3 are apart
# Of the initial distance of a bond, Å: as a crystal's edges are expanded.
INITIAL_START, INITIAL_STEP, INITIAL_COUNT = 0.0, 0.2, 31


class BondNetwork(Trunk):
    """CGCNN for the distances between an adsorbate and what it may bind to (Yoon, Zhan & Liu)."""

    def __init__(self, settings: "BondNetworkSettings") -> None:
        self.with_angle = settings.edge_features in ("angle", "both")
        self.with_distance = settings.edge_features != "angle"
        width = ANGLES * self.with_angle + edge_width(settings) * self.with_distance
        super().__init__(settings, width)
        self.settings = settings
        joined = settings.width * (2 if settings.join == "concatenation" else 1)
        joined += INITIAL_COUNT * settings.initial_distance
        self.hidden = layers(joined, settings.hidden_width, settings.hidden_layers)
        self.out = nn.Linear(settings.hidden_width if settings.hidden_layers else joined, 1)

    def forward(self, batch: SlabBatch) -> Output:
        """A distance for each candidate of each slab."""
        sites = self.layers(batch)[-1]
        adsorbate = sites.index_select(0, batch.anchor)
        bonds = self._joined(
            adsorbate.index_select(0, batch.slab), sites.index_select(0, batch.candidate)
        )
        if self.settings.initial_distance:
            at = INITIAL_START + INITIAL_STEP * torch.arange(INITIAL_COUNT, device=bonds.device)
            bonds = torch.cat([bonds, _gaussians(batch.initial, at, INITIAL_STEP)], 1)
        return Output(self.out(through(self.hidden, bonds)), adsorbate)

    def edges(self, batch: Batch) -> Tensor:
        """Angles, distances, or both.  # (edges, …)"""
        assert isinstance(batch, SlabBatch)
        parts = []
        if self.with_angle:
            at = ANGLE_WIDTH * torch.arange(ANGLES, device=batch.angle.device)
            parts.append(_gaussians(batch.angle, at, ANGLE_WIDTH))
        if self.with_distance:
            parts.append(expand(batch.distance, self.trunk_settings))
        return torch.cat(parts, 1)

    def _joined(self, adsorbate: Tensor, partner: Tensor) -> Tensor:
        if self.settings.join == "mean":
            return (adsorbate + partner) / 2
        if self.settings.join == "product":
            return adsorbate * partner
        return torch.cat([adsorbate, partner], 1)


def _gaussians(values: Tensor, at: Tensor, width: float) -> Tensor:
    offset = (values[:, None] - at.to(values.dtype)) / width
    return (-offset.square_()).clamp_min_(LOWEST_EXPONENT).exp_()

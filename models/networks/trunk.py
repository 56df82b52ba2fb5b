"""What all graph networks begin with: elements embedded, then convolutions over the edges."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.graphs.collate import Batch
from models.graphs.elements import table
from models.graphs.radial import Band, Kinds, band, edge_width, expand
from models.networks import fused
from models.networks.convolution import GatedConvolution, ResidualConvolution, SharedConvolution

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import TrunkSettings


KINDS = {
    "gated": GatedConvolution,
    "shared": SharedConvolution,
    "residual": ResidualConvolution,
}


class Trunk(nn.Module):
    """A network of sites; what is done with their vectors is its heirs' business."""

    elements: Tensor

    def __init__(self, settings: "TrunkSettings", edges: int | None = None) -> None:
        super().__init__()
        elements = torch.tensor(table(settings.elements))
        self.register_buffer("elements", elements, persistent=False)
        self.embedding = nn.Linear(elements.shape[1], settings.width)
        kind, width = KINDS[settings.convolution], edges or edge_width(settings)
        self.residual = kind is ResidualConvolution
        self.told: nn.Module = nn.Identity()
        self.norm: nn.Module = nn.Identity()
        if self.residual:
            own = settings.width
            self.told = nn.Sequential(nn.Linear(width, own), nn.SiLU(), nn.Linear(own, own))
            self.norm, width = nn.LayerNorm(own), own
        self.convolutions = nn.ModuleList(
            kind(settings.width, width) for _ in range(settings.convolutions)
        )
        self.by_distance = edges is None  # which is all that tells one edge from another
        self.trunk_settings = settings

    def layers(self, batch: Batch) -> list[Tensor]:
        """The sites' vectors before the first and after each convolution.  # (sites, width) each"""
        # There are fewer elements than sites: embed those, then look them up.
        sites = self.embedding(self.elements).index_select(0, batch.numbers)
        edges: Tensor | Band | Kinds
        if self.residual and fused.at_home(batch.distance):
            batch, edges = self._alike(batch)
        else:
            edges = self.told(self.edges(batch))
        layers = [sites]
        for convolution in self.convolutions:
            layers.append(convolution(layers[-1], edges, batch))
        return [*layers[:-1], self.norm(layers[-1])]

    def _alike(self, batch: Batch) -> tuple[Batch, Kinds]:
        """Edges that are alike as one; of what they tell, each kind once."""
        if not self.by_distance:
            features = self.told(self.edges(batch))
            return batch, Kinds(features, torch.arange(len(features), dtype=torch.int32))
        lean = fused.lean(batch)
        distance, which = torch.unique(lean.distance, return_inverse=True)
        return lean, Kinds(self.told(expand(distance, self.trunk_settings)), which.int())

    def edges(self, batch: Batch) -> Tensor | Band:
        """What the edges tell.  # (edges, …)"""
        if self.trunk_settings.convolution == "gated" and fused.at_home(batch.distance):
            merged = fused.merged(batch)
            return replace(band(merged.distance, self.trunk_settings), merged=merged)
        return expand(batch.distance, self.trunk_settings)

"""What all graph networks begin with: elements embedded, then convolutions over the edges."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.graphs.collate import Batch
from models.graphs.elements import COLUMNS, table
from models.graphs.radial import Band, band, edge_width, expand
from models.networks import fused
from models.networks.convolution import GatedConvolution, SharedConvolution

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import TrunkSettings


class Trunk(nn.Module):
    """A network of sites; what is done with their vectors is its heirs' business."""

    elements: Tensor

    def __init__(self, settings: "TrunkSettings", edges: int | None = None) -> None:
        super().__init__()
        self.register_buffer("elements", torch.tensor(table()), persistent=False)
        self.embedding = nn.Linear(COLUMNS, settings.width)
        kind = GatedConvolution if settings.convolution == "gated" else SharedConvolution
        width = edge_width(settings) if edges is None else edges
        self.convolutions = nn.ModuleList(
            kind(settings.width, width) for _ in range(settings.convolutions)
        )
        self.trunk_settings = settings

    def layers(self, batch: Batch) -> list[Tensor]:
        """The sites' vectors before the first and after each convolution.  # (sites, width) each"""
        # There are fewer elements than sites: embed those, then look them up.
        sites = self.embedding(self.elements).index_select(0, batch.numbers)
        edges = self.edges(batch)
        layers = [sites]
        for convolution in self.convolutions:
            layers.append(convolution(layers[-1], edges, batch))
        return layers

    def edges(self, batch: Batch) -> Tensor | Band:
        """What the edges tell.  # (edges, …)"""
        if self.trunk_settings.convolution == "gated" and fused.at_home(batch.distance):
            merged = fused.merged(batch)
            return replace(band(merged.distance, self.trunk_settings), merged=merged)
        return expand(batch.distance, self.trunk_settings)

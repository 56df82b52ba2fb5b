"""The network of crystal properties: embedding, convolutions, read-out."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from models.graphs.collate import Batch
from models.graphs.elements import COLUMNS, table
from models.graphs.radial import edge_width, expand
from models.networks.convolution import GatedConvolution, SharedConvolution
from models.networks.readout import LinearReadout, Output, Readout

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings import NetworkSettings


class CrystalNetwork(nn.Module):
    """CGCNN with the options of its paper."""

    elements: Tensor

    def __init__(self, settings: "NetworkSettings") -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("elements", torch.tensor(table()), persistent=False)
        self.embedding = nn.Linear(COLUMNS, settings.width)
        kind = GatedConvolution if settings.convolution == "gated" else SharedConvolution
        width = edge_width(settings)
        self.convolutions = nn.ModuleList(
            kind(settings.width, width) for _ in range(settings.convolutions)
        )
        linear = settings.readout == "linear"
        self.readout = LinearReadout(settings) if linear else Readout(settings)

    def forward(self, batch: Batch) -> Output:
        """The answers of all crystals of a batch."""
        # There are fewer elements than sites: embed those, then look them up.
        sites = self.embedding(self.elements).index_select(0, batch.numbers)
        edges = expand(batch.distance, self.settings)
        layers = [sites]
        for convolution in self.convolutions:
            layers.append(convolution(layers[-1], edges, batch))
        output: Output = self.readout(layers, batch)
        return output

"""The network of per-site properties: embedding, convolutions, the same layers for every site."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from models.graphs.collate import Batch
from models.networks.readout import Output, layers, mean, through
from models.networks.trunk import Trunk

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import SiteNetworkSettings


class SiteReadout(nn.Module):
    """One number a site and target; nothing is pooled."""

    def __init__(self, settings: "SiteNetworkSettings") -> None:
        super().__init__()
        hidden = settings.site_width if settings.site_layers else settings.width
        self.site_layers = layers(settings.width, settings.site_width, settings.site_layers)
        self.out = nn.Linear(hidden, settings.outputs)
        self.width = settings.width

    def forward(self, layers: list[Tensor], batch: Batch) -> Output:
        """The answers of all sites, in their order."""
        sites = layers[-1]
        return Output(self.out(through(self.site_layers, sites)), mean(sites, batch))


class SiteNetwork(Trunk):
    """CGCNN without pooling (Karaguesian et al.)."""

    def __init__(self, settings: "SiteNetworkSettings") -> None:
        super().__init__(settings)
        self.readout = SiteReadout(settings)

    def forward(self, batch: Batch) -> Output:
        """The answers of all sites of a batch."""
        output: Output = self.readout(self.layers(batch), batch)
        return output

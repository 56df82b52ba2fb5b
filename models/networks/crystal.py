"""The network of crystal properties: embedding, convolutions, read-out."""

from typing import TYPE_CHECKING

from models.graphs.collate import Batch
from models.networks.readout import LinearReadout, Output, Readout
from models.networks.trunk import Trunk

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import NetworkSettings


class CrystalNetwork(Trunk):
    """CGCNN with the options of its paper."""

    def __init__(self, settings: "NetworkSettings") -> None:
        super().__init__(settings)
        self.settings = settings
        linear = settings.readout == "linear"
        self.readout = LinearReadout(settings) if linear else Readout(settings)

    def forward(self, batch: Batch) -> Output:
        """The answers of all crystals of a batch."""
        output: Output = self.readout(self.layers(batch), batch)
        return output

"""The network of images: convolutions that halve or keep the size, a hidden layer, the answer."""

from itertools import pairwise, product
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.images.collate import Batch
from models.networks.drawing import Drawing
from models.networks.readout import Output

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import ImageNetworkSettings

REDUCING, KEEPING = 3, 4  # pixels that a filter is wide


class ImageNetwork(nn.Module):
    """CNNAS: no pooling layers, no dropout, ReLU."""

    def __init__(self, settings: "ImageNetworkSettings") -> None:
        super().__init__()
        self.settings = settings
        self.dimensions = settings.image.dimensions
        self.drawing = Drawing(settings.image)
        self.convolutions = nn.ModuleList(self._convolutions())
        self.hidden = nn.Linear(settings.features, settings.hidden_width)
        self.out = nn.Linear(settings.hidden_width, settings.outputs)
        self.apply(_start)

    def forward(self, batch: Batch) -> Output:
        """The answers of all pictures of a batch."""
        return self.read(self.image(batch), len(batch.numbers))

    def image(self, batch: Batch) -> Tensor:
        """What the convolutions read; it depends on no weights."""
        image: Tensor = self.drawing(batch)
        if self.settings.periodicity == "shifted":
            image = self._shifted(image)
        return image.contiguous(memory_format=self._format)

    def read(self, image: Tensor, pictures: int) -> Output:
        """The answers of so many pictures."""
        for convolution in self.convolutions:
            image = F.relu(convolution(self._bordered(image, convolution)))
        if self.settings.periodicity == "circular":
            flat = image.flatten(2).mean(2)
        else:
            flat = image.reshape(pictures, -1)
        features = F.relu(self.hidden(flat))
        return Output(self.out(features), features)

    def _convolutions(self) -> list[nn.Module]:
        settings = self.settings
        convolution = nn.Conv2d if self.dimensions == 2 else nn.Conv3d
        between = [False] * settings.keeping_layers
        kinds = [True, *([*between, True] * (settings.reducing_layers - 1))]  # True: halves
        widths = [settings.reducing_filters if kind else settings.keeping_filters for kind in kinds]
        pairs = pairwise([self.drawing.channels, *widths])
        return [
            convolution(first, then, REDUCING if kind else KEEPING, stride=2 if kind else 1)
            for kind, (first, then) in zip(kinds, pairs, strict=True)
        ]

    def _bordered(self, image: Tensor, convolution: nn.Module) -> Tensor:
        """A border wide enough that sizes stay, or become half."""
        width = int(convolution.kernel_size[0])  # type: ignore[index]
        border = ((width - 1) // 2, width // 2) * self.dimensions
        if self.settings.periodicity == "circular":
            return F.pad(image, border, mode="circular")
        return F.pad(image, border)

    def _shifted(self, image: Tensor) -> Tensor:
        """All copies moved by half the image or not, along each axis.  # (pictures × copies, …)"""
        half, axes = self.settings.image.pixels // 2, tuple(range(2, 2 + self.dimensions))
        moves = product((0, half), repeat=self.dimensions)
        return torch.stack([image.roll(move, axes) for move in moves], 1).flatten(0, 1)

    @property
    def _format(self) -> torch.memory_format:
        return torch.channels_last if self.dimensions == 2 else torch.channels_last_3d


def _start(layer: nn.Module) -> None:
    """First weights that keep the size of what passes a ReLU; shapes alone have none."""
    if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear) and not layer.weight.is_meta:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

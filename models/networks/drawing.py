"""How atoms look: the representations, fixed or learned, as the first layer of a network."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from models.images import draw
from models.images.collate import Batch
from models.structures.composition import NUMBERS, SYMBOLS

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.image import ImageSettings

WIDTHS = tuple(count / 3 for count in range(1, 10))  # of the learned Gaussians, in pixels
RINGS = tuple(2.0 * count for count in range(7))  # radii of the learned rings, in pixels
ORDERS = (0, 1, 2, 3)  # of the circular harmonics
RADIUS = 1.4  # Å, where the harmonics look for neighbours


class Drawing(nn.Module):
    """A batch of pictures as images, one of every species or one for all."""

    weight: Tensor

    def __init__(self, settings: "ImageSettings") -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("weight", _weights(settings.species), persistent=False)
        species = self.weight.shape[1]
        shares = {"agr": len(WIDTHS), "displaced": len(RINGS)}.get(settings.representation)
        angular = settings.representation == "angular"
        self.channels = species * (1 + len(ORDERS)) if angular else species
        self.shares = nn.Parameter(_first_shares(species, shares)) if shares else None
        norm = nn.BatchNorm2d if settings.dimensions == 2 else nn.BatchNorm3d
        self.norm = norm(self.channels) if shares or angular else None

    def forward(self, batch: Batch) -> Tensor:
        """The images.  # (pictures, channels, pixels, pixels[, pixels])"""
        weight = self.weight[batch.numbers]  # (pictures, atoms, species)
        image: Tensor = getattr(self, f"_{self.settings.representation}")(batch, weight)
        if self.norm is not None:
            image = self.norm(image)
        return image + self.settings.bias if self.settings.bias else image

    def _gaussian(self, batch: Batch, weight: Tensor) -> Tensor:
        return draw.gaussians(batch, weight, batch.lengths.new_full((len(weight),), self._gamma))

    def _onehot(self, batch: Batch, weight: Tensor) -> Tensor:
        return draw.onehot(batch, weight)

    def _agr(self, batch: Batch, weight: Tensor) -> Tensor:
        side, shares = draw.pixel(batch), self._penalised()
        return torch.stack(
            [
                draw.gaussians(batch, weight * shares[:, at], width * side)
                for at, width in enumerate(WIDTHS)
            ]
        ).sum(0)

    def _displaced(self, batch: Batch, weight: Tensor) -> Tensor:
        side, shares, kernel = draw.pixel(batch), self._penalised(), torch.zeros(())
        reach = (RINGS[-1] + draw.FAR) * float(side.max())
        for place in draw.offsets(batch, reach):
            rows = side[: len(place)].view(-1, *(1,) * batch.dimensions)
            radius = place.norm(dim=1) / rows  # (boxes, pixels, pixels[, pixels]) in pixels
            rings = torch.stack([torch.exp(-0.5 * (radius - ring) ** 2) for ring in RINGS], 1)
            kernel = kernel + torch.einsum("cs,bs...->bc...", shares, rings)
        return draw.laid(draw.onehot(batch, weight), kernel, batch.dimensions)

    def _angular(self, batch: Batch, weight: Tensor) -> Tensor:
        side, image = draw.pixel(batch), draw.onehot(batch, weight)
        kernel = torch.zeros(())
        for place in draw.offsets(batch, RADIUS + draw.FAR * float(side.max())):
            radius, angle = place.norm(dim=1), torch.atan2(place[:, 1], place[:, 0])
            rows = side[: len(place)].view(-1, 1, 1)
            ring = torch.exp(-0.5 * ((radius - RADIUS) / rows) ** 2)
            # The middle has no angle: there only the order 0 has a value.
            waves = [torch.polar(ring * (radius > 0) if m else ring, m * angle) for m in ORDERS]
            kernel = kernel + torch.stack(waves, 1)  # (boxes, orders, pixels, pixels)
        power = draw.laid(image[:, :, None], kernel[:, None], batch.dimensions).abs().square()
        return torch.cat([self._gaussian(batch, weight), power.flatten(1, 2)], 1)

    @property
    def _gamma(self) -> float:
        return self.settings.gamma

    def _penalised(self) -> Tensor:
        assert self.shares is not None
        lasso = self.settings.lasso if self.training else 0.0
        if not lasso:
            return self.shares
        shares: Tensor = _Lasso.apply(self.shares, lasso)  # type: ignore[no-untyped-call]
        return shares


class _Lasso(torch.autograd.Function):
    """As if `weight` Σ|share| were added to the loss, whatever the loss is."""

    @staticmethod
    def forward(context: Any, shares: Tensor, weight: float) -> Tensor:
        """The shares themselves."""
        context.save_for_backward(shares)
        context.weight = weight
        return shares.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The loss's gradient, and the penalty's."""
        (shares,) = context.saved_tensors
        return gradients[0] + context.weight * shares.sign(), None


def _weights(species: tuple[str, ...]) -> Tensor:
    """What an atom adds to each image: 1 to its species', or its atomic number to the only one.

    # (elements, species)
    """
    numbers = np.arange(len(SYMBOLS), dtype=np.float32)[:, None]
    if not species:
        return torch.from_numpy(numbers)
    same = numbers == [NUMBERS[each] for each in species]
    return torch.from_numpy(same.astype(np.float32))


def _first_shares(species: int, count: int) -> Tensor:
    """Nine Gaussians of any shares; of the rings the innermost alone, which is a Gaussian."""
    if count == len(WIDTHS):
        return torch.empty(species, count).uniform_(0, 0.5)
    return torch.tensor([1.0] + [0.0] * (count - 1)).expand(species, -1).clone()

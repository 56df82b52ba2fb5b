"""Images of atoms: products of one-dimensional Gaussians, and kernels laid over pixels."""

from itertools import product
from math import ceil

import torch
from torch import Tensor

from models.images.collate import Batch

FAR = 6.0  # widths; beyond them a Gaussian is below 2e-8


def gaussians(batch: Batch, weight: Tensor, width: Tensor) -> Tensor:
    """Σ weight exp(-r²/2 width²) at the pixels' middles, all copies of a periodic box included.

    A Gaussian is the product of one along each axis: the sum over atoms is one matrix product.
    weight: (pictures, atoms, channels); width: (pictures,) Å  # (pictures, channels, pixels, pixels[, pixels])
    """
    rows, *others = _profiles(batch, width)  # (pictures, atoms, pixels) each
    right = weight
    for other in others:  # (pictures, atoms, channels, pixels[, pixels])
        right = right[..., None] * other.view(*other.shape[:2], *(1,) * (right.ndim - 2), -1)
    image = torch.bmm(rows.transpose(1, 2), right.flatten(2))
    return image.view(len(image), batch.pixels, *right.shape[2:]).movedim(2, 1)


def onehot(batch: Batch, weight: Tensor) -> Tensor:
    """The weight of the atoms in each pixel.  # (pictures, channels, pixels, pixels[, pixels])"""
    size, dimensions = batch.pixels, batch.dimensions
    places = (batch.fractional * size).floor().long()
    places = places % size if batch.periodic else places.clamp(0, size - 1)
    steps = torch.tensor([size**at for at in reversed(range(dimensions))], device=places.device)
    index = (places * steps).sum(2, keepdim=True)  # (pictures, atoms, 1)
    flat = weight.new_zeros(len(weight), size**dimensions, weight.shape[2])
    flat = flat.scatter_add(1, index.expand_as(weight), weight)
    return flat.movedim(2, 1).reshape(len(weight), -1, *(size,) * dimensions)


def pixel(batch: Batch) -> Tensor:
    """The side of a pixel, the geometric mean where sides differ.  # (pictures,) Å"""
    return (batch.lengths / batch.pixels).log().mean(1).exp()


def offsets(batch: Batch, reach: float) -> list[Tensor]:
    """Where each pixel lies as seen from the first one, for kernels laid over the image.

    An open image is doubled, so that nothing comes in again at the other side. Of a periodic one there is one list
    entry a copy that is nearer than `reach` (Å).  # (boxes, dimensions, pixels, pixels[, pixels]) Å; one box if all are alike
    """
    lengths = batch.lengths
    if (lengths == lengths[0]).all():
        lengths = lengths[:1]
    count = batch.pixels if batch.periodic else 2 * batch.pixels
    place = torch.arange(count, device=lengths.device)
    place = (place + count // 2) % count - count // 2  # 0, 1, …, -2, -1
    sides = (lengths / batch.pixels)[:, :, None] * place  # (boxes, dimensions, count)
    copies = _copies(batch, reach) if batch.periodic else 0
    found = []
    for shift in product(range(-copies, copies + 1), repeat=batch.dimensions):
        moved = sides + (lengths * lengths.new_tensor(shift))[:, :, None]
        axes = [
            moved[:, at].view(-1, *(count if at == axis else 1 for axis in range(batch.dimensions)))
            for at in range(batch.dimensions)
        ]
        whole = [each.expand(-1, *(count,) * batch.dimensions) for each in axes]
        found.append(torch.stack(whole, 1))
    return found


def laid(image: Tensor, kernel: Tensor, dimensions: int) -> Tensor:
    """The kernel laid over every pixel; an image smaller than the kernel has nothing around it.

    kernel: (boxes, …, pixels, pixels[, pixels]), real or complex, as `offsets` orders them
    """
    axes = tuple(range(-dimensions, 0))
    sizes, size = kernel.shape[-dimensions:], image.shape[-1]
    waves = torch.fft.fftn(image, sizes, dim=axes) * torch.fft.fftn(kernel, dim=axes)
    whole: Tensor = torch.fft.ifftn(waves, dim=axes)[(..., *(slice(size),) * dimensions)]
    return whole if kernel.is_complex() else whole.real


def _profiles(batch: Batch, width: Tensor) -> tuple[Tensor, ...]:
    """exp(-x²/2 width²) along each axis.  # (pictures, atoms, pixels) each

    Made only near each atom, then added to its row; in a periodic box whatever runs out at one end comes in at the other.
    """
    size = batch.pixels
    sides = batch.lengths / size / width[:, None]  # of a pixel, in widths
    reach = ceil(FAR / float(sides.min()))
    window = torch.arange(-reach, reach + 1, device=width.device)
    place = batch.fractional * size
    own = place.floor()
    away = (window + 0.5) - (place - own)[..., None]  # (pictures, atoms, dimensions, window)
    near = away.mul_(sides[:, None, :, None]).square_().mul_(-0.5).exp_()
    pixel_ = own.long()[..., None] + window
    if batch.periodic:
        pixel_ %= size
    else:
        near *= (pixel_ >= 0) & (pixel_ < size)
        pixel_.clamp_(0, size - 1)
    rows = near.new_zeros(*own.shape, size)
    return rows.scatter_add_(3, pixel_, near).unbind(2)


def _copies(batch: Batch, reach: float) -> int:
    """Copies of the box to either side of the nearest that come nearer than `reach`."""
    return max(0, ceil(reach / float(batch.lengths.min()) - 0.5))

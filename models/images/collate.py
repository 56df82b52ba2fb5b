"""Many pictures as one: tensors as long as the picture with most atoms, the rest of number 0."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from models.images.picture import Picture


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Boxes of as many pixels each."""

    numbers: Tensor  # (pictures, atoms) 0 where there is none
    fractional: Tensor  # (pictures, atoms, dimensions) of the box
    lengths: Tensor  # (pictures, dimensions) Å
    pixels: int
    periodic: bool

    @property
    def dimensions(self) -> int:
        """Two or three."""
        return self.lengths.shape[1]

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        return replace(
            self,
            numbers=self.numbers.to(device, non_blocking=True),
            fractional=self.fractional.to(device, non_blocking=True),
            lengths=self.lengths.to(device, non_blocking=True),
        )


def collate(pictures: Sequence[Picture]) -> Batch:
    """Join pictures; all are of one model's settings."""
    first = pictures[0]
    atoms = max(picture.n_sites for picture in pictures)
    numbers = np.zeros((len(pictures), atoms), np.int64)
    fractional = np.zeros((len(pictures), atoms, first.dimensions), np.float32)
    for at, picture in enumerate(pictures):
        numbers[at, : picture.n_sites] = picture.numbers
        fractional[at, : picture.n_sites] = picture.fractional
    return Batch(
        torch.from_numpy(numbers),
        torch.from_numpy(fractional),
        torch.from_numpy(np.stack([picture.lengths for picture in pictures])),
        first.pixels,
        first.periodic,
    )

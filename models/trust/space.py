"""The networks' vectors of whole structures, and which training structures lie nearest."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

AXES = 16  # directions in which vectors differ most
FLAT = 1e-3  # of the largest deviation: directions of less tell nothing
SEARCHED = 1_000  # by every answer; of images, or for neighbours, all that are kept
AROUND = 8  # neighbours that an answer's difficulty follows from
CHUNK = 256  # queries at once
FARTHEST = 1e6  # more is as much


@dataclass(frozen=True, eq=False)
class Space:
    """Training structures in an order by chance; distances are those of whitened vectors.

    All in double precision, in which no distance depends on how many are asked for at once.
    """

    mean: Tensor  # (width,)
    turn: Tensor  # (width, axes)
    kept: Tensor  # (structures, axes)
    whole: bool = False  # whether every answer searches all of these

    def places(self, features: Tensor) -> Tensor:
        """Where vectors of a network lie.  # (n, axes)"""
        return (features.double() - self.mean) @ self.turn

    def nearest(
        self, places: Tensor, count: int, *, all_of_them: bool = False, own: Integers | None = None
    ) -> tuple[Floats, Integers]:
        """Distances and numbers of the nearest, the nearest first; `own` are the numbers of the places themselves.

        # (n, count) both
        """
        some = slice(None if self.whole or all_of_them else SEARCHED)
        known, squares = self.kept[some], self._squares[some]
        wanted = min(count + (own is not None), len(known))
        found = [_nearest(each, known, squares, wanted) for each in torch.split(places, CHUNK)]
        distance = (
            torch.cat([one[0] for one in found]).nan_to_num(FARTHEST).clamp(0, FARTHEST).numpy()
        )
        which = torch.cat([one[1] for one in found]).numpy()
        if own is None:
            return distance, which
        # One that is not among those searched loses its last neighbour instead.
        order = np.argsort(which == own[:, None], axis=1, kind="stable")[:, : max(1, wanted - 1)]
        return np.take_along_axis(distance, order, 1), np.take_along_axis(which, order, 1)

    @cached_property
    def _squares(self) -> Tensor:
        return (self.kept**2).sum(1)


def fitted(features: Tensor, kept: Integers, *, whole: bool) -> Space:
    """From the vectors of training structures, of which some are kept.  # features: (structures, width)"""
    mean = features.double().mean(0)
    centred = features.double() - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(features))
    deviation = values.clamp_min(0).sqrt().flip(0)[:AXES]
    axes = int((deviation > FLAT * deviation[0]).sum()) or 1
    turn = vectors.flip(1)[:, :axes] / deviation[:axes].clamp_min(1e-12)
    # As the file keeps them.
    space = Space(mean.float().double(), turn.float().double(), torch.zeros(0))
    return Space(space.mean, space.turn, space.places(features[kept]).half().double(), whole)


def _nearest(places: Tensor, known: Tensor, squares: Tensor, count: int) -> tuple[Tensor, Tensor]:
    apart = torch.addmm(squares, places, known.T, beta=1, alpha=-2)
    found = apart.topk(count, largest=False)
    distance = (found.values + (places**2).sum(1, keepdim=True)).clamp_min(0).sqrt()
    return distance, found.indices

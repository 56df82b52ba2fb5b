"""Targets of mean 0 and deviation 1, which networks learn better than raw values."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Normaliser:
    """value = mean + std × output"""

    mean: Tensor  # (targets,)
    std: Tensor  # (targets,)

    def normalised(self, values: Tensor) -> Tensor:
        """What the network should give out."""
        return (values - self.mean) / self.std

    def values(self, outputs: Tensor) -> Tensor:
        """What the network's outputs mean."""
        return outputs * self.std + self.mean


def fit(targets: NDArray[np.float64]) -> Normaliser:
    """From the labels of the training rows.  # (rows, targets)"""
    mean, std = np.nanmean(targets, axis=0), np.nanstd(targets, axis=0)
    std = np.where(std > 1e-12, std, 1.0)  # all labels alike
    return Normaliser(*(torch.tensor(each, dtype=torch.float32) for each in (mean, std)))

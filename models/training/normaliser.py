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
    """From the labels of the training rows; NaN is none.  # (rows, targets)"""
    columns = [column[np.isfinite(column)] for column in targets.T]
    mean = [column.mean() if len(column) else 0.0 for column in columns]
    std = [column.std() if len(column) else 0.0 for column in columns]
    most = [np.abs(column).max() if len(column) else 0.0 for column in columns]
    alike = [each <= 1e-12 * size for each, size in zip(std, most, strict=True)]
    std = [1.0 if same else each for each, same in zip(std, alike, strict=True)]
    return Normaliser(*(torch.tensor(each, dtype=torch.float32) for each in (mean, std)))

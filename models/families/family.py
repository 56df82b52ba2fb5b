"""What a family must be able to do; each is a module of functions."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.networks.readout import Output

Values = NDArray[np.float64]


class Batch(Protocol):
    """Samples collated."""

    def to(self, device: torch.device) -> Self:
        """The same on another device."""


Network = Callable[[Any], Output]  # of several members, which come first in all its tensors


class Family(Protocol):
    """Samples in, rows of values out: `sizes` rows a sample, one column an output."""

    def sizes(self, samples: Sequence[Any]) -> NDArray[np.int64]:
        """How many rows of `Output.values` each sample has."""

    def collate(self, samples: Sequence[Any]) -> Batch:
        """Many samples as one."""

    def build(self, settings: Any) -> nn.Module:
        """A new network, which maps a batch to an Output."""

    def ready(self, networks: Sequence[nn.Module], device: torch.device) -> Network:
        """The trained members arranged for answering on this device."""

    def told(self, sample: Any, values: Values) -> tuple[float, ...]:
        """What a model answers for a sample, flat (see `Kind.answers`).  # values: (size, targets)"""

    def spread(self, sample: Any, values: Values, deviations: Values) -> tuple[float, ...]:
        """The members' deviations, one for each number of `told` that is an answer."""


def family(name: str) -> Family:
    """The family of this name."""
    return cast("Family", import_module(f"models.families.{name}"))


def sketch(name: str, settings: Any) -> nn.Module:
    """A network of shapes alone: whatever the settings ask for, it takes no memory."""
    with torch.device("meta"):
        return family(name).build(settings)

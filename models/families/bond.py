"""The bond family: a row of values for each site that the adsorbate may bind to."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.families.family import Network, Values
from models.networks.bond import BondNetwork
from models.networks.together import in_double, stacked
from models.slabs.collate import collate_slabs as collate
from models.slabs.slab import BONDS, Slab
from models.training.dataset import Labels

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.settings.network import BondNetworkSettings

__all__ = ["build", "collate", "labels", "ready", "sizes", "spread", "told"]


def sizes(samples: Sequence[Slab]) -> NDArray[np.int64]:
    """One row a candidate."""
    return np.array([len(sample.candidate) for sample in samples], np.int64)


def build(settings: "BondNetworkSettings") -> BondNetwork:
    """CGCNN with a read-out of pairs."""
    return BondNetwork(settings)


def ready(networks: Sequence[nn.Module], device: torch.device) -> Network:
    """On a CPU in double precision, in which no answer depends on its company; slabs are small."""
    return in_double(networks) if device.type == "cpu" else stacked(networks, device)


def told(sample: Slab, values: Values) -> tuple[float, ...]:
    """The shortest distances, the sites they lead to, and the adsorbate's site."""
    first = _shortest(values)
    return (
        *values[first, 0].tolist(),
        *sample.candidate[first].astype(float).tolist(),
        float(sample.anchor),
    )


def spread(sample: Slab, values: Values, deviations: Values) -> tuple[float, ...]:  # noqa: ARG001
    """Those of the shortest distances."""
    return tuple(deviations[_shortest(values), 0].tolist())


def _shortest(values: Values) -> NDArray[np.int64]:
    """Which candidates are bound; among equals the one that was nearer before."""
    distances = values[:, 0]
    return np.lexsort((np.arange(len(distances)), np.round(distances, 6)))[:BONDS]


def labels(
    samples: Sequence[Slab],
    partners: Sequence[Sequence[float]],
    distances: Sequence[Sequence[float]],
) -> tuple[Labels, int]:
    """What relaxation made of each candidate, and how many partners were not among the candidates.

    Of candidates that are no partner it is only known that they end no nearer than the last of them. A partner
    that is no candidate has no row: more `candidates` find it.
    """
    columns = [_of_one(*each) for each in zip(samples, partners, distances, strict=True)]
    values = np.concatenate([one[0] for one in columns])
    bound = np.concatenate([one[1] for one in columns])
    first = np.concatenate([[0], np.cumsum(sizes(samples))])
    missed = sum(one[2] for one in columns)
    return Labels(values[:, None], first, bound[:, None]), missed


def _of_one(
    sample: Slab, partners: Sequence[float], distances: Sequence[float]
) -> tuple[Values, NDArray[np.bool_], int]:
    values = np.full(len(sample.candidate), np.nan)
    if not len(distances) or not np.isfinite([*distances, *partners]).all():
        return values, np.zeros(len(values), bool), 0  # not labelled
    values[:] = max(distances)
    bound = np.ones(len(values), bool)
    missed = 0
    for distance, site in sorted(zip(distances, partners, strict=True)):
        # Of several images of a site the nearest is the first to be taken.
        free = np.flatnonzero((sample.candidate == site) & bound)
        if len(free):
            values[free[0]], bound[free[0]] = distance, False
        else:
            missed += 1
    return values, bound, missed

"""Many slabs as one: the graph's batch, and a row for each pair of adsorbate and candidate."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.graphs.collate import Batch, collate
from models.slabs.slab import Slab


@dataclass(frozen=True, slots=True, eq=False)
class SlabBatch(Batch):
    """Rows of bonds are sorted by slab."""

    angle: Tensor  # (edges,)
    anchor: Tensor  # (slabs,) site
    slab: Tensor  # (bonds,)
    candidate: Tensor  # (bonds,) site
    initial: Tensor  # (bonds,) Å


def collate_slabs(slabs: Sequence[Slab]) -> SlabBatch:
    """Join slabs; each keeps its sites, edges and candidates in order."""
    batch = collate([slab.graph for slab in slabs])
    first = batch.first_site.numpy()
    bonds = np.array([len(slab.candidate) for slab in slabs])
    candidate = np.concatenate([slab.candidate for slab in slabs]) + np.repeat(first, bonds)
    return SlabBatch(
        **{each.name: getattr(batch, each.name) for each in fields(batch)},
        angle=_tensor(np.concatenate([slab.angle for slab in slabs])),
        anchor=_tensor(first + np.array([slab.anchor for slab in slabs])),
        slab=_tensor(np.repeat(np.arange(len(slabs)), bonds)),
        candidate=_tensor(candidate),
        initial=_tensor(np.concatenate([slab.initial for slab in slabs])),
    )


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))

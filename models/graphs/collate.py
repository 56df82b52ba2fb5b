"""Many graphs as one: flat tensors, with an index that tells whose each row is."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.graphs.graph import Graph


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Sites are sorted by crystal, edges by their centre."""

    numbers: Tensor  # (sites,) atomic numbers
    crystal: Tensor  # (sites,)
    first_site: Tensor  # (crystals,)
    n_sites: Tensor  # (crystals,) float
    first_edge: Tensor  # (sites,)
    centre: Tensor  # (edges,)
    neighbour: Tensor  # (edges,)
    distance: Tensor  # (edges,) Å
    weight: Tensor | None  # (edges,)
    degree: int  # edges of every site; 0 where they differ

    @property
    def n_crystals(self) -> int:
        """Graphs in this batch."""
        return len(self.n_sites)

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        moved: dict[str, Any] = {
            each.name: value.to(device, non_blocking=True)
            for each in fields(self)
            if isinstance(value := getattr(self, each.name), Tensor)
        }
        return replace(self, **moved)


def collate(graphs: Sequence[Graph]) -> Batch:
    """Join graphs; each keeps its sites and edges in order."""
    indices = [graph.index for graph in graphs]
    sites = np.array([len(graph.numbers) for graph in graphs])
    first_site = np.cumsum(sites) - sites
    counts = np.concatenate([graph.counts for graph in graphs])
    neighbour = np.concatenate(indices, dtype=np.int64)
    neighbour += np.repeat(first_site, [len(index) for index in indices])
    degree = int(counts[0]) if (counts == counts[0]).all() else 0
    return Batch(
        numbers=_tensor(np.concatenate([graph.numbers for graph in graphs], dtype=np.int64)),
        crystal=_tensor(np.repeat(np.arange(len(graphs)), sites)),
        first_site=_tensor(first_site),
        n_sites=_tensor(sites.astype(np.float32)),
        first_edge=_tensor(np.cumsum(counts, dtype=np.int64) - counts),
        centre=_tensor(np.repeat(np.arange(len(counts)), counts)),
        neighbour=_tensor(neighbour),
        distance=_tensor(np.concatenate([graph.distance for graph in graphs])),
        weight=_weights(graphs),
        degree=degree,
    )


def _weights(graphs: Sequence[Graph]) -> Tensor | None:
    if all(graph.weight is None for graph in graphs):
        return None
    return _tensor(
        np.concatenate(
            [
                np.ones(graph.n_edges, np.float32) if graph.weight is None else graph.weight
                for graph in graphs
            ]
        )
    )


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))

"""A small network that tells by how much a structure is strained: learned from the training crystals themselves.

Their distances are stretched or shaken by known amounts, and the network learns to tell these from what it sees.
No label is needed. On a crystal at rest it answers about zero; what it answers beyond that is how far the distances
are from those of the crystals it knows, atoms and surroundings being what they are.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.families import crystal
from models.graphs.collate import Batch, collate
from models.graphs.graph import Graph
from models.networks.crystal import CrystalNetwork
from models.slabs.slab import Slab
from models.training.optimiser import Optimiser

STRETCH = 0.12  # logarithm of lengths, at most
SHAKE = 0.3  # Å, standard deviation of places, at most
SHORTEST = 0.3  # Å
STEPS = 2_500
EPOCHS = 100
STEP_EDGES = 8_000
STEP_GRAPHS = 64
RATE, DECAY, CLIP = 1e-2, 0.02, 1.0
FOLLOW = 0.01  # the average's share of each step


@dataclass(frozen=True, slots=True)
class GaugeSettings:
    """As `NetworkSettings` has them; those need pydantic."""

    convolution: Literal["gated"] = "gated"
    convolutions: int = 2
    width: int = 48
    elements: Literal["categories"] = "categories"
    edge_features: Literal["gaussian"] = "gaussian"
    edge_start: float = 0.0
    edge_stop: float = 8.0
    edge_step: float = 0.2
    readout: Literal["linear"] = "linear"
    site_layers: int = 1
    hidden_layers: int = 0
    hidden_width: int = 1
    task: Literal["regression"] = "regression"
    outputs: int = 2


State = dict[str, Tensor]


def collated(samples: Sequence[Any]) -> Batch:
    """Graphs, or the graphs of slabs, as one."""
    return collate([each.graph if isinstance(each, Slab) else each for each in samples])


def build(settings: GaugeSettings | None = None) -> CrystalNetwork:
    """Of first weights by chance."""
    return CrystalNetwork(settings or GaugeSettings())  # type: ignore[arg-type]


def settings_of(state: Mapping[str, Any]) -> GaugeSettings:
    """Of a gauge with these weights: there were smaller ones."""
    convolutions = sum(name.endswith(".site.bias") for name in state)
    (width,) = state["embedding.bias"].shape
    return GaugeSettings(convolutions=convolutions, width=width)


def trained(graphs: Sequence[Graph], seed: int = 0) -> State:
    """The weights of a gauge that has learned from these graphs; half a minute at most."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build()
        average = _learned(network, graphs, np.random.default_rng(seed))
    return weights(average)


def weights(network: nn.Module) -> State:
    """All that is learned, matrices in half precision; BatchNorm's counters are not."""
    return {
        name: value.half() if value.ndim == 2 else value
        for name, value in network.state_dict().items()
        if value.is_floating_point()
    }


def ready(state: State, device: torch.device) -> Callable[[Any], Tensor]:
    """Maps a batch of graphs to stretch and shake.  # (structures, 2)"""
    network = build(settings_of(state))
    network.load_state_dict(state, strict=False)
    arranged = crystal.ready([network.eval()], device)
    return lambda batch: arranged(batch).values[0].float().cpu() * _SCALE


def _learned(network: nn.Module, graphs: Sequence[Graph], chance: np.random.Generator) -> nn.Module:
    average = deepcopy(network)
    optimiser = Optimiser(network.parameters(), rate=RATE, decay=DECAY)
    edges = float(np.mean([graph.n_edges for graph in graphs]))
    size = int(np.clip(STEP_EDGES / edges, min(4, len(graphs)), STEP_GRAPHS))
    steps = min(STEPS, EPOCHS * -(-len(graphs) // size))
    network.train()
    for step in range(steps):
        share = (1 + np.cos(np.pi * step / steps)) / 2 * min(1.0, (step + 1) / (0.1 * steps + 1))
        optimiser.rate = RATE * share
        rows = chance.choice(len(graphs), min(size, len(graphs)), replace=False)
        batch, wanted = strained(collate([graphs[row] for row in rows]), chance)
        loss = F.huber_loss(network(batch).values, wanted / _SCALE)
        network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        _follow(average, network, max(FOLLOW, 1 / (step + 1)))
    return average.eval()


_SCALE = torch.tensor([STRETCH, SHAKE])


def strained(batch: Batch, chance: np.random.Generator) -> tuple[Batch, Tensor]:
    """The same, each structure stretched and half of them shaken by chance; and by how much.  # (structures, 2)"""
    count = batch.n_crystals
    stretch = chance.uniform(-STRETCH, STRETCH, count)
    shake = chance.uniform(0, SHAKE, count) * (chance.random(count) < 0.5)
    wanted = torch.tensor(np.stack([stretch, shake], 1), dtype=torch.float32)
    owner = batch.crystal[batch.centre]
    noise = torch.from_numpy(chance.normal(size=len(owner)).astype(np.float32))
    # Both ends of an edge move.
    distance = batch.distance + noise * (2**0.5 * wanted[:, 1])[owner]
    distance = distance.clamp_min(SHORTEST) * wanted[:, 0].exp()[owner]
    return replace(batch, distance=distance), wanted


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, share: float) -> None:
    for mean, now in zip(average.parameters(), network.parameters(), strict=True):
        mean.data.lerp_(now, share)
    for figure, present in zip(average.buffers(), network.buffers(), strict=True):
        figure.data.copy_(present)

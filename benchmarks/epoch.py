"""A training epoch against the plain, unfactorised formulation, everything cached, on one thread of a CPU.

Run: python -m benchmarks.epoch --data FOLDER [--rows 7613]. Looks for perov_5_partial and mp_cgcnn_elastic_3k.
The plain network keeps its features ready expanded, flushes subnormal numbers and takes a bare step of SGD; ours
joins edges that are alike and expands the distances anew, and does all that a training does: gathering, clipping, AdamW, averaging the weights.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.pairs import compare
from benchmarks.plain import PlainNetwork, cached
from benchmarks.rows import read
from models.errors import InputError
from models.families.family import family
from models.graphs.collate import collate
from models.graphs.featurise import featurise
from models.graphs.graph import Graph
from models.infer import prepare_process
from models.settings.graph import GraphSettings, Ties
from models.settings.network import NetworkSettings
from models.settings.training import TrainingSettings
from models.structures.structure import Structure
from models.training.dataset import Dataset, Labels
from models.training.loop import Training
from models.training.split import Split

BAR = 5  # times as fast


@dataclass(frozen=True, slots=True)
class Task:
    """A set and how it is learned."""

    data: str
    target: str
    batch: int
    hidden: int
    bar: float | None = None


TASKS = (
    Task("perov_5_partial", "heat_all", batch=256, hidden=128, bar=BAR),
    Task("mp_cgcnn_elastic_3k", "formation_energy_per_atom", batch=32, hidden=128),
)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=7613, help="crystals of an epoch, at most")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    prepare_process()
    for task in TASKS:
        rows = list(islice(read(given.data, task.data), given.rows))
        plain = list(_graphs([row.structure for row in rows], Ties.RELEASED))
        values = [[float(row.figures[task.target])] for row in rows]
        for ties in (Ties.RELEASED, Ties.SHELL):
            ours = (
                plain if ties is Ties.RELEASED else _graphs([row.structure for row in rows], ties)
            )
            both = [(a, b, c) for a, b, c in zip(plain, ours, values, strict=True) if a and b]
            _compare(task, ties, both, given.rounds)


def _graphs(structures: list[Structure], ties: Ties) -> Iterator[Graph | None]:
    for structure in structures:
        try:
            yield featurise(structure, GraphSettings(ties=ties))
        except InputError:  # a site without neighbours
            yield None


def _compare(
    task: Task, ties: Ties, rows: list[tuple[Graph, Graph, list[float]]], rounds: int
) -> None:
    plain, graphs, values = zip(*rows, strict=True)
    targets = np.array(values)
    network = PlainNetwork(64, 3, task.hidden)
    optimiser = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    wanted = torch.tensor((targets - targets.mean()) / targets.std(), dtype=torch.float32)
    caches = [
        (cached(collate(plain[start : start + task.batch])), wanted[start : start + task.batch])
        for start in range(0, len(plain), task.batch)
    ]
    data = Dataset(graphs, Labels.one_a_row(targets), family("crystal"))
    none = np.array([], int)
    everything = Split(np.arange(len(data)), none, none)
    settings = TrainingSettings(epochs=100, batch_size=task.batch)
    shape = NetworkSettings(convolutions=3, width=64, hidden_width=task.hidden)
    training = Training(data, everything, shape, settings).run()

    def slow() -> None:
        network.train()
        for cache, labels in caches:
            optimiser.zero_grad()
            F.mse_loss(network(cache), labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    what = f"epoch, {task.data}, {ties}, batch of {task.batch}"
    compare(what, slow, lambda: next(training), len(data), rounds=rounds, bar=task.bar)


if __name__ == "__main__":
    main()

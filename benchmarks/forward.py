"""Forward pass and training epoch against the plain network without flush-denormal, on one thread of a CPU.

Run: python -m benchmarks.forward --data FOLDER [--rows 2048]. What subnormal numbers cost the plain network is a
matter of the processor: a factor of two to four on some, nothing on others. It is printed on its own.
"""

import argparse
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.pairs import compare
from benchmarks.plain import PlainNetwork, cached
from benchmarks.rows import read
from models.families.family import family
from models.graphs.collate import collate
from models.graphs.featurise import featurise
from models.graphs.graph import Graph
from models.infer import prepare_process
from models.networks.crystal import CrystalNetwork
from models.networks.folded import FoldedNetwork
from models.settings.graph import GraphSettings, Ties
from models.settings.network import NetworkSettings
from models.settings.training import TrainingSettings
from models.training.dataset import Dataset, Labels
from models.training.loop import Training
from models.training.split import Split

BATCH = 256
FORWARD_BAR, TRAINING_BAR = 3, 5  # times as fast
PUBLISHED = NetworkSettings(convolutions=4, width=64, hidden_width=32)
TRAINED = NetworkSettings(convolutions=3, width=64, hidden_width=128)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2048, help="perovskites of a training epoch")
    given = parser.parse_args()
    prepare_process()
    some = list(islice(read(given.data, "perov_5_partial"), given.rows))
    targets = np.array([[row.figures["heat_all"]] for row in some], float)
    for ties in (Ties.RELEASED, Ties.SHELL):
        settings = GraphSettings(ties=ties)
        graphs = [featurise(row.structure, settings) for row in some]
        plain = [featurise(row.structure, GraphSettings(ties=Ties.RELEASED)) for row in some]
        _forward(ties, graphs[:BATCH], plain[:BATCH])
        _epoch(ties, Dataset(graphs, Labels.one_a_row(targets), family("crystal")), plain)


def _forward(ties: Ties, graphs: list[Graph], plain: list[Graph]) -> None:
    reference = PlainNetwork(64, 4, 32).eval()
    ours = FoldedNetwork(CrystalNetwork(PUBLISHED))
    torch.set_flush_denormal(False)
    cache = cached(collate(plain))

    def slow() -> None:
        torch.set_flush_denormal(False)
        with torch.inference_mode():
            reference(cache)

    def flushed() -> None:
        torch.set_flush_denormal(True)
        with torch.inference_mode():
            reference(cache)

    def quick() -> None:
        torch.set_flush_denormal(True)
        with torch.inference_mode():
            for start in range(0, len(graphs), 128):
                ours(collate(graphs[start : start + 128]))

    what = f"forward, {ties}, batch of {BATCH}, with collating"
    compare(what, slow, quick, len(graphs), rounds=15, bar=FORWARD_BAR)
    compare("of this, by flush-denormal alone", slow, flushed, len(graphs), rounds=15)


def _epoch(ties: Ties, data: Dataset, plain: list[Graph]) -> None:
    network = PlainNetwork(64, 3, 128)
    optimiser = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    wanted = torch.tensor(data.labels.values, dtype=torch.float32)
    torch.set_flush_denormal(False)
    caches = [
        (cached(collate(plain[start : start + BATCH])), wanted[start : start + BATCH])
        for start in range(0, len(plain), BATCH)
    ]
    everything = Split(np.arange(len(data)), np.array([], int), np.array([], int))
    settings = TrainingSettings(epochs=1, batch_size=BATCH)

    def slow() -> None:
        torch.set_flush_denormal(False)
        network.train()
        for cache, labels in caches:
            optimiser.zero_grad()
            F.mse_loss(network(cache), labels).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def quick() -> None:
        torch.set_flush_denormal(True)
        list(Training(data, everything, TRAINED, settings).run())

    what = f"training epoch, {ties}, {len(data)} perovskites"
    compare(what, slow, quick, len(data), rounds=3, bar=TRAINING_BAR)


if __name__ == "__main__":
    main()

"""The forward pass against the plain network without flush-denormal, on one thread of a CPU.

Run: python -m benchmarks.forward --data FOLDER What subnormal numbers cost the plain network is a
matter of the processor: a factor of two to four on some, nothing on others. It is printed on its own.
"""

import argparse
from itertools import islice
from pathlib import Path

import torch

from benchmarks.pairs import compare
from benchmarks.plain import PlainNetwork, cached
from benchmarks.rows import read
from models.graphs.collate import collate
from models.graphs.featurise import featurise
from models.graphs.graph import Graph
from models.infer import prepare_process
from models.networks.crystal import CrystalNetwork
from models.networks.together import arranged
from models.settings.graph import GraphSettings, Ties
from models.settings.network import NetworkSettings

BATCH = 256
FORWARD_BAR = 3  # times as fast
PUBLISHED = NetworkSettings(convolutions=4, width=64, hidden_width=32)


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    prepare_process()
    some = list(islice(read(given.data, "perov_5_partial"), BATCH))
    for ties in (Ties.RELEASED, Ties.SHELL):
        settings = GraphSettings(ties=ties)
        graphs = [featurise(row.structure, settings) for row in some]
        plain = [featurise(row.structure, GraphSettings(ties=Ties.RELEASED)) for row in some]
        _forward(ties, graphs, plain)


def _forward(ties: Ties, graphs: list[Graph], plain: list[Graph]) -> None:
    reference = PlainNetwork(64, 4, 32).eval()
    ours = arranged([CrystalNetwork(PUBLISHED)], torch.device("cpu"))
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


if __name__ == "__main__":
    main()

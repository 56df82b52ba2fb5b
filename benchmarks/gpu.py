"""Forward passes and training on a GPU, and on the CPU beside it; needs torch and numpy only.

Run: python -m benchmarks.gpu [--crystals 4096] [--sites 20]. Without a GPU the CPU alone is measured. The graphs
are made up here: a bare machine has no data and no parser.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from models.families.family import family
from models.graphs.graph import Graph
from models.infer import Resident, prepare_process
from models.networks.crystal import CrystalNetwork
from models.training.dataset import Dataset, Labels
from models.training.loop import Training
from models.training.split import Split

# Settings by their names: the classes that check them need pydantic, which a bare machine has not.
NETWORK: Any = SimpleNamespace(
    convolution="gated",
    convolutions=4,
    width=64,
    elements="categories",
    readout="mean",
    site_layers=0,
    hidden_layers=1,
    hidden_width=32,
    edge_features="gaussian",
    edge_start=0.0,
    edge_stop=8.0,
    edge_step=0.2,
    task="regression",
    outputs=1,
)
TRAINING: Any = SimpleNamespace(
    optimiser="adamw",
    schedule="one-cycle",
    epochs=4,
    batch_size=256,
    learning_rate=3e-3,
    warm_up=0.1,
    weight_decay=1e-4,
    loss="absolute",
    average=0.99,
    clip=5.0,
    keep="best",
    patience=None,
    target_weights=None,
)
CARD: Any = SimpleNamespace(
    id="bench@1",
    family="crystal",
    classifies=False,
    network=NETWORK,
    targets=(SimpleNamespace(mean=0.0, std=1.0),),
)


def main() -> None:
    """Print crystals a second, and how far the devices' answers are apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crystals", type=int, default=4096)
    parser.add_argument("--sites", type=int, default=20)
    given = parser.parse_args()
    prepare_process()
    graphs = made_up(given.crystals, given.sites)
    wanted = _forward("cpu", "float32", graphs[:256], None)
    _train("cpu", graphs[:256])
    if not torch.cuda.is_available():
        print("no GPU: nothing more to measure")
        return
    print(torch.cuda.get_device_name(0))
    for precision in ("float32", "bfloat16"):
        _forward("cuda:0", precision, graphs, wanted)
    _train("cuda:0", graphs)
    _overflow(graphs)


def made_up(crystals: int, sites: int) -> list[Graph]:
    """Graphs of about so many sites, 12 to 18 edges a site."""
    chance = np.random.default_rng(0)
    found = []
    for _ in range(crystals):
        size = int(chance.integers(max(1, sites // 2), sites * 3 // 2 + 1))
        counts = chance.integers(12, 19, size).astype(np.int32)
        edges = int(counts.sum())
        found.append(
            Graph(
                chance.integers(1, 84, size).astype(np.uint8),
                counts,
                chance.integers(0, size, edges).astype(np.int32),
                chance.uniform(1.5, 5, edges).astype(np.float32),
                chance.uniform(0, 1, edges).astype(np.float32),
            )
        )
    return found


def _resident(device: str, precision: str) -> Resident:
    torch.manual_seed(0)
    return Resident(CARD, [CrystalNetwork(NETWORK)], torch.device(device), precision)


def _forward(
    device: str, precision: str, graphs: list[Graph], wanted: np.ndarray | None
) -> np.ndarray:
    model = _resident(device, precision)
    answers = [answer.values[0] for answer in model.answer(graphs)]
    for edges in (20_000, 200_000, 2_000_000):
        took = _median(lambda: model.answer(graphs, batch_edges=edges))  # noqa: B023
        print(
            f"{device} {precision} batch_edges {edges:9,}: {len(graphs) / took:10,.0f} crystals/s"
        )
    one = _median(lambda: model.answer(graphs[:1]), 20)
    print(f"{device} {precision} one crystal: {one * 1e3:.2f} ms")
    if wanted is not None:
        gap = np.abs(np.array(answers[: len(wanted)]) - wanted).max()
        print(f"{device} {precision} largest difference to the CPU: {gap:.1e}")
    return np.array(answers)


def _train(device: str, graphs: list[Graph]) -> None:
    data = Dataset(
        graphs,
        Labels.one_a_row(np.random.default_rng(1).normal(size=(len(graphs), 1))),
        family("crystal"),
    )
    none = np.array([], np.int64)
    parts = Split(np.arange(len(graphs)), none, none)
    training = Training(data, parts, NETWORK, TRAINING, torch.device(device))
    took = statistics.median(report.duration_s for report in training.run())
    print(f"{device} training: {len(graphs) / took:10,.0f} crystals/s")


def _overflow(graphs: list[Graph]) -> None:
    """A batch far beyond the memory left to it is halved until it fits."""
    torch.cuda.set_per_process_memory_fraction(0.02)
    model = _resident("cuda:0", "float32")
    answers = model.answer(graphs * 4, batch_edges=10**12)
    print(f"halving: {sum(answer.error is None for answer in answers)} of {len(answers)} answered")


def _median(work: Callable[[], object], rounds: int = 5) -> float:
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()

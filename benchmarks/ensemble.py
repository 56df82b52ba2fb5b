"""Five members against one: how much longer an answer takes, in one process and one thread.

Run: python -m benchmarks.ensemble --data FOLDER [--count 600]. The set is that of `end_to_end`. `text to value` is
what a user waits for: read, find neighbours, answer. `answer` leaves out reading and neighbours, which are the same
for any number of members; `forward` also leaves out putting the graphs together and taking the answers apart.
"""

import argparse
import statistics
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.end_to_end import BATCH, structure_of, texts_of
from benchmarks.pairs import seconds
from models import samples
from models.catalogue import RELEASED, Catalogue
from models.checkpoint import load_networks
from models.families.family import family
from models.infer import Resident, prepare_process

MEMBERS = 5
ROUNDS = 9
SINGLE = 100  # times that one crystal is answered in a round
BAR, AIM = 2.0, 1.3  # times as long as one member
CPU = torch.device("cpu")


def main() -> None:
    """Print µs a crystal of one and of five, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=600)
    given = parser.parse_args()
    prepare_process()
    warnings.simplefilter("ignore")
    card, _ = load_networks(Catalogue([RELEASED]).get("formation-energy")[1])
    texts = texts_of(given.data, given.count)
    one, five = (Resident(card, _members(card, count), CPU) for count in (1, MEMBERS))
    graphs = [samples.featurise(structure_of(text), card.input) for text in texts]

    def whole(model: Resident, some: Sequence[bytes]) -> None:
        read = [structure_of(text) for text in some]
        model.answer([samples.featurise(each, card.input) for each in read])

    def in_batches(model: Resident) -> None:
        for start in range(0, len(texts), BATCH):
            whole(model, texts[start : start + BATCH])

    def one_a_time(model: Resident) -> None:
        for text in texts[:SINGLE]:
            whole(model, [text])

    _against("text to value", one, five, in_batches, len(texts), bar=True)
    _against("text to value, one crystal a time", one, five,
             one_a_time, SINGLE, bar=True)  # fmt: skip
    _against("answer", one, five, lambda model: model.answer(graphs), len(texts))
    _against("answer, one crystal a time", one, five,
             lambda model: [model.answer([graph]) for graph in graphs[:SINGLE]], SINGLE)  # fmt: skip
    batch = family(card.family).collate(graphs[:BATCH])
    ready = [family(card.family).ready(_members(card, count), CPU) for count in (1, MEMBERS)]
    with torch.inference_mode():
        _against(
            f"forward, batch of {BATCH}", ready[0], ready[1], lambda network: network(batch), BATCH
        )


def _members(card: Any, count: int) -> list[torch.nn.Module]:
    """Networks as the card's, of any weights."""
    found = []
    for seed in range(count):
        torch.manual_seed(seed)
        found.append(family(card.family).build(card.network))
    return found


def _against(
    what: str, one: Any, five: Any, work: Callable[[Any], object], count: int, *, bar: bool = False
) -> None:
    work(one)  # whatever is only done the first time
    work(five)
    times = [(seconds(lambda: work(one)), seconds(lambda: work(five))) for _ in range(ROUNDS)]
    ratios = sorted(many / few for few, many in times)
    few, many = (statistics.median(each) * 1e6 / count for each in zip(*times, strict=True))
    print(
        f"{what:36s} one {few:7.1f} µs  {MEMBERS} members {many:7.1f} µs  ratio "
        f"{statistics.median(ratios):.2f} ({ratios[1]:.2f}-{ratios[-2]:.2f})"
        + (f"  bar ≤ {BAR:g}, aim ≤ {AIM:g}" if bar else ""),
        flush=True,
    )


if __name__ == "__main__":
    main()

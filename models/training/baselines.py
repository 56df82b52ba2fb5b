"""What simple methods come to on the same rows: the figure that a network has to beat."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.training import judging
from models.training.dataset import Rows, Values
from models.training.judging import Judged
from models.training.normaliser import fit
from models.training.optimiser import Optimiser
from models.training.parts import PARTS
from models.training.source import Source

NEAREST = 12
MLP_SITES = 512  # a step
# Bounded by steps, not by time: the same again whenever it is repeated. Few sites need few.
MLP_PASSES, FEWEST_STEPS, MOST_STEPS = 100, 500, 3_000
HIDDEN, EMBEDDED = 128, 12
RATE = 3e-3
LARGEST_NUMBER = 119

Figures = dict[str, dict[str, dict[str, float]]]  # by name, then part


def baselines(source: Source, family: str, train: Rows, *, classifies: bool) -> Figures:
    """Figures of each baseline that this family has, on every part."""
    found: Figures = {}
    for name, answers in _answers(source, family, train, classifies=classifies):
        found[name] = {}
        for part in PARTS:
            rows = train if part == "train" else getattr(source.parts, part)
            judged = _judged(source, rows, answers)
            if np.isfinite(judged.answers).any():
                found[name][part] = judging.figures(
                    judged, classifies=classifies, properties=source.data.properties
                )
    return found


def best(found: Figures, part: str, figure: str) -> tuple[str, float] | None:
    """The baseline with the best figure on a part; the larger of AUC, the smaller of errors."""
    sign = -1 if figure in ("auc", "accuracy") else 1
    known = [
        (name, each[part][figure]) for name, each in found.items() if figure in each.get(part, {})
    ]
    return min(known, key=lambda each: sign * each[1], default=None)


def _answers(
    source: Source, family: str, train: Rows, *, classifies: bool
) -> Iterator[tuple[str, Values]]:
    """Answers for all rows: one line a label, of bonds one a row with as many columns as ranks."""
    if family == "bond":
        yield "initial distance", initial_distances(source)
        yield "metal mean", metal_mean(source, train)
        return
    labels = source.data.labels
    known = labels.values[labels.places(train)]
    if classifies:
        yield "majority class", np.full(labels.values.shape, np.nanmean(known))
        return
    yield "mean", np.tile(_columnwise(np.mean, known), (len(labels.values), 1))
    if family == "site":
        yield "element average", element_average(source, train)
        yield "mlp", neighbours_mlp(source, train)
    if family == "image":
        yield from _forest(source, train)


def _judged(source: Source, rows: Rows, answers: Values) -> Judged:
    if source.data.distances is not None:
        return Judged.bonds(rows, answers[rows], source.data.distances[rows])
    return judging.beside(source.data, rows, answers[source.data.labels.places(rows)])


def _columnwise(figure: Any, values: Values) -> Values:
    """Of the labels that are there."""
    columns = [column[np.isfinite(column)] for column in values.T]
    return np.array([figure(column) if len(column) else 0.0 for column in columns])


def element_average(source: Source, train: Rows) -> Values:
    """The mean over the training sites of the same element.  # (n, targets)"""
    numbers, learned = _numbers(source), _lines(source, train)
    values = source.data.labels.values
    found = np.tile(_columnwise(np.mean, values[learned]), (len(values), 1))
    for number in np.unique(numbers):
        same = numbers == number
        for target in range(values.shape[1]):
            labels = values[same & learned, target]
            labels = labels[np.isfinite(labels)]
            if len(labels):
                found[same, target] = labels.mean()
    return found


def neighbours_mlp(source: Source, train: Rows) -> Values:
    """A perceptron on the site's element and its nearest neighbours' elements and distances.  # (n, targets)"""
    numbers, near, distance = _surroundings(source)
    labels = source.data.labels.values
    learned = np.flatnonzero(_lines(source, train) & np.isfinite(labels).any(1))
    normaliser = fit(labels[learned])
    wanted = normaliser.normalised(torch.tensor(labels, dtype=torch.float32))
    torch.manual_seed(0)
    network = Perceptron(labels.shape[1])
    optimiser = Optimiser(network.parameters(), rate=RATE)
    chance = np.random.default_rng(0)
    steps = min(MOST_STEPS, max(FEWEST_STEPS, MLP_PASSES * len(learned) // MLP_SITES))
    for step in range(steps):
        some = torch.from_numpy(chance.choice(learned, min(MLP_SITES, len(learned)), replace=False))
        optimiser.rate = RATE * (1 - step / steps)
        known = torch.isfinite(wanted[some])
        outputs = network(numbers[some], near[some], distance[some])
        loss = F.l1_loss(outputs[known], wanted[some][known])
        network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.inference_mode():
        cuts = [torch.split(each, 65_536) for each in (numbers, near, distance)]
        parts = [network(*each) for each in zip(*cuts, strict=True)]
    told: Values = normaliser.values(torch.cat(parts)).double().numpy()
    return told


class Perceptron(nn.Module):
    """Elements embedded, distances as they are."""

    def __init__(self, targets: int) -> None:
        super().__init__()
        self.elements = nn.Embedding(LARGEST_NUMBER, EMBEDDED)
        self.layers = nn.Sequential(
            nn.Linear(EMBEDDED + NEAREST * (EMBEDDED + 1), HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, targets),
        )

    def forward(self, numbers: Tensor, near: Tensor, distance: Tensor) -> Tensor:
        """The sites' values.  # (sites, targets)"""
        parts = [self.elements(numbers), self.elements(near).flatten(1), distance]
        found: Tensor = self.layers(torch.cat(parts, 1))
        return found


def _surroundings(source: Source) -> tuple[Tensor, Tensor, Tensor]:
    """Of every site the element, and of its nearest neighbours elements and inverse distances; 0 where there is none."""
    found = [_nearest(sample) for sample in source.data.samples]
    numbers, near, distance = (np.concatenate(each) for each in zip(*found, strict=True))
    return torch.from_numpy(numbers), torch.from_numpy(near), torch.from_numpy(distance)


def _nearest(graph: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    centre = np.repeat(np.arange(graph.n_sites), graph.counts)
    order = np.lexsort((graph.distance, centre))
    first = np.cumsum(graph.counts) - graph.counts
    rank = np.arange(len(order)) - first[centre]
    order, centre, rank = (each[rank < NEAREST] for each in (order, centre, rank))
    near = np.zeros((graph.n_sites, NEAREST), np.int64)
    distance = np.zeros((graph.n_sites, NEAREST), np.float32)
    near[centre, rank] = graph.numbers[graph.index[order]]
    distance[centre, rank] = 2 / np.maximum(graph.distance[order], 0.5)
    return graph.numbers.astype(np.int64), near, distance


def initial_distances(source: Source) -> Values:
    """The distances of the adsorbate's atom to its nearest candidates before anything has relaxed.  # (rows, ranks)"""
    assert source.data.distances is not None
    found = np.full_like(source.data.distances, np.nan)
    for at, sample in enumerate(source.data.samples):
        nearest = np.sort(sample.initial)[: len(found[at])]
        found[at, : len(nearest)] = nearest
    return found


def metal_mean(source: Source, train: Rows) -> Values:
    """The mean distance of each rank over the training slabs of the same elements.  # (rows, ranks)"""
    distances = source.data.distances
    assert distances is not None
    slabs = np.array([_slab(sample) for sample in source.data.samples])
    learned = np.isin(np.arange(len(slabs)), train)
    found = np.tile(_columnwise(np.mean, distances[train]), (len(slabs), 1))
    for slab in np.unique(slabs[learned]):
        same = slabs == slab
        found[same] = _columnwise(np.mean, distances[same & learned])
    return found


def _slab(sample: Any) -> str:
    """What the slab is made of, in which the partners are sought."""
    return " ".join(map(str, np.unique(sample.numbers[sample.candidate])))


def _forest(source: Source, train: Rows) -> Iterator[tuple[str, Values]]:
    """On raw pixels, of as many rows as do not take long."""
    try:
        import sklearn as _  # noqa: F401 - an extra
    except ImportError:
        return
    from models.images.forest import forest

    yield "random forest", forest(source.data, train)


def _numbers(source: Source) -> NDArray[np.uint8]:
    return np.concatenate([sample.numbers for sample in source.data.samples])


def _lines(source: Source, rows: Rows) -> NDArray[np.bool_]:
    """Which lines of the labels belong to these rows."""
    found = np.zeros(len(source.data.labels.values), bool)
    found[source.data.labels.places(rows)] = True
    return found

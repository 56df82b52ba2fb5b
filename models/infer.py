"""A trained network held ready: graphs in, one answer a graph out, in the order they came."""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.errors import DamagedModel, ModelError, OutOfMemory
from models.families.family import Network, family
from models.memory import exhausted
from models.networks.readout import Output
from models.samples import Sample

if TYPE_CHECKING:  # pydantic is not there on a machine of torch and numpy alone
    from models.card import Card
    from models.trust.guide import Guide
    from models.trust.trust import Trust

KEPT_BYTES = 1 << 28
CPU_EDGES = 8_000  # of one pass: what stays in the cache is several times quicker

Rows = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of one structure."""

    # As `Kind.answers` says; of a classifier the probability of its last class.
    values: tuple[float, ...]
    std: tuple[float, ...] | None = None  # of the members; none where there is only one
    # The pooled vector, before any layer after the pooling; those of the members one after the other.
    features: list[float] | None = None
    contributions: list[list[float]] | None = None  # [site][target]; the sites' sum is the value
    trust: "Trust | None" = None  # none where the model has no guide
    error: ModelError | None = None  # no values then


def prepare_process() -> None:
    """For every process that computes: one thread, no stalls on subnormal numbers, memory kept."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    _keep_memory()


def _keep_memory() -> None:
    """Tensors of some MB come and go with every pass. By default the C library returns each to the system and
    fetches it again, zeroed page by page, which takes longer than the arithmetic; glibc only.
    """
    trim_threshold, mmap_threshold = -1, -3
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(trim_threshold, KEPT_BYTES)
        library.mallopt(mmap_threshold, KEPT_BYTES)


def choose_device(wanted: str) -> torch.device:
    """`auto` is the first GPU where there is one."""
    if wanted == "auto":
        wanted = "cuda:0" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def load(folder: Path, device: str = "auto", precision: str = "float32") -> "Resident":
    """The model in this folder, ready to answer. Raises: DamagedModel."""
    from models.checkpoint import load_networks
    from models.trust.guide import Guide

    card, networks = load_networks(folder)
    guide = Guide.load(folder, card)
    return Resident(card, networks, choose_device(device), precision, guide=guide)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted beside the values."""

    features: bool
    sites: bool


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """What one pass through the network gives; of a structure that was too large the error alone."""

    answers: list[Answer]
    vectors: torch.Tensor | None = None  # (structures, width) the first member's
    strain: Rows | None = None  # (structures, 2) what a guide wants to know of graphs


class Resident:
    """One model on one device; for one thread."""

    def __init__(
        self,
        card: "Card",
        networks: Sequence[nn.Module],
        device: torch.device,
        precision: str = "float32",
        *,
        guide: "Guide | None" = None,
    ) -> None:
        self.card = card
        self._guide = guide
        self.device = device
        self._half = precision == "bfloat16" and device.type == "cuda"
        self._family = family(card.family)
        self._network: Network = self._family.ready(networks, device)

    def answer(
        self,
        graphs: Sequence[Sample],
        *,
        features: bool = False,
        sites: bool = False,
        neighbours: bool = False,
        batch_edges: int = 200_000,
    ) -> list[Answer]:
        """One answer a graph. One that alone does not fit into memory has OutOfMemory as its error."""
        on_cpu: int = getattr(self._network, "edges_at_once", CPU_EDGES)
        limit = min(batch_edges, on_cpu) if self.device.type == "cpu" else batch_edges
        asked = Asked(features, sites)
        passes = [one for some in cut(graphs, limit) for one in self._halving(some, asked)]
        answers = [answer for one in passes for answer in one.answers]
        if self._guide is None:
            return answers
        # Judging many at once costs a fraction of judging a few: each step is small.
        return self._judged(self._guide, graphs, passes, answers, neighbours=neighbours)

    def _halving(self, graphs: Sequence[Sample], asked: "Asked") -> list["Pass"]:
        try:
            return [self._together(graphs, asked)]
        except (torch.cuda.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not exhausted(error):
                raise
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if len(graphs) == 1:
            return [Pass([Answer((), error=_too_large(graphs[0], self.device))])]
        middle = len(graphs) // 2
        return [*self._halving(graphs[:middle], asked), *self._halving(graphs[middle:], asked)]

    def _together(self, graphs: Sequence[Sample], asked: "Asked") -> "Pass":
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, self._half):
            batch = self._family.collate(graphs)
            output = self._network(batch.to(self.device))
            each = self._denormalised(output)
            vectors = output.features.float().cpu()
            pooled = vectors.transpose(0, 1).flatten(1) if asked.features else None
            # A probability is no sum over sites: classifiers have no contributions.
            told = output.sites if asked.sites and not self._classifies else None
            scalars = None if told is None else _numbers(told.mean(0))
        values = each.mean(0)
        deviations = _deviations(each, values) if len(each) > 1 else None
        starts = np.cumsum([0, *(graph.n_sites for graph in graphs)])
        rows = np.cumsum([0, *self._family.sizes(graphs)])
        found = [
            self._one(
                graphs[at],
                values[rows[at] : rows[at + 1]],
                None if deviations is None else deviations[rows[at] : rows[at + 1]],
                None if pooled is None else pooled[at].tolist(),
                None if scalars is None else scalars[starts[at] : starts[at + 1]],
            )
            for at in range(len(graphs))
        ]
        strain = None if self._guide is None else self._guide.strain(batch)
        return Pass(found, vectors[0], strain)

    def _judged(
        self,
        guide: "Guide",
        graphs: Sequence[Sample],
        passes: Sequence["Pass"],
        found: list[Answer],
        *,
        neighbours: bool,
    ) -> list[Answer]:
        """The same, with how far to trust each."""
        good = [at for at, answer in enumerate(found) if answer.error is None]
        if not good:
            return found
        width = next(one.vectors.shape[1] for one in passes if one.vectors is not None)
        empty = torch.zeros(1, width)
        vectors = torch.cat([empty if one.vectors is None else one.vectors for one in passes])
        strains = [np.zeros((1, 2)) if one.strain is None else one.strain for one in passes]
        trust = guide.judge(
            [graphs[at] for at in good],
            vectors[good],
            [found[at].values for at in good],
            [found[at].std for at in good],
            np.concatenate(strains)[good] if guide.gauge else None,
            neighbours=neighbours,
        )
        for at, each in zip(good, trust, strict=True):
            one = found[at]
            found[at] = Answer(one.values, one.std, one.features, one.contributions, each)
        return found

    def _one(
        self,
        sample: Sample,
        values: Rows,
        deviations: Rows | None,
        features: list[float] | None,
        scalars: Rows | None,
    ) -> Answer:
        if not np.isfinite(values).all():
            return Answer((), error=DamagedModel(f"{self.card.id} answers with no finite number."))
        contributions = None
        if scalars is not None:
            contributions = ((scalars * self._std + self._mean) / len(scalars)).tolist()
        told = self._family.told(sample, values)
        std = None if deviations is None else self._family.spread(sample, values, deviations)
        return Answer(told, std, features, contributions)

    def _denormalised(self, output: Output) -> Rows:
        """Of each member.  # (members, rows, targets)"""
        if self._classifies:
            return _numbers(output.values.double().softmax(-1))[..., -1:]
        return _numbers(output.values) * self._std + self._mean

    @property
    def _classifies(self) -> bool:
        return self.card.classifies

    @property
    def _mean(self) -> Rows:
        return np.array([target.mean for target in self.card.targets])

    @property
    def _std(self) -> Rows:
        return np.array([target.std for target in self.card.targets])


def cut(graphs: Sequence[Sample], edges: int) -> Iterator[Sequence[Sample]]:
    """Neighbouring graphs together, up to so many edges; one that has more goes alone."""
    start, held = 0, 0
    for at, graph in enumerate(graphs):
        if held and held + graph.cost > edges:
            yield graphs[start:at]
            start, held = at, 0
        held += graph.cost
    if start < len(graphs):
        yield graphs[start:]


def _deviations(each: Rows, mean: Rows) -> Rows:
    """Of a sample; as `std` does it, in less time where there is one row."""
    away = each - mean
    away *= away
    deviations: Rows = np.sqrt(away.sum(0) / (len(each) - 1))
    return deviations


def _numbers(values: torch.Tensor) -> Rows:
    return values.double().cpu().numpy()


def _too_large(graph: Sample, device: torch.device) -> OutOfMemory:
    return OutOfMemory(
        f"A crystal of {graph.n_sites} sites does not fit into the memory of {device}.",
        hint="A smaller cell of the same crystal gives the same answer.",
    )

"""Waiting entries of one model become batches, and a batch's answers become replies again."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Protocol

from models.errors import MatpropError, ModelError
from models.samples import Sample, unpack
from models.trust.trust import Trust
from workers import tracing
from workers.exchange import Found, Work, pack_found, unpack_work
from workers.lanes import Taken
from workers.owning import internal
from workers.said import Said

log = logging.getLogger("matprop.infer")


class Answered(Protocol):
    """What a network says of one graph."""

    @property
    def values(self) -> tuple[float, ...]:
        """As `Kind.answers` says."""

    @property
    def std(self) -> tuple[float, ...] | None:
        """Beside the numbers; none of a single network."""

    @property
    def trust(self) -> Trust | None:
        """How far to trust it; none without a guide."""

    @property
    def features(self) -> list[float] | None:
        """The crystal's vector."""

    @property
    def contributions(self) -> list[list[float]] | None:
        """One row a site, one number a target."""

    @property
    def error(self) -> ModelError | None:
        """Why there are no values."""


class Network(Protocol):
    """A resident model."""

    def answer(
        self,
        graphs: Sequence[Sample],
        *,
        features: bool,
        sites: bool,
        neighbours: bool,
        batch_edges: int,
    ) -> Sequence[Answered]:
        """One answer per graph."""


def replies(
    network: Network,
    taken: Sequence[Taken],
    batch_edges: int,
    sized: Callable[[int], None] = lambda _: None,
) -> list[tuple[Taken, bytes]]:
    """The entries' answers; entries that ask for the same are computed together."""
    works = [(one, unpack_work(one.content)) for one in taken]
    works.sort(key=_asks)
    answered: list[tuple[Taken, bytes]] = []
    for _, group in groupby(works, key=_asks):
        members = list(group)
        graphs = [graph for _, work in members for graph in work.graphs]
        sized(len(graphs))
        began = time.perf_counter()
        found = iter(answers(network, replace(members[0][1], graphs=graphs), batch_edges))
        if tracing.on():
            owners = dict.fromkeys(work.trace for _, work in members if work.trace)
            tracing.record("infer", time.perf_counter() - began, owners, graphs=len(graphs))
        for one, work in members:
            rows = [next(found) for _ in work.graphs]
            answered.append((one, pack_found(rows, former=work.former)))
    return answered


def answers(network: Network, work: Work, batch_edges: int) -> list[Found]:
    """One row a graph; when the batch fails, each graph is tried alone, so that one harms no other."""
    try:
        results = network.answer(
            [unpack(packed) for packed in work.graphs],
            features=work.features,
            sites=work.sites,
            neighbours=work.neighbours,
            batch_edges=batch_edges,
        )
        return [_found(one) for one in results]
    except Exception as error:
        if len(work.graphs) > 1:
            singles = (replace(work, graphs=[graph]) for graph in work.graphs)
            return [found for single in singles for found in answers(network, single, batch_edges)]
        log.log(_level(error), "a graph has no answer: %s", error, exc_info=error)
        return [Found(error=_fault(error))]


def refused(taken: Sequence[Taken], error: MatpropError) -> list[tuple[Taken, bytes]]:
    """The same answer for all: there is no such model, or its files are damaged."""
    found = Found(error=error.as_dict())
    works = [(one, unpack_work(one.content)) for one in taken]
    return [
        (one, pack_found([found] * len(work.graphs), former=work.former)) for one, work in works
    ]


def _found(one: Answered) -> Found:
    if one.error is not None:
        log.error("a graph has no answer: %s", one.error)
        return Found(error=one.error.as_dict())
    std, trust = tuple(one.std or ()), one.trust
    if trust is None:
        return Found(Said(tuple(one.values), std), one.features, one.contributions)
    said = Said(tuple(one.values), std, trust.difficulty, trust.score, trust.reasons)
    return Found(said, one.features, one.contributions, nearest=trust.nearest)


def _asks(pair: tuple[Taken, Work]) -> tuple[bool, bool, bool]:
    return pair[1].features, pair[1].sites, pair[1].neighbours


def _fault(error: Exception) -> dict[str, str]:
    return error.as_dict() if isinstance(error, MatpropError) else internal().as_dict()


def _level(error: Exception) -> int:
    ours = isinstance(error, ModelError) or not isinstance(error, MatpropError)
    return logging.ERROR if ours else logging.INFO

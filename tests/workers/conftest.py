"""A predict job from end to end with real lanes, a played reader and a played network."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from redis import Redis

from models.card import Card, Target
from models.errors import UnknownModel
from models.graphs.graph import Graph
from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings
from models.trust.told import Intervals
from models.trust.trust import Near, Trust
from workers.answers import Answers
from workers.contract import PredictOrder, Queue, Task
from workers.files import Files
from workers.jobs import Job, NewJob, new_id
from workers.lanes import WorkerSide
from workers.metrics import Tally
from workers.owning import Holder
from workers.pack import PackWriter
from workers.parsed import ParsedCache
from workers.parser import Parsed
from workers.predicting import Predictor
from workers.pulse import Pulse
from workers.residents import Inference, Residents
from workers.stopping import Stopping

LEVELS = Intervals(rows=19, levels=(0.5, 0.9, 0.95), factors=(0.5, 2.0, 3.0))


def lapse(redis: Redis, job: str) -> None:
    """The lease is over, without waiting for it, and not renewed because nobody has looked for long."""
    redis.zadd("mp:leases", {job: 0}, xx=True)
    redis.delete("mp:reconciled")


def card(name: str, *, seen: tuple[int, ...] | None = None, targets: int = 1) -> Card:
    return Card(
        name=name,
        version=1,
        title=name,
        origin="trained",
        targets=tuple(Target(property=f"p{number}", unit="eV") for number in range(targets)),
        graph=GraphSettings(),
        network=NetworkSettings(outputs=targets),
        elements_sha256="0" * 64,
        elements_seen=seen,
        weights_sha256="0" * 64,
        created_at=datetime.now(UTC),
    )


def classifier(name: str) -> Card:
    network = NetworkSettings(task="classification", outputs=2)
    parts = {"network": network, "classes": ("semiconductor", "metal")}
    return card(name).model_copy(update=parts)


def calibrated(of: Card) -> Card:
    """The same with intervals."""
    return of.model_copy(update={"intervals": (LEVELS,) * len(of.targets)})


def graph(sites: int, edges: int = 1) -> bytes:
    counts = np.zeros(sites, np.int32)
    counts[0] = edges
    return Graph(
        np.ones(sites, np.uint8), counts, np.zeros(edges, np.int32), np.ones(edges, np.float32)
    ).pack()


@dataclass
class PlayedCatalogue:
    cards: dict[str, Card]

    def get(self, name: str) -> tuple[Card, Path]:
        if name not in self.cards:
            raise UnknownModel(f"no model {name}")
        return self.cards[name], Path(name)

    def list(self) -> list[Card]:
        return list(self.cards.values())


@dataclass
class PlayedReader:
    """A text is a list of words, each a structure: `Na3` has three sites of Na, `bad` is none."""

    read_texts: list[bytes] = field(default_factory=list)
    before: Callable[[Any], None] = lambda _: None

    def read(self, sources, options, graphs, *, adsorbate=None) -> Iterator[Parsed]:  # noqa: ARG002
        for source in sources:
            self.read_texts.append(source.data)
            self.before(source)
            for word in source.data.decode().split():
                yield self.parsed(source, word, graphs)

    def parsed(self, source, word: str, graphs) -> Parsed:
        error = {"code": "unreadable_structure", "detail": word} if word == "bad" else None
        sites = int("".join(filter(str.isdigit, word)) or 1)
        number = 11 if word.startswith("Na") else 1
        faults = {"code": "isolated_site", "detail": "alone"} if word.startswith("Alone") else None
        return Parsed(
            source=source.index,
            name=source.name,
            formula=word,
            n_sites=sites,
            digest=word.encode().hex().ljust(32, "0")[:32],
            warnings=(),
            numbers=bytes([number] * sites),
            fractional=None,
            graphs={} if faults else {one.key(): graph(sites) for one in graphs},
            faults={one.key(): faults for one in graphs} if faults else {},
            error=error,
        )


@dataclass
class PlayedAnswer:
    values: tuple[float, ...]
    features: list[float] | None = None
    contributions: list[list[float]] | None = None
    std: tuple[float, ...] | None = None
    trust: Trust | None = None
    error: None = None


NEAR = Near("mp-1", "NaCl", 0.25, (1.5, 2.5))


@dataclass
class PlayedNetwork:
    """Answers with the number of sites; 13 sites break it, 17 give no number."""

    targets: int = 1
    scale: float = 1.0
    linear: bool = True
    guided: bool = False  # several members, and a guide to which 9 sites are far away
    batches: list[int] = field(default_factory=list)

    def answer(self, graphs, *, features, sites, batch_edges, neighbours=False):  # noqa: ARG002
        self.batches.append(len(graphs))
        if any(one.n_sites == 13 for one in graphs):
            raise ZeroDivisionError("thirteen")
        return [self.one(one.n_sites, features, sites, neighbours) for one in graphs]

    def one(self, sites: int, features: bool, wanted: bool, neighbours: bool) -> PlayedAnswer:
        value = float("nan") if sites == 17 else sites * self.scale
        return PlayedAnswer(
            (value,) * self.targets,
            [0.5] if features else None,
            [[1.0] * self.targets] * sites if wanted and self.linear else None,
            (0.1,) * self.targets if self.guided else None,
            self.trust(sites, neighbours) if self.guided else None,
        )

    def trust(self, sites: int, neighbours: bool) -> Trust:
        return Trust(
            difficulty=tuple(0.5 * (number + 1) for number in range(self.targets)),
            score=sites / 8,
            reasons=("It is far from all of it.", "2 sites of Tc.") if sites == 9 else (),
            nearest=(NEAR,) if neighbours else None,
        )


@dataclass
class Stage:
    """Everything that a prediction passes, in one process."""

    jobs: Any
    files: Files
    reader: PlayedReader
    networks: dict[str, PlayedNetwork]
    predictor: Predictor
    holder: Holder
    stopping: Stopping
    tally: Tally

    def submit(
        self,
        *files: tuple[str, str] | dict,
        direct: bool = True,
        traceparent: str | None = None,
        **order,
    ) -> str:
        job = new_id("job")
        path = self.files.upload(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            pack = PackWriter(file)
            for one in files:
                pack.begin(one["name"] if isinstance(one, dict) else one[0])
                if isinstance(one, dict):
                    pack.drop(one["error"])
                    continue
                pack.write(one[1].encode())
                pack.end()
            pack.close()
        body = PredictOrder(**{"models": ("m@1",), **order}).model_dump_json()
        new = NewJob(
            id=job,
            kind=Task.PREDICT,
            order=body,
            direct=direct,
            total=len(files),
            traceparent=traceparent,
        )
        assert self.jobs.submit(new)
        return job

    def predict(self, *files, **order) -> tuple[Job, list[dict[str, Any]]]:
        job = self.submit(*files, **order)
        assert self.holder.run(job, self.predictor.run)
        return self.jobs.get(job), self.records(job)

    def records(self, job: str) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.files.result(job).read_bytes().splitlines()]


@pytest.fixture
def stage(jobs, settings) -> Iterator[Stage]:
    """Models `metal@1` (a classifier), `m@1`, `two@1` (two targets, not linear), `narrow@1` (knows only H), `sure@1` (has a guide)."""
    cards = {
        "sure@1": calibrated(card("sure", targets=2)),
        "metal@1": classifier("metal"),
        "m@1": card("m"),
        "two@1": card("two", targets=2),
        "narrow@1": card("narrow", seen=(1,)),
    }
    networks = {
        "sure@1": PlayedNetwork(targets=2, guided=True),
        "metal@1": PlayedNetwork(scale=0.25),
        "m@1": PlayedNetwork(),
        "two@1": PlayedNetwork(targets=2, linear=False),
        "narrow@1": PlayedNetwork(),
    }
    catalogue: Any = PlayedCatalogue(cards)
    files, tally, stopping = Files(settings.state), Tally(), Stopping()
    residents = Residents(catalogue, 2, lambda folder: networks[str(folder)], tally)
    lanes = WorkerSide(jobs.redis, "infer.1")
    inference = Inference(lanes, residents, 1000, tally, stopping, block_s=0.02)
    thread = threading.Thread(target=inference.run)
    thread.start()
    reader = PlayedReader()
    answers = Answers(jobs.redis, 1000, "float32")
    predictor = Predictor(
        files=files,
        catalogue=catalogue,
        reader=reader,
        parsed=ParsedCache(100_000),
        answers=answers,
        tally=tally,
    )
    pulse = Pulse(jobs, Queue.PARSE, "parse.1", tally)
    holder = Holder(jobs, pulse, stopping, 0.0, tally)
    yield Stage(jobs, files, reader, networks, predictor, holder, stopping, tally)
    stopping.ask()
    thread.join()

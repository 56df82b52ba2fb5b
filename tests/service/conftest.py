"""The door on a real port, with a real broker, and a worker that answers without arithmetic."""

import asyncio
import base64
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis import Redis
from redis.exceptions import RedisError

from models.card import Card, Target
from models.catalogue import Catalogue, card_bytes
from models.errors import UnreadableStructure
from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings
from service.app import create
from service.server import Server
from service.settings import ServiceSettings
from tests.service.labelled import SET, columns_of, manifest_of
from tests.service.shards import put_shard, row_of
from workers.broker import connect
from workers.columns import columns
from workers.contract import CUT, GATHER, SHORT, Queue, Task
from workers.files import Files, written
from workers.ids import set_of
from workers.jobs import Beat, BrokerAway, Job, JobLimits, Jobs, Status
from workers.pack import PackEntry, read_pack
from workers.shelf import Shelf

Answer = dict[str, Any]

PATIENCE_S = 30.0  # for an answer: a worker may be slow to be woken


@dataclass
class PlayedWorker:
    """Claims jobs as a worker does; a structure whose text holds `bad` fails."""

    settings: ServiceSettings
    queues: tuple[Queue, ...] = tuple(Queue)
    asleep: bool = False
    troubles: list[str] = field(default_factory=list)
    turns: threading.Lock = field(default_factory=threading.Lock)
    seen: dict[str, list[PackEntry]] = field(default_factory=dict)
    claims: dict[str, Job] = field(default_factory=dict)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    held: list[Job] = field(default_factory=list)  # trainings that end only when cancelled
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        redis = connect(self.settings)
        jobs = Jobs(redis, JobLimits.of(self.settings))
        while not self.stop.is_set():
            try:
                with self.turns:
                    self.turn(redis, jobs)
            except (BrokerAway, RedisError) as error:  # the broker is away in some tests
                self.troubles.append(repr(error))
            self.stop.wait(0.05 if self.asleep else 0.001)
        redis.close()

    def sleep(self) -> None:
        """From now on nothing is begun, though the worker looks alive."""
        with self.turns:
            self.asleep = True

    def wake(self) -> None:
        self.asleep = False

    def turn(self, redis: Redis, jobs: Jobs) -> None:
        for queue in self.queues:
            jobs.alive(queue, f"played-{queue}")
        if self.asleep:
            return
        for claim in self.held[:]:
            if jobs.beat(claim) is Beat.CANCELLED:
                self.held.remove(claim)
                jobs.finish(claim, Status.CANCELLED)
        for job in [*woken(redis), *messages(redis, [str(queue) for queue in self.queues])]:
            claim = jobs.claim(job, f"played-{job[-8:]}")
            if claim is not None:
                self.perform(jobs, claim)

    def perform(self, jobs: Jobs, claim: Job) -> None:
        files = Files(self.settings.state)
        self.claims[claim.id] = claim
        self.orders[claim.id] = json.loads(claim.order)
        if claim.kind is Task.SCREEN:
            self.screen(files, jobs, claim)
            return
        if claim.kind in (Task.TRAIN, Task.TUNE, Task.EVALUATE):
            self.learn(files, jobs, claim)
            return
        self.seen[claim.id] = list(read_pack(files.upload(claim.id)))
        if claim.kind is Task.IMPORT:
            self.take_in(files, jobs, claim)
            return
        if claim.kind is Task.DATASET:
            self.gather(files, jobs, claim)
            return
        order = self.orders[claim.id]
        records = [record_of(entry, claim.models, order) for entry in self.seen[claim.id]]
        failed = sum(record["status"] == "failed" for record in records)
        with written(files.result(claim.id), str(claim.attempt)) as file:
            for record in records:
                file.write(json.dumps(record).encode() + b"\n")
        jobs.finish(claim, Status.SUCCEEDED, None, (len(records), failed, len(records)))

    def screen(self, files: Files, jobs: Jobs, claim: Job) -> None:
        """Two rows a shard; with the label `halfway` it is held in the middle."""
        order = self.orders[claim.id]
        upload = files.upload(claim.id)
        self.seen[claim.id] = list(read_pack(upload)) if upload.exists() else []
        names = [entry.name for entry in self.seen[claim.id]] or [f"s-{i}.cif" for i in range(25)]
        cards = [Catalogue([files.models()]).get(model)[0] for model in order["models"]]
        rows = [row_of(index, cards[0].name) | {"name": name} for index, name in enumerate(names)]
        failed = sum(row["status"] == "failed" for row in rows)
        for number in range(0, len(rows), 2):
            part = rows[number : number + 2]
            put_shard(files.shards(claim.id), number // 2, columns(cards), part)
        if claim.label == "halfway":
            jobs.progress(claim, len(rows), failed, 2 * len(rows))
            self.held.append(claim)
            return
        jobs.finish(claim, Status.SUCCEEDED, None, (len(rows), failed, len(rows)))

    def take_in(self, files: Files, jobs: Jobs, claim: Job) -> None:
        name = self.orders[claim.id]["name"]
        if b"bad" in self.seen[claim.id][0].data:
            error = {"code": "bad_checkpoint", "detail": "This is no checkpoint."}
            jobs.finish(claim, Status.FAILED, error, (1, 1, 1))
            return
        home = files.models() / name
        version = 1 + len(list(home.glob("[0-9]*")))
        put_model(files.models(), name, version)
        with written(files.result(claim.id), "1") as file:
            file.write(json.dumps({"model": f"{name}@{version}"}).encode() + b"\n")
        jobs.finish(claim, Status.SUCCEEDED, None, (1, 0, 1))

    def gather(self, files: Files, jobs: Jobs, claim: Job) -> None:
        """A file with `bad` in it makes no set; the same name twice is one set."""
        name = self.orders[claim.id]["name"]
        bad = {"row": 1, "name": "a", "error": {"code": "empty_input", "detail": "Nothing."}}
        if b"bad" in self.seen[claim.id][0].data:
            error = {"code": "bad_dataset", "detail": "1 of 1 rows cannot be used."}
            error["errors"] = [bad["error"]]
            line, status, counts = bad, Status.FAILED, (1, 1, 1)
        else:
            same = Shelf(files).page(claim.owner, name=name).sets
            made = same[0].id if same else set_of(claim.id)
            if not same:
                about = {"name": name, "owner": claim.owner}
                put_dataset(self.settings.state, made, **about)
                report = files.dataset(made) / "refused.jsonl"
                report.write_text((json.dumps(bad) + "\n") * 3)
            error, line, status, counts = None, {"dataset": made}, Status.SUCCEEDED, (63, 3, 63)
        with written(files.result(claim.id), "1") as file:
            file.write(json.dumps(line).encode() + b"\n")
        jobs.finish(claim, status, error, counts)

    def learn(self, files: Files, jobs: Jobs, claim: Job) -> None:
        """One epoch is told; a label says how it goes on."""
        jobs.tell(claim, [("metric", json.dumps(EPOCH))], 0, 1)
        if claim.label == "endless":
            self.held.append(claim)
            return
        if claim.label == "diverges":
            error = {"code": "diverged", "detail": "The loss is no number any more."}
            jobs.finish(claim, Status.FAILED, error, (1, 0, 3))
            return
        order = self.orders[claim.id]
        result = {"metrics": {"test": {"mae": 0.1}}, "baselines": {"mean": {"test": {"mae": 0.4}}}}
        if claim.kind is Task.EVALUATE:
            result = {
                "model": order["model"],
                "metrics": {"mae": 0.1},
                "worst": [WORST],
                "warnings": ["trained on it"],
            }
        else:
            name = order.get("train", order)["register_as"]
            home = files.models() / name
            version = 1 + len(list(home.glob("[0-9]*")))
            told = order.get("train", order)["targets"][0]
            target = Target(property=told["property"], unit=told["unit"])
            put_model(files.models(), name, version, target)
            result |= {"model": f"{name}@{version}", "curves": [[1, 0.5]]}
        with written(files.result(claim.id), "1") as file:
            file.write(json.dumps(result).encode() + b"\n")
        jobs.finish(claim, Status.SUCCEEDED, None, (3, 0, 3))


WORST = {
    "row": 1,
    "name": "row-1",
    "property": "band-gap",
    "label": 1.0,
    "prediction": 2.0,
    "error": 1.0,
}
EPOCH = {
    "seed": 0, "epoch": 1, "epochs": 3, "loss": 0.5, "figures": {"mae": 0.2},
    "learning_rate": 0.001, "duration_s": 1.0, "eta_s": 2.0,
}  # fmt: skip


def woken(redis: Redis) -> list[str]:
    ways = [f"mp:wake:{way}" for way in (Queue.PARSE, GATHER, CUT, SHORT)]
    found = redis.bzpopmin(ways, 0.02)
    return [found[1].decode()] if found else []


def messages(redis: Redis, queues: list[str]) -> list[str]:
    """What Celery messages name; read as kombu writes them."""
    found = []
    for queue in queues:
        raw = redis.rpop(queue)
        if raw is not None:
            arguments, *_ = json.loads(base64.b64decode(json.loads(raw)["body"]))
            found.append(arguments[0])
    return found


def record_of(entry: PackEntry, models: tuple[str, ...], order: Answer) -> Answer:
    error = entry.error
    if error is None and b"bad" in entry.data:
        error = UnreadableStructure(
            "It is bad.", file=entry.name, hint="Send a good one."
        ).as_dict()
    base: Answer = {"index": entry.index, "name": entry.name, "warnings": []}
    if error is not None:
        return base | {
            "formula": None, "n_sites": None, "status": "failed", "predictions": [], "error": error,
        }  # fmt: skip
    predictions = [
        {
            "model": model, "property": "formation-energy-per-atom", "value": -1.5, "unit": "eV/atom",
            "interval": [-1.6, -1.4], "level": order.get("level", 0.9), "std": 0.05,
            "in_domain": False, "domain_score": 1.5, "reasons": ["It is small."],
        }
        for model in models
    ]  # fmt: skip
    if order.get("neighbours"):
        near = {"name": "mp-1", "formula": "KCl", "distance": 0.5, "value": -1.4}
        predictions[0]["neighbours"] = [near]
    return base | {
        "formula": "NaCl", "n_sites": 8, "status": "succeeded", "predictions": predictions,
    }  # fmt: skip


FORMATION = Target(property="formation-energy-per-atom", unit="eV/atom")


def put_model(folder: Path, name: str, version: int, target: Target = FORMATION) -> None:
    """A model that can be listed; its weights are none."""
    card = Card(
        name=name,
        version=version,
        title="A model for tests",
        origin="imported",
        targets=(target,),
        graph=GraphSettings(),
        network=NetworkSettings(),
        elements_sha256="0" * 64,
        weights_sha256="0" * 64,
        created_at=datetime.now(UTC),
    )
    home = folder / name / str(version)
    home.mkdir(parents=True)
    (home / "weights.safetensors").write_bytes(b"")
    (home / "card.json").write_bytes(card_bytes(card))


def put_dataset(state: Path, set_id: str = SET, **about: Any) -> str:
    """A data set that can be learned from, as far as the service sees."""
    home = Files(state).dataset(set_id)
    home.mkdir(parents=True)
    manifest = manifest_of(**about).model_copy(update={"id": set_id})
    (home / "manifest.json").write_text(manifest.model_dump_json())
    lines = [
        f"{json.dumps(name)}:{json.dumps(it)}\n" for name, it in columns_of(manifest.rows).items()
    ]
    (home / "columns.json").write_text("{" + ",".join(lines) + "}\n")
    return set_id


@dataclass
class Door:
    """A running service and a client of it."""

    settings: ServiceSettings
    server: Server
    url: str
    client: httpx2.Client
    worker: PlayedWorker
    loop: asyncio.AbstractEventLoop

    def predict(
        self,
        *files: tuple[str, bytes],
        model: str | None = "tested",
        data: Any = None,
        **headers: str,
    ) -> httpx2.Response:
        """A form with these files."""
        fields = dict(data or {})
        if model is not None:
            fields.setdefault("model", model)
        return self.client.post(
            "/v1/predictions",
            files=[("files", file) for file in files] or None,
            data=fields,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


@contextmanager
def opened(settings: ServiceSettings, queues: tuple[Queue, ...] = tuple(Queue)) -> Iterator[Door]:
    """The service in a thread of its own, until the block ends."""
    if not (settings.state / "models" / "tested").exists():
        put_model(settings.state / "models", "tested", 1)
    worker = PlayedWorker(settings, queues)
    working = threading.Thread(target=worker.run)
    working.start()
    server = Server(create(settings), settings)
    up, loops = threading.Event(), []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        server.on_started = up.set
        await server.serve()

    serving = threading.Thread(target=lambda: asyncio.run(serve()))
    serving.start()
    assert up.wait(20), "the service did not start"
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx2.Client(base_url=url, timeout=30) as client:
            seen_alive(settings, queues)
            yield Door(settings, server, url, client, worker, loops[0])
    finally:
        server.should_exit = True
        worker.stop.set()
        working.join()
        serving.join()


def seen_alive(settings: ServiceSettings, queues: tuple[Queue, ...]) -> None:
    """Wait until the broker knows of the worker: until then predictions are refused."""
    jobs = Jobs(connect(settings), JobLimits.of(settings))
    deadline = time.monotonic() + 20
    while not all(jobs.health().workers.get(queue) for queue in queues):
        assert time.monotonic() < deadline, "the worker was never seen"
        time.sleep(0.01)
    jobs.redis.close()


@pytest.fixture(name="put_model")
def model_putter() -> Callable[[Path, str, int], None]:
    """Puts a model into a folder."""
    return put_model


@pytest.fixture
def put_set() -> Callable[..., str]:
    """Puts a data set into the state of a service."""
    return put_dataset


@pytest.fixture
def own_broker(shared_broker: Any) -> Iterator[Any]:
    """A server that a test may kill."""
    with tempfile.TemporaryDirectory(prefix="mp") as folder:
        broker = type(shared_broker)(Path(folder)).start()
        yield broker
        broker.kill()


Opener = Callable[..., AbstractContextManager[Door]]


@pytest.fixture(scope="module")
def door(shared_broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One service without keys for all tests of a module."""
    state = tmp_path_factory.mktemp("door")
    url = f"{shared_broker.url}?db=1"
    settings = ServiceSettings(redis_url=url, state=state, port=0, wait_default_s=PATIENCE_S)
    with opened(settings) as running:
        yield running


@pytest.fixture
def open_door(broker: Any, tmp_path: Path) -> Opener:
    """A service of the test's own, with settings of its own."""

    def make(
        queues: tuple[Queue, ...] = tuple(Queue), **options: Any
    ) -> AbstractContextManager[Door]:
        usual = {"redis_url": broker.url, "state": tmp_path / "state", "port": 0}
        return opened(ServiceSettings(**{**usual, "wait_default_s": PATIENCE_S, **options}), queues)

    return make

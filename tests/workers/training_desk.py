"""Training jobs with a played program in a real limited process."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from models.settings.graph import GraphSettings
from models.settings.network import NetworkSettings
from models.settings.training import TrainingSettings
from workers.contract import Queue, TargetOrder, Task, TrainOrder
from workers.evaluating import Evaluator
from workers.files import Files
from workers.following import Program
from workers.jobs import BrokerAway, Job, Jobs, NewJob, new_id
from workers.limited import Bounds
from workers.metrics import Tally
from workers.owning import Holder
from workers.pulse import Pulse
from workers.stopping import Stopping
from workers.store import Store
from workers.training import Machine, Trainer
from workers.tuning import Tuner
from workers.versions import catalogue_of

SET = "set_" + "0" * 26
VALUE_OF_8 = 0  # what the chain of the played program comes to after eight epochs
for _number in range(8):
    VALUE_OF_8 = ((VALUE_OF_8 or 1) * 31 + 7) % 1009


def train_order(**parts: Any) -> TrainOrder:
    settings = TrainingSettings(epochs=parts.pop("epochs", 8)).model_dump(mode="json")
    usual: dict[str, Any] = {
        "dataset": SET,
        "family": "crystal",
        "targets": (TargetOrder(column="e", property="energy", unit="eV"),),
        "recipe": "best",
        "input": GraphSettings().model_dump(mode="json"),
        "network": NetworkSettings().model_dump(mode="json"),
        "training": settings,
        "register_as": "mine",
    }
    return TrainOrder(**{**usual, **parts})


class Desk:
    """One worker's train process, without Celery."""

    def __init__(self, jobs: Jobs, state: Path, store: Store | None = None) -> None:
        self.jobs = jobs
        self.files = Files(state, store)
        bounds = Bounds(
            memory_bytes=10**9, wall_s=120, cpu_s=None, file_bytes=None, mapped=False, niceness=1
        )
        program = Program("tests.workers.played_training", bounds, 20.0)
        judge = Program("tests.workers.played_judge", bounds, 20.0)
        self.runs = {
            Task.TRAIN: Trainer(self.files, program, Machine(snapshot_s=0.0)),
            Task.TUNE: Tuner(self.files),
            Task.EVALUATE: Evaluator(self.files, judge, Machine()),
        }
        self.stopping = Stopping()
        tally = Tally()
        self.pulse = Pulse(jobs, Queue.TRAIN, "t.1", tally)
        self.holder = Holder(jobs, self.pulse, self.stopping, 0.0, tally)
        with self.files.written(self.files.dataset(SET) / "manifest.json", "1") as file:
            file.write(b"{}")

    def submit(self, order: Any = None, kind: Task = Task.TRAIN, **parts: Any) -> str:
        order = order or train_order(**parts)
        new = NewJob(
            id=new_id("job"), kind=kind, order=order.model_dump_json(), uses=(SET,), owner="me"
        )
        assert self.jobs.submit(new)
        return new.id

    def run(self, job: str) -> Job:
        """Here and now, and its children after it."""
        self.holder.run(job, lambda hold: self.runs[hold.claim.kind].run(hold))
        return self.record(job)

    def record(self, job: str) -> Job:
        record = self.jobs.get(job)
        assert record is not None
        return record

    def train(self, **parts: Any) -> Job:
        return self.run(self.submit(**parts))

    def family(self, job: str) -> Job:
        """A parent, its children, and its closing."""
        self.run(job)
        for child in sorted(self.jobs.redis.smembers(f"mp:children:{job}")):
            self.run(child.decode())
        return self.run(job)

    def retried(self, job: str) -> str:
        new = new_id("job")
        assert self.jobs.retry(job, new)
        return new

    def result(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.files.fetch(self.files.result(job)).read_text())
        return found

    def events(self, job: str, kind: str) -> list[dict[str, Any]]:
        return [event.data for event in self.jobs.events(job) if event.kind == kind]

    def epochs(self, job: str) -> list[int]:
        return [metric["epoch"] for metric in self.events(job, "metric")]

    def versions(self) -> list[str]:
        cards = catalogue_of(self.files, fresh=True).list()
        return sorted(str(card.version) for card in cards if card.name == "mine")

    def in_background(self, job: str) -> threading.Thread:
        def run() -> None:
            with suppress(BrokerAway):  # a test that failed has left it behind
                self.run(job)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def until_told(self, job: str, epoch: int) -> None:
        """Follows the job until it has told of this epoch."""
        self.until_told_of(job, "metric", lambda data: data["epoch"] == epoch)

    def until_told_of(
        self, job: str, kind: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> None:
        last = "0"
        while True:
            for event in self.jobs.events(job, last, block_ms=1_000):
                last = event.id
                if event.kind == kind and fits(event.data):
                    return
                assert event.kind != "done", event.data

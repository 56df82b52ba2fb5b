"""A broker of the test's own, worker processes that can be killed, and the count at the end."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.conftest import Broker
from tests.faults.rows import RESULTS, Row, written
from tests.faults.sizes import AT_ACCEPTANCE
from tests.ports import free_port
from workers.broker import connect, make_celery, publish
from workers.contract import Task
from workers.jobs import BrokerAway, JobLimits, Jobs, NewJob, Status, new_id
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120
HELD = pytest.StashKey[dict[str, bool]]()


def wait_until(claim: Callable[[], object], what: str) -> None:
    """Counted, not timed: the bound only ends a test that hangs."""
    until = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < until, f"in vain: {what}"
        time.sleep(0.05)


@dataclass
class Plant:
    """Broker, workers and jobs of one fault test."""

    folder: Path
    broker: Broker
    environment: dict[str, str] = field(default_factory=dict)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    submitted: list[str] = field(default_factory=list)
    app: str = "tests.faults.counting_worker"
    queue: str = "parse"

    def __post_init__(self) -> None:
        self.settings = WorkerSettings(
            redis_url=self.broker.url, state=self.folder / "state", lease_s=2.0
        )
        self.celery = make_celery(self.settings)
        self.redis: Redis = connect(self.settings)
        self.jobs = Jobs(self.redis, JobLimits.of(self.settings))

    def start_worker(self, url: str | None = None, children: int = 2) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "MATPROP_REDIS_URL": url or self.broker.url,
            "MATPROP_STATE": str(self.settings.state),
            "MATPROP_LEASE_S": "2",
            "MATPROP_REDIS_TIMEOUT_S": "2",
            "MATPROP_GRACE_S": "2",
            **self.environment,
        }
        name = f"w{len(self.workers)}"
        self.urls.append(environment["MATPROP_REDIS_URL"])
        command = [sys.executable, "-m", "celery", "-A", self.app, "worker"]
        command += ["-Q", self.queue, "-c", str(children), "-n", f"{name}@%h"]
        with (self.folder / f"{name}.log").open("ab") as log:
            worker = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.workers.append(worker)
        return worker

    def tend(self) -> None:
        """What a supervisor does: a worker that ended (celery's, when a child dies at its start) is replaced."""
        for place, worker in enumerate(list(self.workers)):
            if worker.poll() not in (None, 0, -signal.SIGKILL):
                self.start_worker(self.urls[place])
                self.workers[place] = self.workers.pop()
                self.urls[place] = self.urls.pop()

    def wait_for_workers(self, number: int) -> None:
        wait_until(lambda: self.jobs.health().workers[self.queue] >= number, "workers")

    def submit(self, *, direct: bool, work_ms: int = 5, label: str | None = None) -> str:
        """As the service does; a broker that is away is asked again with the same id."""
        new = NewJob(
            id=new_id("job"), kind=Task.PREDICT, order=str(work_ms), label=label, direct=direct
        )
        while True:
            try:
                assert self.jobs.submit(new)
                if not direct:
                    publish(self.celery, new.kind, new.id)
                break
            except (BrokerAway, OSError, self.celery.connection().OperationalError):
                time.sleep(0.05)
        self.submitted.append(new.id)
        return new.id

    def children(self) -> list[int]:
        """Process ids of the workers' children."""
        found = []
        for worker in self.workers:
            if worker.poll() is None:
                listed = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text()
                found += [int(pid) for pid in listed.split()]
        return found

    def unfinished(self) -> int:
        return self.redis.zcard("mp:due") + self.redis.zcard("mp:leases")

    def wait_for_all(self) -> None:
        self.keep_up(0)

    def keep_up(self, most: int = 500) -> None:
        """Wait until no more than so many jobs are unfinished: the queue is bounded."""

        def over() -> bool:
            self.tend()
            try:
                return self.unfinished() <= most
            except RedisError:  # it is away just now
                return False

        wait_until(over, f"the end of all but {most} jobs")

    def counted(self, name: str) -> Counter[str]:
        """How many claims of each job have told this."""
        return Counter(told.decode().split()[0] for told in self.redis.smembers(name))

    def lost(self) -> list[str]:
        return [job for job in self.submitted if self.jobs.get(job).status is not Status.SUCCEEDED]

    def check_none_lost_or_doubled(self) -> None:
        assert self.lost() == []
        assert self.jobs.health().counters["jobs_ended:predict:succeeded"] == len(self.submitted)
        assert max(self.counted("committed").values()) == 1

    def executed_twice(self) -> int:
        return sum(number > 1 for number in self.counted("executed").values())

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()
        self.redis.close()
        self.broker.kill()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """Ends everything it started."""
    with tempfile.TemporaryDirectory(prefix="mp") as folder:
        built = Plant(tmp_path, Broker(Path(folder), free_port()).start())
        yield built
        built.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Lets a row know whether its test has held."""
    report = yield
    item.stash.setdefault(HELD, {})[report.when] = report.passed
    return report


@pytest.fixture
def row(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Row]:
    """What a test has to tell; kept when it was done at acceptance size."""
    path = RESULTS if AT_ACCEPTANCE else tmp_path / RESULTS.name
    with written(path, request.node.stash.setdefault(HELD, {})) as told:
        yield told

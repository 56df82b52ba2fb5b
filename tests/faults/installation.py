"""Real service and workers around a fault test's broker, each of which can be started again."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.faults.conftest import ROOT, Plant, wait_until

LOOK_S = 0.2


@dataclass
class Installation:
    """The service lets in through a socket that outlives its processes, as under `matprop up`."""

    plant: Plant
    redis_url: str
    door: socket.socket = field(
        default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=1024)
    )
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    numbers: int = 0

    @property
    def port(self) -> int:
        return int(self.door.getsockname()[1])

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        """The service, or the worker of a queue."""
        self.numbers += 1
        environment = {
            **os.environ,
            "MATPROP_REDIS_URL": self.redis_url,
            "MATPROP_STATE": str(self.plant.settings.state),
            "MATPROP_LEASE_S": "3",
            "MATPROP_REDIS_TIMEOUT_S": "2",
            "MATPROP_MAX_KEPT_JOBS": "1000000",  # each is asked for at the end
            "MATPROP_LISTEN_FD": str(self.door.fileno()),
        }
        if name == "service":
            command = [sys.executable, "-m", "service"]
        else:
            command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", name]
            command += ["-c", "2" if name == "parse" else "1", "-n", f"{name}-{self.numbers}@%h"]
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                pass_fds=[self.door.fileno()],
            )
        return self.running[name]

    def log(self, name: str) -> Path:
        return self.plant.folder / f"{name}-{self.numbers}.log"

    def replace(self, name: str) -> None:
        """The new one first, then the old one may go."""
        old = self.running[name]
        before = self.plant.jobs.health().workers.get(name, 0)
        self.start(name)
        if name == "service":
            log = self.log(name)
            wait_until(lambda: b"startup complete" in log.read_bytes(), "a service")
        else:
            wait_until(lambda: self.plant.jobs.health().workers.get(name, 0) > before, name)
        old.send_signal(signal.SIGTERM)
        assert old.wait(60) in (0, -signal.SIGTERM)

    def status(self, path: str) -> int:
        """Of a GET; 0 without an answer."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=10
            ) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def wait_ready(self) -> None:
        wait_until(lambda: self.status("/health/ready") == 200, "readiness")

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
        for process in self.running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
        self.door.close()


@contextmanager
def installed(plant: Plant, redis_url: str | None = None) -> Iterator[Installation]:
    """Ready, and gone at the end of the block."""
    built = Installation(plant, redis_url or plant.broker.url)
    try:
        for name in ("infer", "parse", "service"):
            built.start(name)
        built.wait_ready()
        yield built
    finally:
        built.stop()


class Scales:
    """The most memory that the processes of a name have held, looked at a few times a second."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.most: dict[str, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Scales":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(LOOK_S):
            for name, process in list(self.installation.running.items()):
                with suppress(psutil.Error):
                    tree = psutil.Process(process.pid)
                    for one in (tree, *tree.children(recursive=True)):
                        self._weigh(name if one is tree else f"{name} children", one)

    def _weigh(self, name: str, process: psutil.Process) -> None:
        with suppress(psutil.Error):
            held = int(process.memory_info().rss)
            self.most[name] = max(self.most.get(name, 0), held)


def seconds_of(action: object) -> float:
    """How long a call takes."""
    began = time.monotonic()
    action()  # type: ignore[operator]
    return time.monotonic() - began

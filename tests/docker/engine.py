"""Podman as it works on this machine, and the composition run by it."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BROKER = "docker.io/valkey/valkey:9.1-alpine"
OWN_BROKER = "localhost/matprop-broker"
IMAGES = ("localhost/matprop-service", "localhost/matprop-worker")
# Where the kernel, not podman, says no: podman asks for more open files than root may have in some sandboxes, and
# crun does not take two generations of control groups at once.
MODEST = """[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
[engine]
runtime = "runc"
"""


class Unavailable(Exception):
    """Containers cannot run here; the message says why."""


class Podman:
    """Commands of podman in an environment in which containers start."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def run(self, *words: str, timeout_s: float = 120) -> "subprocess.CompletedProcess[str]":
        command = ["podman", *words]
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=timeout_s,
        )

    def said(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout.strip()

    def has(self, image: str) -> bool:
        return self.run("image", "exists", image).returncode == 0

    def size_mb(self, image: str) -> float:
        return float(self.said("image", "inspect", "--format", "{{.Size}}", image)) / 1e6


def podman_here(folder: Path) -> Podman:
    """Raises: Unavailable."""
    for program in ("podman", "podman-compose"):
        if not shutil.which(program, path=search_path()):
            raise Unavailable(f"{program} is not installed")
    podman = Podman({**os.environ, "PATH": search_path()})
    if missing := [image for image in IMAGES if not podman.has(image)]:
        raise Unavailable(f"not built (make images): {', '.join(missing)}")
    refused = podman.run("run", "--rm", IMAGES[0], "true")
    if refused.returncode == 0:
        return podman
    file = folder / "containers.conf"
    file.write_text(MODEST.format(files=soft(resource.RLIMIT_NOFILE), processes=8192))
    modest = Podman({**podman.environment, "CONTAINERS_CONF": str(file)})
    again = modest.run("run", "--rm", IMAGES[0], "true")
    if again.returncode:
        raise Unavailable(f"no container starts: {refused.stderr.strip()}; {again.stderr.strip()}")
    return modest


def search_path() -> str:
    """Programs of the virtual environment count too: podman-compose is one."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def soft(limit: int) -> int:
    return min(resource.getrlimit(limit)[1], 16_384)


class Composition:
    """The real docker-compose.yml under a project name of its own."""

    def __init__(self, podman: Podman, port: int, key: str) -> None:
        self.podman = podman
        self.url = f"http://127.0.0.1:{port}"
        self.project = f"matprop-test-{os.getpid()}"
        broker = BROKER if podman.has(BROKER) else OWN_BROKER
        self.environment = {
            **podman.environment,
            "MATPROP_ADMIN_KEY": key,
            "MATPROP_PUBLISH": f"127.0.0.1:{port}",
            "MATPROP_BROKER_IMAGE": broker,
        }

    def compose(self, *words: str) -> str:
        command = ["podman-compose", "-p", self.project, "-f", str(ROOT / "docker-compose.yml")]
        done = subprocess.run(
            [*command, *words],
            check=False,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=300,
            cwd=ROOT,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    @contextlib.contextmanager
    def up(self) -> Iterator["Composition"]:
        """Everything started, and healthy by the checks of the composition; gone at the end."""
        try:
            self.compose("up", "-d")
            yield self
        finally:
            self.compose("down", "-v", "-t", "10")

    def container(self, service: str) -> str:
        return f"{self.project}_{service}_1"

    def execute(self, service: str, *words: str) -> "subprocess.CompletedProcess[str]":
        return self.podman.run("exec", self.container(service), *words)

    def healthy(self, service: str) -> bool:
        """By the check that the composition names; nobody else runs it here without systemd."""
        return self.podman.run("healthcheck", "run", self.container(service)).returncode == 0

    def state(self, service: str) -> dict[str, Any]:
        found = json.loads(self.podman.said("inspect", self.container(service)))[0]
        return dict(found["State"], Restarts=found["RestartCount"])

    def kill(self, service: str) -> int:
        """SIGKILL to all processes of a container, as a machine out of memory does it; its old id."""
        pid = int(self.state(service)["Pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def logs(self, service: str) -> str:
        done = self.podman.run("logs", "--tail", "60", self.container(service))
        return done.stdout + done.stderr

    def left(self) -> list[str]:
        """Containers, volumes and networks that carry the project's name."""
        lists = (["ps", "-a", "--format", "{{.Names}}"], ["volume", "ls", "-q"])
        found = [name for words in lists for name in self.podman.said(*words).split()]
        found += self.podman.said("network", "ls", "-q").split()
        return [name for name in found if self.project in name]


def until(ready: Callable[[], bool], within_s: float, what: str) -> None:
    """Ask again and again: what goes on in a container tells nobody outside."""
    end = time.monotonic() + within_s
    while not ready():
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        time.sleep(0.5)

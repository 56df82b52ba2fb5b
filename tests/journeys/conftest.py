"""The whole service as a user starts it, on a free port and an empty state folder."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
BOUNDARY = "matprop-journey"


@dataclass
class Running:
    process: "subprocess.Popen[str]"
    url: str
    state: Path
    printed: list[str] = field(default_factory=list)

    def call(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        request = urllib.request.Request(self.url + path, body, method=method)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, head, data = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, head, data = error.code, error.headers, error.read()
        is_json = "json" in (head.get("Content-Type") or "")
        return (
            status,
            {k.lower(): v for k, v in head.items()},
            json.loads(data) if is_json else data,
        )

    def form(
        self, path: str, *parts: tuple[str, str | None, bytes], **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        body = b""
        for name, file, data in parts:
            mark = f'; filename="{file}"' if file else ""
            body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{mark}\r\n\r\n'.encode()
            body += data + b"\r\n"
        body += f"--{BOUNDARY}--\r\n".encode()
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        return self.call("POST", path, body, Content_Type=kind, **headers)

    def predict(self, *files: tuple[str, bytes], model: str = "formation-energy") -> dict[str, Any]:
        parts = [("files", name, data) for name, data in files]
        status, _, body = self.form(
            "/v1/predictions", *parts, ("model", None, model.encode()), Prefer="wait=60"
        )
        assert status == 200, body
        return body  # type: ignore[no-any-return]

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if self.call("GET", "/health/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"never ready: {self.call('GET', '/health/ready')}")

    def children(self, word: str) -> list[psutil.Process]:
        """The processes under the supervisor whose command line holds a word."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if word in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def at_work(self, word: str) -> list[psutil.Process]:
        """Of these, those that the supervisor's own children have started."""
        found = []
        for child in self.children(word):
            with suppress(psutil.NoSuchProcess):
                if child.ppid() != self.process.pid:
                    found.append(child)
        return found

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.communicate(timeout=60)


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL; some may go with the first of them."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _start(state: Path, *options: str) -> Running:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "service.cli.main",
            "up",
            "--port",
            "0",
            "--state",
            str(state),
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200", "MATPROP_LEASE_S": "3"},
    )
    printed: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        printed.append(line)
        if "curl" in line:
            break
    else:
        raise AssertionError("it did not start:\n" + "".join(printed))
    address = next(line for line in printed if "http://" in line)
    url = "http://" + address.split("http://", 1)[1].split()[0].split("/")[0]
    return Running(process, url, state, printed)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    service = _start(tmp_path_factory.mktemp("journey"))
    service.wait_ready()
    yield service
    service.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts services of a test's own, and ends them."""
    started: list[Running] = []

    def begin(*options: str, state: Path = tmp_path / "state") -> Running:
        started.append(_start(state, *options))
        return started[-1]

    yield begin
    for service in started:
        service.stop()


@pytest.fixture(scope="session")
def rock_salt() -> Callable[..., bytes]:
    """Writes a POSCAR of rock salt with a given edge and elements."""
    return _rock_salt


def _rock_salt(edge: float, cation: str = "Na", anion: str = "Cl") -> bytes:
    sites = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
    lines = ["rock salt", "1.0", f"{edge} 0 0", f"0 {edge} 0", f"0 0 {edge}"]
    lines += [f"{cation} {anion}", "4 4", "Direct"]
    lines += [f"{x} {y} {z}" for x, y, z in sites]
    lines += [f"{(x + 0.5) % 1} {(y + 0.5) % 1} {(z + 0.5) % 1}" for x, y, z in sites]
    return ("\n".join(lines) + "\n").encode()

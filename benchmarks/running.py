"""A whole service of its own for a measurement: started by the product's command, ended after it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any


@contextmanager
def service(workers: int = 2, state: Path | None = None) -> Iterator[int]:
    """The port of a service that is ready; without a `state` folder it forgets all at its end.

    Whoever ends this process ends the service too.
    """
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="matprop-bench-") as scratch:
        command = [sys.executable, "-m", "service.cli.main", "up", "--port", "0"]
        command += ["--state", str(state or scratch), "--workers", str(workers)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"COLUMNS": "200"},
        )
        try:
            yield _port(process)
        finally:
            process.terminate()
            process.wait(60)


def _port(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if "http://" in line:
            return int(line.split("http://", 1)[1].split("/")[0].split(":")[1].split()[0])
    raise SystemExit("the service did not start:\n" + "".join(seen))


class Caller:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=120)

    def send(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        """Status and decoded body of one request."""
        self.connection.request(
            method, path, body, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")

    def predict(self, structures: list[dict[str, str]], models: list[str]) -> tuple[int, Any]:
        """A prediction by JSON."""
        body = json.dumps({"structures": structures, "models": models}).encode()
        return self.send(
            "POST", "/v1/predictions", body, content_type="application/json", prefer="wait=60"
        )

    def upload(self, path: str, parts: list[tuple[str, str | None, bytes]]) -> tuple[int, Any]:
        """A multipart form of (field, file name or none, bytes)."""
        mark = "matprop-form-boundary"
        body = b""
        for field, file, data in parts:
            name = f'; filename="{file}"' if file else ""
            body += (
                f'--{mark}\r\nContent-Disposition: form-data; name="{field}"{name}\r\n\r\n'.encode()
            )
            body += data + b"\r\n"
        body += f"--{mark}--\r\n".encode()
        return self.send(
            "POST",
            path,
            body,
            content_type=f"multipart/form-data; boundary={mark}",
            prefer="wait=60",
        )


def wait_ready(port: int) -> None:
    """Return when the service says it is ready."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the service did not become ready")

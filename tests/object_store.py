"""An S3 server on this machine, in a thread of the tests; it can go away and refuse."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from tests.ports import free_port

BUCKET = "matprop-files"
ANSWER = "<?xml version='1.0'?><Error><Code>{}</Code><Message>so it is</Message></Error>"
# What the tests sign with; the server believes everybody.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tester",
    "AWS_SECRET_ACCESS_KEY": "the-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        pass


class ObjectStore:
    """What it holds outlives its going away."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        self.app = DomainDispatcherApplication(create_backend_app)
        self.refusal: tuple[int, str] | None = None
        self.calls: list[str] = []
        self.port = free_port()
        self.server: BaseWSGIServer | None = None
        self.back()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        self.calls.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        if self.refusal is None:
            return self.app(environ, start)  # type: ignore[no-any-return]
        status, code = self.refusal
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start(f"{status} Refused", [("Content-Type", "application/xml")])
        is_told = environ["REQUEST_METHOD"] != "HEAD"  # to which an answer has no body
        return [ANSWER.format(code).encode()] if is_told else []

    def go(self) -> None:
        """Nobody answers there any more."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def back(self) -> None:
        """It answers again, at the same address."""
        self.server = make_server(
            "127.0.0.1", self.port, self, threaded=True, request_handler=Quiet
        )
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @contextmanager
    def away(self) -> Iterator[None]:
        """For the block, or until it is `back`."""
        self.go()
        try:
            yield
        finally:
            if self.server is None:
                self.back()

    @contextmanager
    def refusing(self, status: int, code: str) -> Iterator[None]:
        """Every call is answered so."""
        self.refusal = (status, code)
        try:
            yield
        finally:
            self.refusal = None

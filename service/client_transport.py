"""One request until it is answered: again after cuts and refusals for the moment, never twice done."""

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx2

from service.client_errors import Problem, ServiceError, Unreachable, problem_of

DEFAULT_URL = "http://127.0.0.1:8000"
AGAIN = frozenset({429, 502, 503, 504})
LONGEST_PAUSE_S = 10.0


class Transport:
    """Sends, waits and sends again as long as its patience lasts."""

    def __init__(
        self,
        url: str | None,
        key: str | None,
        patience_s: float,
        *,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = address(url or os.environ.get("MATPROP_URL") or DEFAULT_URL)
        self.key = key or os.environ.get("MATPROP_KEY")
        self.patience_s = patience_s
        self.clock = clock
        self.over = threading.Event()
        self._sleep = sleep
        self._answered = threading.Event()
        headers = {"User-Agent": "matprop-client"}
        if self.key:
            headers["Authorization"] = f"Bearer {checked_key(self.key)}"
        self.http = httpx2.Client(
            base_url=self.url,
            headers=headers,
            transport=transport,
            timeout=httpx2.Timeout(60.0, connect=5.0),
            trust_env=not is_loopback(self.url),  # a proxy does not lead to this machine
        )

    def until(self, over: threading.Event) -> Self:
        """The same, for requests that nobody waits for any more once `over` is set."""
        one = copy(self)
        one.over = over
        return one

    def sleep(self, seconds: float) -> None:
        """Raises ServiceError when nobody waits any more."""
        (self._sleep or self.over.wait)(seconds)
        self.go_on()

    def go_on(self) -> None:
        """Raises ServiceError when nobody waits any more."""
        if self.over.is_set():
            raise ServiceError("given up")

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        answer_s: float = 30.0,
        **parts: Any,
    ) -> httpx2.Response:
        """The answer, whatever its status, unless that asks to come again. Raises Unreachable."""
        until = self.clock() + self.patience_s
        timeout = httpx2.Timeout(answer_s + 15.0, connect=5.0)
        tried = 0
        while True:
            pause, failure, response = self._pause(tried), None, None
            try:
                response = self.http.request(
                    method, path, headers=headers, timeout=timeout, **parts
                )
            except httpx2.TransportError as error:
                failure = self._unreachable(error)
                if isinstance(error, httpx2.UnsupportedProtocol) or not self._worth(error, tried):
                    raise failure from error
            if response is not None:
                self._answered.set()
                if not asks_again(response):
                    return response
                pause = max(pause, retry_after_s(response))
            if self.clock() + pause > until:
                if failure is not None:
                    raise failure
                assert response is not None
                return response
            self.sleep(pause)
            tried += 1

    def once(self, method: str, path: str) -> httpx2.Response:
        """The answer as it is, asked for once. Raises Unreachable."""
        try:
            return self.http.request(method, path, timeout=httpx2.Timeout(15.0, connect=5.0))
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    def json(self, method: str, path: str, **parts: Any) -> Any:
        """The body of a good answer. Raises Problem."""
        return body_of(self.send(method, path, **parts))

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], answer_s: float = 60.0
    ) -> Iterator[httpx2.Response]:
        """An answer that is read while it comes."""
        timeout = httpx2.Timeout(answer_s, connect=5.0)
        with self.http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.is_error:
                response.read()
                body_of(response)
            yield response

    def close(self) -> None:
        """Let go of the connections."""
        self.http.close()

    def _worth(self, error: httpx2.TransportError, tried: int) -> bool:
        """Nobody there at the very first contact is told at once: it is no passing trouble."""
        return self._answered.is_set() or tried == 0 or not isinstance(error, httpx2.ConnectError)

    def _pause(self, tried: int) -> float:
        """Twice as long each time, and by chance, so that many callers do not come at once."""
        return min(0.2 * 2.0**tried, LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)  # noqa: S311

    def _unreachable(self, error: Exception) -> Unreachable:
        if self._answered.is_set():
            return Unreachable(f"the connection to {self.url} broke: {error}")
        local = "\nStart one with: matprop up" if is_loopback(self.url) else ""
        where = "" if "MATPROP_URL" in os.environ else " (set MATPROP_URL for another address)"
        return Unreachable(f"no service answers at {self.url}{where}: {error}{local}")


def address(url: str) -> str:
    """An address people type, made whole. Raises ServiceError."""
    whole = (url if "://" in url else f"http://{url}").rstrip("/")
    try:
        parts = httpx2.URL(whole)
    except (httpx2.InvalidURL, ValueError):
        parts = httpx2.URL("")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ServiceError(
            f"{url!r} is no address of a service; one looks like {DEFAULT_URL} "
            "(MATPROP_URL sets it)"
        )
    return whole


def checked_key(key: str) -> str:
    """A key that fits into a header. Raises ServiceError."""
    if key.isascii() and key.isprintable():
        return key
    raise ServiceError("the key holds signs that no key has (MATPROP_KEY sets it)")


def is_loopback(url: str) -> bool:
    """Whether this machine itself is meant."""
    host = httpx2.URL(url).host
    return host in ("localhost", "::1") or host.startswith("127.")


def asks_again(response: httpx2.Response) -> bool:
    """Whether the same request may do better soon."""
    if response.status_code == 409:
        return code_of(response) == "idempotency_running"
    return response.status_code in AGAIN


def code_of(response: httpx2.Response) -> str | None:
    """The problem's code, if it is a problem."""
    try:
        code = response.json().get("code")
    except (ValueError, AttributeError):
        return None
    return code if isinstance(code, str) else None


def retry_after_s(response: httpx2.Response) -> float:
    """How long the service asks us to wait."""
    told = response.headers.get("Retry-After", "")
    if told.isdigit():
        return float(told)
    try:
        return max(0.0, (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def body_of(response: httpx2.Response) -> Any:
    """What a good answer holds. Raises Problem for the others."""
    try:
        body = response.json() if response.content else None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        body = {"detail": f"{response.url} is not a matprop service"}
        if not response.is_error:
            raise Problem(response.status_code, body) from error
    if response.is_error:
        raise problem_of(response.status_code, body if isinstance(body, dict) else {})
    return body

"""What every request passes: a name, a look at host and size, a clock, a line in the log."""

import asyncio
import logging
import time
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import ids
from service.keys import Keys
from service.metrics import HttpMetrics
from service.problems import Problem, brief
from service.settings import ServiceSettings
from workers import logs, tracing

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})

log = logging.getLogger("matprop.service")


@dataclass(slots=True)
class Traffic:
    """How busy the process is, and whether it is about to stop."""

    in_flight: int = 0
    stopping: bool = False


@dataclass(slots=True)
class Meeting:
    """What is known about one request; lies in `scope["state"]["meeting"]`."""

    request_id: str
    traceparent: str | None
    began: float
    owner: str = "-"
    headers: dict[str, str] = field(default_factory=dict)
    job: str | None = None
    span: tracing.Span | None = None


class Identify:
    """Gives the request its name, answers for every exception, writes the log line and the metrics."""

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics, traffic: Traffic) -> None:
        self.app = app
        self.traffic = traffic
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, from its name to its line in the log."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        meeting = Meeting(
            ids.request_id(headers.get("x-request-id")),
            ids.traceparent(headers.get("traceparent")),
            time.perf_counter(),
        )
        with tracing.span(brief(scope["method"], 12), meeting.traceparent, "server") as span:
            meeting.span, meeting.traceparent = span, span.traceparent
            with logs.about(request_id=meeting.request_id, traceparent=meeting.traceparent):
                await self._meet(meeting, scope, receive, send)

    async def _meet(self, meeting: Meeting, scope: Scope, receive: Receive, send: Send) -> None:
        head = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET" if head else scope["method"]}
        inner["state"] = {**scope.get("state", {}), "meeting": meeting, "head": head}
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                finish_head(message, meeting, stopping=self.traffic.stopping)
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self.app(inner, receive, answer)
        except Problem as problem:
            if status:
                raise
            await problem.response(meeting.request_id)(inner, receive, answer)
        except ClientDisconnect:
            status = status or 499  # nobody is there to answer; the figure is for the log
        except Exception:
            log.exception("unexpected error")
            if status:
                raise
            fault = Problem(
                "internal", "Something went wrong on our side; the request id leads to the reason."
            )
            await fault.response(meeting.request_id)(inner, receive, answer)
        finally:
            self._note(inner, meeting, status, head=head)

    def _note(self, scope: Scope, meeting: Meeting, status: int, *, head: bool) -> None:
        seconds = time.perf_counter() - meeting.began
        method = "HEAD" if head else scope["method"]
        self.metrics.seen(method, scope.get("route"), status, seconds)
        if meeting.span is not None:
            route = getattr(scope.get("route"), "path", "unknown")
            meeting.span.tell(
                name=f"{brief(method, 12)} {route}",
                failed=status >= 500,
                http_route=route,
                http_status=status,
                request=meeting.request_id,
                job=meeting.job,
            )
        told = {"status": status, "seconds": round(seconds, 6), "owner": meeting.owner}
        log.info(
            "%s %s %d %.1f ms owner=%s%s",
            brief(method, 12),
            brief(scope["path"], 200),
            status,
            seconds * 1000,
            meeting.owner,
            f" job={meeting.job}" if meeting.job else "",
            extra={"told": {**told, "job": meeting.job}},
        )


def finish_head(message: Message, meeting: Meeting, *, stopping: bool) -> None:
    """Headers that every answer carries."""
    headers = MutableHeaders(raw=message["headers"])
    headers["X-Request-ID"] = meeting.request_id
    headers["X-Content-Type-Options"] = "nosniff"
    for name, value in meeting.headers.items():
        headers.setdefault(name, value)  # a refusal knows better which quota it is about
    if stopping:
        headers["Connection"] = "close"
    message["headers"] = headers.raw


class Guard:
    """Refuses what needs no look inside: foreign hosts, other sites' pages, too much at once."""

    def __init__(
        self, app: ASGIApp, *, settings: ServiceSettings, traffic: Traffic, keys: Keys
    ) -> None:
        self.app = app
        self.keys = keys
        self.settings = settings
        self.traffic = traffic
        more = (name.strip().lower() for name in settings.allowed_hosts.split(","))
        self.larger = {
            "/v1/datasets": settings.max_dataset_bytes,
            "/v1/screenings": settings.max_screening_bytes,
        }
        self.hosts = LOOPBACK_NAMES | {name for name in more if name}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses, or counts the request in and measures its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not self.keys.required:
            self._same_site(scope["method"], headers)
        most = self.settings.max_body_bytes
        if scope["method"] == "POST":
            most = self.larger.get(scope["path"].rstrip("/"), most)
        measured = Measured(receive, self.settings, headers, most)
        if self.traffic.in_flight >= self.settings.max_requests and not scope["path"].startswith(
            "/health"
        ):
            raise Problem("busy", f"{self.traffic.in_flight} requests are in progress.")
        self.traffic.in_flight += 1
        try:
            await self.app(scope, measured, send)
        finally:
            self.traffic.in_flight -= 1

    def _same_site(self, method: str, headers: Headers) -> None:
        """Without keys, whoever reaches the port is trusted: so a web page must not reach it."""
        host = host_name(headers.get("host", ""))
        if host not in self.hosts:
            raise Problem(
                "host_not_allowed",
                f"This service answers to loopback names only, not to {brief(host)!r}.",
            )
        origin = headers.get("origin")
        if method in READING or origin is None:
            return
        if host_name(origin.partition("://")[2]) not in self.hosts:
            raise Problem("cross_site", f"A page of {brief(origin)!r} sent this.")


def host_name(host: str) -> str:
    """The name without the port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


class Measured:
    """The body as it comes, counted and timed; too much is 413, too slow 408."""

    def __init__(
        self, receive: Receive, settings: ServiceSettings, headers: Headers, most: int
    ) -> None:
        self.receive = receive
        self.settings = settings
        self.most = most
        self.size = 0
        self.waited = 0.0
        self.complete = False
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > most:
            raise self._too_large(f"{int(length[:20]):,}")

    async def __call__(self) -> Message:
        """The next message of the request."""
        if self.complete:  # only the end of the connection is left to come, whenever that is
            return await self.receive()
        message = await self._in_time()
        if message["type"] == "http.request":
            self.size += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
            if self.size > self.most:
                raise self._too_large(f"more than {self.most:,}")
        return message

    async def _in_time(self) -> Message:
        allowed = self.settings.receive_s + self.size / self.settings.receive_bytes_per_s
        began = time.monotonic()
        try:
            async with asyncio.timeout(allowed - self.waited):
                return await self.receive()
        except TimeoutError:
            raise Problem(
                "receive_timeout",
                f"{self.size:,} bytes of the body came in {allowed:.0f} s, and it is not complete.",
                headers={"Connection": "close"},
            ) from None
        finally:
            self.waited += time.monotonic() - began

    def _too_large(self, size: str) -> Problem:
        return Problem(
            "body_too_large",
            f"The body has {size} bytes; one request may have {self.most:,}.",
            expected=f"at most {self.most} bytes",
            hint=f"One structure may have {self.settings.max_structure_bytes:,} bytes: leave volumetric data "
            "out. Send many structures as a zip archive, or in several calls.",
        )

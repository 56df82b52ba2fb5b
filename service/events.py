"""A job's events as server-sent events; every stream ends: with the job, its time, or the service."""

import re
import time
from collections.abc import AsyncIterator, Sequence

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.house import House
from service.problems import Problem
from service.reach import reaching
from workers.jobs import Event

MEDIA_TYPE = "text/event-stream"
BLOCK_MS = 1_500  # below the socket's timeout; also how long a stop of the service may go unseen
ID = re.compile(r"\d{1,15}-\d{1,9}")
PING = b": ping\n\n"


def last_seen(header: str | None) -> str | None:
    """The event that the client saw last; what is not one of our ids counts as none."""
    return header if header and ID.fullmatch(header) else None


async def after(house: House, job: str, last: str, block_ms: int = 0) -> Sequence[Event]:
    """Events after the last one; waits for the first of them if told to."""
    async with reaching():
        return await house.jobs.events(job, last, block_ms)


class EventStream(StreamingResponse):
    """A stream that holds one of the places there are, as long as it lasts."""

    def __init__(self, house: House, job: str, last: str) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(stream(house, job, last), headers=headers, media_type=MEDIA_TYPE)
        self.house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Until the end of the stream or of the connection; raises `Problem` when there is no place."""
        if self.house.streams >= self.house.settings.max_streams:
            raise Problem("busy", f"{self.house.streams} event streams are open.")
        self.house.streams += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.house.streams -= 1


async def stream(house: House, job: str, last: str) -> AsyncIterator[bytes]:
    """The events in the form of the wire."""
    yield b"retry: 2000\n\n"
    try:
        if last == "0" and not await after(house, job, last):
            yield await present(house, job)
        async for chunk in followed(house, job, last):
            yield chunk
    except Problem:  # the broker has gone; the client comes back with Last-Event-ID
        yield b": the queue is away\n\n"


async def present(house: House, job: str) -> bytes:
    """How it stands now, for a job that has told nothing yet; without an id, because it is no event."""
    async with reaching():
        record = await house.jobs.get(job)
    if record is None:
        return PING
    data = orjson.dumps({"status": record.status, "attempt": record.attempt})
    return b"event: status\ndata: %s\n\n" % data


async def followed(house: House, job: str, last: str) -> AsyncIterator[bytes]:
    """Events until the end, with a ping in every silence."""
    until = time.monotonic() + house.settings.stream_s
    spoke = time.monotonic()
    while time.monotonic() < until and not house.traffic.stopping:
        found = await after(house, job, last, BLOCK_MS)
        for event in found:
            last = event.id
            yield framed(event)
            if event.kind == "done":
                return
        now = time.monotonic()
        if found:
            spoke = now
        elif now - spoke >= house.settings.ping_s:
            yield PING
            spoke = now
        if not found and await gone(house, job, last):
            return


async def gone(house: House, job: str, last: str) -> bool:
    """Whether nothing more can come: the job was purged, or has ended and told so before `last`."""
    async with reaching():
        record = await house.jobs.get(job)
    return record is None or (record.status.ended and not await after(house, job, last))


def framed(event: Event) -> bytes:
    """One event on the wire."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (
        event.id.encode(),
        event.kind.encode(),
        orjson.dumps(event.data),
    )

"""From an accepted job to its records, however long it takes and however often the line breaks."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx2

from service.client_errors import JobCancelled, JobFailed, Problem, Unavailable
from service.client_inputs import Source
from service.client_records import Event, Progress, Record, Records
from service.client_transport import Transport, body_of
from service.schemas.job import JobStatus, JobView

ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
PAGE = 500
LONGEST_PAUSE_S = 1.0


class Follower:
    """Posts, waits, reads."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def post(
        self,
        form: dict[str, Any],
        sources: list[Source],
        *,
        wait_s: int,
        path: str = "/v1/predictions",
        field: str = "files",
    ) -> dict[str, Any]:
        """Send files once, whatever it takes; an answer of failures only is an answer too."""
        prefer = f"wait={wait_s}" if wait_s else "respond-async"
        headers = {"Prefer": prefer, "Idempotency-Key": str(uuid.uuid4())}
        files = [(field, (one.sent_as, one.read(), "application/octet-stream")) for one in sources]
        try:
            response = self.transport.send(
                "POST", path, headers=headers, data=form, files=files, answer_s=wait_s + 30.0
            )
            return dict(body_of(response))
        except Problem as refusal:
            if "records" in refusal.body and "job" in refusal.body:
                return refusal.body | {"status": JobStatus.SUCCEEDED}
            raise

    def job(self, job: str) -> JobView:
        """Where it stands."""
        return JobView.model_validate(self.transport.json("GET", f"/v1/jobs/{job}"))

    def wait(self, job: str, progress: Callable[[Progress], None] | None = None) -> JobView:
        """The job once it has succeeded. Raises JobFailed, JobCancelled."""
        pause = 0.05
        while True:
            view = self.job(job)
            if progress is not None:
                now = view.progress
                progress(Progress(now.done, now.total or now.done, now.failed))
            if view.status in ENDED:
                break
            self.transport.sleep(pause)
            pause = min(1.5 * pause, LONGEST_PAUSE_S)
        if view.status == JobStatus.SUCCEEDED:
            return view
        why = view.error.model_dump(exclude_none=True) if view.error else None
        kind = JobCancelled if view.status == JobStatus.CANCELLED else JobFailed
        raise kind(job, view.status, why)

    def records(self, job: str, progress: Callable[[Progress], None] | None = None) -> Records:
        """All records of a job that has succeeded, or will."""
        self.wait(job, progress)
        first = self.transport.json("GET", f"/v1/predictions/{job}", params={"limit": PAGE})
        return self.pages(first)

    def pages(self, page: dict[str, Any]) -> Records:
        """This page's records and those of the pages after it."""
        found = Records(Record.model_validate(one) for one in page["records"])
        while following := page.get("links", {}).get("next"):
            page = self.transport.json("GET", following)
            found.extend(Record.model_validate(one) for one in page["records"])
        return found

    def events(self, job: str) -> Iterator[Event]:
        """Server-sent events to the last one; a broken stream goes on after the last event seen."""
        last: str | None = None
        broken = 0
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            news = False
            try:
                with self.transport.stream(f"/v1/jobs/{job}/events", headers) as response:
                    for event in parsed(response.iter_lines()):
                        broken, news, last = 0, True, event.id or last
                        yield event
                        if event.kind == "done":
                            return
                if not news and self.job(job).status in ENDED:
                    return  # nothing more can come
            except (httpx2.TransportError, Unavailable):
                broken += 1
                if broken > 5:
                    raise
            self.transport.sleep(min(0.2 * 2**broken, 10.0))


def parsed(lines: Iterator[str]) -> Iterator[Event]:
    """Events of a text/event-stream; comments are pings."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                data = json.loads(fields["data"])
                yield Event(fields.get("id"), fields.get("event", "message"), data)
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = (
                f"{fields[name]}\n{value}" if name == "data" and name in fields else value
            )

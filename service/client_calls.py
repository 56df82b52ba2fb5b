"""One `predict` of many structures: its requests, some at a time."""

import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from service.client_errors import ServiceError, Unreachable
from service.client_follow import Follower
from service.client_inputs import Source, chunks_of, places
from service.client_records import Progress, Records
from service.schemas.job import JobStatus

IN_FLIGHT = 4
SMALL_CALL = 8  # up to here one request is the fastest
MOST_A_CALL = 500
CALL_BYTES = 32_000_000
POST_WAIT_S = 10

OnProgress = Callable[[Progress], None]


class Call:
    """One `predict`: its requests, some at a time, and their records in order."""

    def __init__(
        self,
        follower: Follower,
        form: dict[str, Any],
        progress: OnProgress | None,
        sources: list[Source],
    ) -> None:
        self.transport = follower.transport
        self.form = form
        self.progress = progress
        self.total = len(sources)
        self.chunks = list(chunks_of(sources, most(self.total), CALL_BYTES))
        self.done: dict[int, Progress] = {}
        self.jobs: dict[int, str] = {}
        self.over = threading.Event()  # nobody waits for the other requests once one has failed
        self.follower = Follower(self.transport.until(self.over))

    def run(self) -> Records:
        """All records. Raises the first fault, after cancelling what still runs."""
        if not self.chunks:
            return Records()
        if self.progress is not None:
            self.progress(Progress(0, self.total, 0))
        try:
            with ThreadPoolExecutor(IN_FLIGHT, "matprop") as pool:
                calls = [
                    pool.submit(self.one, number, chunk) for number, chunk in enumerate(self.chunks)
                ]
                try:
                    first_fault(calls)
                except BaseException as error:
                    self.give_up(error)
                    raise
        except Unreachable:
            raise  # what was accepted goes on and can be resumed
        except BaseException:
            self.cancel()
            raise
        return numbered(call.result() for call in calls)

    def one(self, number: int, chunk: list[Source]) -> Records:
        """The records of one request, whether they come at once or later."""
        wait_s = 1 if self.progress else POST_WAIT_S
        self.follower.transport.go_on()
        body = self.follower.post(self.form, chunk, wait_s=wait_s)
        self.jobs[number] = body["job"]
        if body["status"] == JobStatus.SUCCEEDED and body.get("records"):
            records = self.follower.pages(body)
        else:
            records = self.follower.records(body["job"], lambda now: self.tell(number, now))
        names = places([record.name for record in records], chunk)
        for record, name in zip(records, names, strict=True):
            record.rename(name)
        failed = sum(record.status == "failed" for record in records)
        self.tell(number, Progress(len(records), len(records), failed))
        self.jobs.pop(number, None)
        return records

    def tell(self, number: int, now: Progress) -> None:
        """Add one request's progress to the others'."""
        self.follower.transport.go_on()
        self.done[number] = now
        if self.progress is not None:
            parts = list(self.done.values())
            done = sum(part.done for part in parts)
            total = max(self.total, done, sum(part.total for part in parts))
            self.progress(Progress(done, total, sum(part.failed for part in parts)))

    def give_up(self, error: BaseException) -> None:
        """Stop waiting for the other requests."""
        if isinstance(error, Unreachable):
            error.jobs = tuple(self.jobs.values())
        self.over.set()

    def cancel(self) -> None:
        """Cancel what runs on; to be called when no request is on its way any more."""
        for job in list(self.jobs.values()):
            with suppress(ServiceError):
                self.transport.json("POST", f"/v1/jobs/{job}/cancel")


def most(total: int) -> int:
    """Structures a request: a few requests keep all workers busy and show progress."""
    return total if total <= SMALL_CALL else min(MOST_A_CALL, math.ceil(total / IN_FLIGHT))


def first_fault(calls: list[Future[Records]]) -> None:
    """Wait for all, or for the first that fails."""
    waiting = set(calls)
    while waiting:
        ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for call in ended:
            call.result()


def numbered(parts: Iterable[Records]) -> Records:
    """One list with its own count."""
    records = Records(record for part in parts for record in part)
    for index, record in enumerate(records):
        record.index = index
    return records

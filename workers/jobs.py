"""The jobs' records in Redis: one class for workers, one for the asyncio service, the same moves.

Every method raises `BrokerAway` when the broker cannot be reached or cannot serve.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from workers import moves
from workers.contract import Queue
from workers.ids import checked_job, checked_name, child_id, new_id
from workers.records import (
    Beat,
    Chores,
    Claim,
    Cut,
    Event,
    Health,
    Job,
    JobLimits,
    NewJob,
    Page,
    Status,
    Told,
    fields_of,
    job_of,
)
from workers.scripts import BrokerAway, away, run, run_async

__all__ = [
    "AsyncJobs",
    "Beat",
    "BrokerAway",
    "Chores",
    "Claim",
    "Event",
    "Health",
    "Job",
    "JobLimits",
    "Jobs",
    "NewJob",
    "Page",
    "Status",
    "Told",
    "child_id",
    "new_id",
]

ROUNDS = 5  # script calls that one page may cost when its filter fits few jobs
RECENT = 64  # events looked through for the newest of a kind
ANSWERS = 128  # ids taken from the answers list at once


class Jobs:
    """For workers and tools: blocking calls."""

    def __init__(self, redis: Redis, limits: JobLimits | None = None) -> None:
        self.redis = redis
        self.limits = limits or JobLimits()

    def submit(self, new: NewJob) -> bool:
        """Record the job and wake a worker; false when no more jobs are admitted."""
        return run(self.redis, moves.submit(self.limits, new))

    def get(self, job: str) -> Job | None:
        """The record; none when there is none (any more)."""
        try:
            fields = fields_of(self.redis.hgetall(_key(job)))
        except RedisError as error:
            raise away(error) from error
        return job_of(job, fields) if "kind" in fields else None

    def list(
        self,
        owner: str | None = None,
        *,
        kind: str | None = None,
        status: Status | None = None,
        label: str | None = None,
        model: str | None = None,
        parent: str | None = None,
        since: float | None = None,
        until: float | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Jobs of an owner (none: of everyone), newest first.

        `kind` may be several with spaces between; the `parent` "" is that of jobs which have none.
        """
        filters, found = _filters(kind, status, label, model, parent), Page([], cursor)
        for _ in range(ROUNDS):
            wanted = limit - len(found.jobs)
            call = moves.page(owner, found.cursor, (since, until), wanted, filters)
            found = _joined(found, run(self.redis, call))
            if found.cursor is None or len(found.jobs) >= limit:
                break
        return found

    def cancel(self, job: str) -> Status | None:
        """Queued → cancelled, running → cancelling; the status after it, none without such a job."""
        return run(self.redis, moves.cancel(job))

    def retry(self, job: str, new: str) -> bool:
        """Submit an ended job's order again as job `new`, whose upload the caller has lent before."""
        return run(self.redis, moves.retry(self.limits, job, new))

    def delete(self, job: str) -> bool:
        """Forget an ended job; its files are the caller's to remove."""
        return run(self.redis, moves.delete(job))

    def events(self, job: str, after: str = "0", block_ms: int = 0) -> Sequence[Event]:
        """Events after the one named; waits for the first one up to `block_ms`."""
        try:
            answer = self.redis.xread({_events(job): after}, block=block_ms or None)
        except RedisError as error:
            raise away(error) from error
        return moves.events_of(answer)

    def claim(self, job: str, worker: str) -> Claim | None:
        """Queued → running; `worker` is a name made for this claim alone. None: nothing to claim."""
        return run(self.redis, moves.claim(self.limits, job, worker))

    def beat(self, claim: Claim) -> Beat:
        """Renew the lease."""
        return run(self.redis, moves.beat(claim))

    def progress(
        self, claim: Claim, done: int, failed: int, total: int, *, kept: bool = False
    ) -> Beat:
        """Renew the lease and tell how far the job is; `kept` when a successor goes on from there.

        A job that gets further than its lost workers did has all its lives again.
        """
        return run(self.redis, moves.progress(claim, (done, failed, total), kept=kept))

    def tell(self, claim: Claim, events: Sequence[tuple[str, str]], before: int, now: int) -> Beat:
        """Events (kind, JSON) for whoever follows, each once: not if more than `before` is told."""
        return run(self.redis, moves.tell(claim, events, before, now))

    def finish(
        self,
        claim: Claim,
        status: Status,
        error: Mapping[str, Any] | None = None,
        counts: tuple[int, int, int] | None = None,
    ) -> bool:
        """End the job (a cancelling one as cancelled); false when this claim no longer holds it."""
        return run(self.redis, moves.finish(claim, status, error, counts))

    def release(self, claim: Claim) -> bool:
        """Give the job back to the queue, as a worker does that is told to stop."""
        return run(self.redis, moves.release(claim))

    def spread(self, claim: Claim, children: int) -> bool:
        """All children are submitted; after the last one's end the job is queued again, to close."""
        return run(self.redis, moves.spread(claim, children))

    def cut(self, claim: Claim, new: NewJob, number: int, *, size_bytes: int, last: str) -> Cut:
        """Submit a chunk of a screening, whose last structure is called so; the same number twice changes nothing."""
        return run(
            self.redis, moves.cut(self.limits, claim, new, number, size_bytes=size_bytes, last=last)
        )

    def sleep(
        self,
        claim: Claim,
        until: int,
        *,
        cut: int | None = None,
        whole: bool = False,
        fault: Mapping[str, Any] | None = None,
    ) -> bool:
        """Nobody holds the screening until so many chunks have ended; `whole` when all `cut` are all there are."""
        return run(self.redis, moves.sleep(claim, until, cut=cut, whole=whole, fault=fault))

    def lost(self, screening: str) -> dict[int, dict[str, Any]]:
        """Chunks of it that were lost, by number: the `error`, and the `order` of each."""
        try:
            return moves.lost_of(self.redis.hgetall(f"mp:lost:{checked_job(screening)}"))
        except RedisError as error:
            raise away(error) from error

    def users(self, thing: str) -> set[str]:
        """Unfinished jobs that need this data set or model."""
        try:
            return moves.ids_of(self.redis.smembers(moves.users(thing)))
        except RedisError as error:
            raise away(error) from error

    def reconcile(self, kept: int | None = None) -> Chores:
        """Set right what lost workers and messages left; any process may call it at any time.

        `kept` lowers the bound on ended jobs, when memory is short.
        """
        return run(self.redis, moves.reconcile(self.limits, kept))

    def alive(self, queue: Queue, worker: str, about: Mapping[str, Any] | None = None) -> None:
        """Say that this worker process lives, and now and then what it is."""
        run(self.redis, moves.alive(queue, worker, about))

    def health(self) -> Health:
        """The broker's state, living workers, queue lengths and counters."""
        return run(self.redis, moves.health())


class AsyncJobs:
    """For the service: the same, without blocking its event loop."""

    def __init__(self, redis: AsyncRedis, limits: JobLimits | None = None) -> None:
        self.redis = redis
        self.limits = limits or JobLimits()

    async def submit(self, new: NewJob) -> bool:
        """Record the job and wake a worker; false when no more jobs are admitted."""
        return await run_async(self.redis, moves.submit(self.limits, new))

    async def get(self, job: str) -> Job | None:
        """The record; none when there is none (any more)."""
        try:
            fields = fields_of(await self.redis.hgetall(_key(job)))
        except RedisError as error:
            raise away(error) from error
        return job_of(job, fields) if "kind" in fields else None

    async def list(
        self,
        owner: str | None = None,
        *,
        kind: str | None = None,
        status: Status | None = None,
        label: str | None = None,
        model: str | None = None,
        parent: str | None = None,
        since: float | None = None,
        until: float | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Jobs of an owner (none: of everyone), newest first.

        `kind` may be several with spaces between; the `parent` "" is that of jobs which have none.
        """
        filters, found = _filters(kind, status, label, model, parent), Page([], cursor)
        for _ in range(ROUNDS):
            wanted = limit - len(found.jobs)
            call = moves.page(owner, found.cursor, (since, until), wanted, filters)
            found = _joined(found, await run_async(self.redis, call))
            if found.cursor is None or len(found.jobs) >= limit:
                break
        return found

    async def cancel(self, job: str) -> Status | None:
        """Queued → cancelled, running → cancelling; the status after it, none without such a job."""
        return await run_async(self.redis, moves.cancel(job))

    async def retry(self, job: str, new: str) -> bool:
        """Submit an ended job's order again as job `new`, whose upload the caller has lent before."""
        return await run_async(self.redis, moves.retry(self.limits, job, new))

    async def delete(self, job: str) -> bool:
        """Forget an ended job; its files are the caller's to remove."""
        return await run_async(self.redis, moves.delete(job))

    async def events(self, job: str, after: str = "0", block_ms: int = 0) -> Sequence[Event]:
        """Events after the one named; waits for the first one up to `block_ms`.

        An ended job whose stream is gone still has its `done` event.
        """
        try:
            answer = await self.redis.xread({_events(job): after}, block=block_ms or None)
        except RedisError as error:
            raise away(error) from error
        found = moves.events_of(answer)
        if found or await self._has_stream(job):
            return found
        record = await self.get(job)
        return [moves.last_event(record)] if record and record.status.ended else []

    async def newest(self, job: str, kind: str) -> Event | None:
        """The last event of a kind, if it is among the latest."""
        try:
            answer = await self.redis.xrevrange(_events(job), count=RECENT)
        except RedisError as error:
            raise away(error) from error
        found = moves.events_of([(b"", answer)]) if answer else []
        return next((event for event in found if event.kind == kind), None)

    async def answers(self, service: str, block_s: float = 2.0) -> Sequence[Job]:
        """Ended jobs that name this service in `answer_to`; waits for the first one."""
        try:
            answer = await self.redis.blmpop(
                block_s, 1, f"mp:answers:{checked_name(service)}", direction="LEFT", count=ANSWERS
            )
        except RedisError as error:
            raise away(error) from error
        return moves.ended_of(answer)

    async def users(self, thing: str) -> set[str]:
        """Unfinished jobs that need this data set or model."""
        try:
            return moves.ids_of(await self.redis.smembers(moves.users(thing)))
        except RedisError as error:
            raise away(error) from error

    async def health(self) -> Health:
        """The broker's state, living workers, queue lengths and counters."""
        return await run_async(self.redis, moves.health())

    async def _has_stream(self, job: str) -> bool:
        try:
            return bool(await self.redis.exists(_events(job)))
        except RedisError as error:
            raise away(error) from error


def _key(job: str) -> str:
    return f"mp:job:{checked_job(job)}"


def _events(job: str) -> str:
    return f"mp:events:{checked_job(job)}"


def _filters(
    kind: str | None,
    status: Status | None,
    label: str | None,
    model: str | None,
    parent: str | None,
) -> dict[str, str]:
    named = {"kind": kind, "status": status, "label": label, "model": model, "parent": parent}
    return {name: str(value) for name, value in named.items() if value is not None}


def _joined(first: Page, second: Page) -> Page:
    return Page(first.jobs + second.jobs, second.cursor)

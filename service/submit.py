"""A job is recorded, then waited for; nobody is told of a job that was not recorded."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from service.house import House
from service.idempotency import Claim, fingerprint
from service.keys import Caller
from service.middleware import Meeting
from service.prefer import Patience
from service.problems import Problem
from service.reach import PATIENCE_S, reaching
from service.upload import Upload
from workers.contract import Order, Task
from workers.jobs import Job, NewJob, Status

# What a parse worker does at once, woken by the submit script itself; the rest goes through Celery.
DIRECT_FILES = 8
DIRECT_BYTES = 1_000_000
LOOK_S = 1.0  # a look that fails costs nothing: the caller is told that the job was accepted
AFTER_S = 0.5  # what is put right after a failure: the caller has waited already


@dataclass(frozen=True, slots=True)
class Submission:
    """All that a new job is made of."""

    kind: Task
    order: Order
    upload: Upload
    caller: Caller
    claim: Claim
    label: str | None = None
    models: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()  # data sets and models that have to stay until it has ended
    total: int = 0
    charged: int = 0  # structures, for the quota of the caller's key

    @property
    def direct(self) -> bool:
        """Small enough for the short way."""
        upload = self.upload
        small = upload.count <= DIRECT_FILES and upload.size <= DIRECT_BYTES
        return self.kind is Task.PREDICT and small and not upload.archives


async def run(house: House, met: Meeting, what: Submission, patience: Patience) -> Job:
    """Submits the job and waits for its end as long as asked; the record as it then is."""
    job = what.upload.job
    met.job = job
    ended = house.answers.expect(job)
    try:
        async with (
            claiming(house, what.claim, job),
            house.keys.charged(what.caller, what.charged),
        ):
            accepted = await submit(house, met, what)
    except BaseException:
        house.answers.drop(job)
        raise
    try:
        found = await until_ended(house, accepted, ended, patience.seconds)
    finally:
        await settle(house.idempotency.answered, what.claim)
    return found


@asynccontextmanager
async def claiming(house: House, claim: Claim, job: str) -> AsyncIterator[None]:
    """Around the making of a job: when it fails, the key is free again.

    In doubt it stays with the job: sent again, the request finds it, or makes it anew.
    """
    try:
        yield
    except BaseException:
        doubtful = job in house.watch.doubtful
        step = house.idempotency.answered if doubtful else house.idempotency.forget
        await settle(step, claim, AFTER_S)
        raise


async def submit(house: House, met: Meeting, what: Submission) -> Job:
    """Gives upload and record their places; raises `Problem` when the job was not accepted."""
    new = NewJob(
        id=what.upload.job,
        kind=what.kind,
        order=what.order.model_dump_json(),
        owner=what.caller.owner,
        label=what.label,
        request_id=met.request_id,
        traceparent=met.traceparent,
        models=what.models,
        uses=what.uses,
        total=what.total,
        direct=what.direct,
        answer_to=house.answers.service,
        ttl_s=house.settings.result_ttl_s,
    )
    # What is answered at once need not outlive the machine, as what waits for long has to.
    if what.direct and not house.files.shared:
        what.upload.keep(sync=False)
    else:
        await asyncio.to_thread(what.upload.keep, sync=True)
    # When this fails, the call may have been carried out all the same: then the job runs, unknown to
    # its sender, and its files go with its record; else they go as soon as the broker can tell.
    with house.watch.doubting(new.id):
        async with reaching():
            accepted = await house.jobs.submit(new)
    if not accepted:
        await asyncio.to_thread(house.files.remove, what.upload.job)
        raise Problem("queue_full", "As many jobs wait as may.")
    if not what.direct:
        house.errands.send(what.kind, what.upload.job)
    return as_recorded(new)


def as_recorded(new: NewJob) -> Job:
    """The record of a job that was accepted just now."""
    return Job(
        id=new.id,
        kind=new.kind,
        status=Status.QUEUED,
        owner=new.owner,
        order=new.order,
        created_at=time.time(),
        attempt=0,
        total=new.total,
        sent=new.total,
        label=new.label,
        request_id=new.request_id,
        models=new.models,
        direct=new.direct,
    )


async def claimed(
    house: House, upload: Upload, kind: Task, *, owner: str, key: str | None, seconds: float
) -> Claim | Job:
    """The key's claim for a new job, or the job that the same request has made before."""
    same = fingerprint(kind, upload.digest.digest())
    return await claimed_as(house, same, upload.job, owner=owner, key=key, seconds=seconds)


async def claimed_as(
    house: House, same: str, new: str, *, owner: str, key: str | None, seconds: float
) -> Claim | Job:
    """The same, of a request with this fingerprint."""
    while True:
        claim = await house.idempotency.begin(owner, key, same, new, seconds)
        if claim.first:
            return claim
        known = await look(house, claim.thing)
        if known is not None:
            return known
        await house.idempotency.forget(claim)  # it was deleted, or never came to be


async def until_ended(
    house: House, accepted: Job, ended: asyncio.Future[Job | None], seconds: float
) -> Job:
    """The record, as soon as the job has ended, the time is over, or nobody can tell."""
    job = accepted.id
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        if house.traffic.stopping:
            left = 0.0
        told = await house.answers.wait(job, ended, left)
        if told is not None:
            return told
        ended = house.answers.expect(job)  # before the look, so that no end falls between
        try:
            async with reaching(LOOK_S):
                record = await house.jobs.get(job)
        except Problem:  # the broker has gone, but it had taken the job
            house.answers.drop(job)
            return accepted
        if record is None:
            house.answers.drop(job)
            raise Problem("unknown_job", "The job was purged while it was waited for.")
        if record.status.ended or left <= 0:
            house.answers.drop(job)
            return record


async def look(house: House, job: str) -> Job | None:
    """The record as it is now."""
    async with reaching():
        return await house.jobs.get(job)


async def settle(
    step: Callable[[Claim], Awaitable[Any]], claim: Claim, patience_s: float = PATIENCE_S
) -> None:
    """A step whose failure changes nothing for this request."""
    if claim.name is None:
        return
    with suppress(Problem):
        async with reaching(patience_s):
            await step(claim)

"""`/v1/jobs`: what is to be done, is being done, and has been done."""

import asyncio
import hashlib
import time
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from service import events, submit
from service.dependencies import TheCaller, TheHouse, TheMeeting
from service.documented import answer, problems
from service.house import House
from service.idempotency import fingerprint, sane
from service.jobs import SENT, made_by, owned
from service.keys import Caller
from service.problems import Problem
from service.reach import PATIENCE_S, reaching
from service.routes.predictions import IdempotencyKey
from service.schemas.job import JobPage, JobStatus, JobView
from service.view import as_cursor, job_view, json, of_cursor, page_links
from workers.contract import ScreenOrder, Task
from workers.jobs import Job, Status, new_id

router = APIRouter(tags=["jobs"])
WITH_FILES = frozenset({Task.PREDICT, Task.IMPORT, Task.DATASET})
LISTED = " ".join(SENT)
NO_STORE = {"Cache-Control": "no-cache"}


@router.get(
    "/v1/jobs",
    name="list_jobs",
    summary="Your jobs, the newest first",
    response_model=None,
    responses={
        200: answer(JobPage, "A page of jobs."),
        **problems("invalid_cursor", "unknown_field", "invalid_field"),
    },
)
async def list_jobs(
    request: Request,
    *,
    house: TheHouse,
    who: TheCaller,
    kind: Annotated[Task | None, Query(description="Only this kind.")] = None,
    status: Annotated[JobStatus | None, Query(description="Only in this state.")] = None,
    model: Annotated[
        str | None,
        Query(max_length=140, description="Only those that used this model, `name` or `name@3`."),
    ] = None,
    label: Annotated[str | None, Query(max_length=200, description="Only with this label.")] = None,
    since: Annotated[
        datetime | None, Query(description="Only those made at or after this time.")
    ] = None,
    until: Annotated[
        datetime | None, Query(description="Only those made before this time.")
    ] = None,
    cursor: Annotated[str | None, Query(max_length=100, description="From `links.next`.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Jobs of one page.")] = 50,
) -> Response:
    """Filters can be combined. Follow `links.next` for more."""
    before = of_cursor(cursor)
    async with reaching():
        try:
            page = await house.jobs.list(
                who.owner,
                kind=kind or LISTED,
                status=None if status is None else Status(status.value),
                label=label,
                model=model,
                since=seconds("since", since),
                until=seconds("until", until),
                cursor=before,
                limit=limit,
            )
        except ValueError as error:  # what was in the cursor is no job's id
            raise Problem(
                "invalid_cursor", "This cursor was not made here.", pointer="cursor"
            ) from error
    now = time.time()
    after = as_cursor(page.cursor) if page.cursor else None
    return json(
        {
            "jobs": [job_view(job, now, await made_by(house, job)) for job in page.jobs],
            "links": page_links(request.url, after),
        },
        headers=NO_STORE,
    )


def seconds(name: str, when: datetime | None) -> float | None:
    """Seconds since 1970; raises `Problem` for times that no job can have."""
    if when is None:
        return None
    try:
        return max(0.0, when.timestamp())
    except (OverflowError, ValueError, OSError):
        raise Problem("invalid_field", f"{name}: out of range.", pointer=name) from None


@router.get(
    "/v1/jobs/{job}",
    name="get_job",
    summary="Where a job stands",
    response_model=None,
    responses={
        200: answer(
            JobView, "The job.", ETag="Changes when the job does; send it as If-None-Match."
        ),
        304: {"description": "Nothing has changed since the ETag in If-None-Match."},
        **problems("unknown_job", "unknown_field", "invalid_field"),
    },
)
async def get_job(job: str, request: Request, house: TheHouse, who: TheCaller) -> Response:
    """To follow a job, prefer its events; to poll, send the last ETag."""
    record = await owned(house, who, job)
    tag = etag(record)
    headers = {"ETag": tag, **NO_STORE}
    known = request.headers.get("if-none-match", "")
    # Compared weakly, as RFC 9110 has it: with or without the `W/`.
    if known.strip() == "*" or opaque(tag) in [opaque(part) for part in known.split(",")]:
        return Response(status_code=304, headers=headers)
    return json(job_view(record, time.time(), await made_by(house, record)), headers=headers)


def opaque(tag: str) -> str:
    """A tag without the mark of a weak one."""
    return tag.strip().removeprefix("W/")


def etag(job: Job) -> str:
    """The same as long as nothing a reader could see has changed."""
    seen = f"{job.id} {job.status} {job.attempt} {job.done} {job.failed} {job.total}"
    return f'W/"{hashlib.blake2b(seen.encode(), digest_size=8).hexdigest()}"'


@router.post(
    "/v1/jobs/{job}/cancel",
    name="cancel_job",
    summary="Stop a job",
    response_model=None,
    responses={
        200: answer(JobView, "The job after it; what it had made stays."),
        **problems("unknown_job", "unknown_field", "invalid_field"),
    },
)
async def cancel_job(job: str, house: TheHouse, who: TheCaller) -> Response:
    """A queued job is cancelled at once, a running one stops soon; an ended one stays as it is."""
    await owned(house, who, job)
    async with reaching():
        await house.jobs.cancel(job)
    record = await owned(house, who, job)
    return json(job_view(record, time.time(), await made_by(house, record)))


@router.post(
    "/v1/jobs/{job}/retry",
    name="retry_job",
    summary="Do a job again",
    response_model=None,
    responses={
        202: answer(JobView, "The new job.", Location="The new job."),
        **problems(
            "unknown_job",
            "conflict",
            "queue_full",
            "storage_full",
            "idempotency_mismatch",
            "idempotency_running",
            "unknown_field",
            "invalid_field",
        ),
    },
)
async def retry_job(
    job: str,
    *,
    house: TheHouse,
    met: TheMeeting,
    who: TheCaller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """End states never change, so a retry is a new job with the same order and the same upload; one at a time.

    A training goes on from where it was; a screening does only those structures again that failed or were not
    reached; a prediction does all of them.
    """
    record = await owned(house, who, job)
    if not record.status.ended:
        raise Problem(
            "conflict", f"The job is {record.status}; only an ended one can be done again."
        )
    if record.parent is not None:
        raise Problem(
            "conflict",
            "This is one training of several.",
            hint=f"Do {record.parent} again: it goes on with those that have not ended.",
            links={"parent": f"/v1/jobs/{record.parent}"},
        )
    if record.status == "succeeded" and not record.failed:
        raise Problem("conflict", "Nothing in this job failed.")
    new = new_id("job")
    claim = await submit.claimed_as(
        house, fingerprint("retry", job.encode()), new,
        owner=who.owner, key=sane(idempotency_key), seconds=PATIENCE_S,
    )  # fmt: skip
    if isinstance(claim, Job):
        new = claim.id
        met.headers["Idempotent-Replayed"] = "true"
    else:
        async with submit.claiming(house, claim, new), house.keys.charged(who, again(record)):
            await done_again(house, who, record, new)
        await submit.settle(house.idempotency.answered, claim)
    view = job_view(await owned(house, who, new), time.time())
    return json(view, 202, {"Location": f"/v1/jobs/{new}"})


async def done_again(house: House, who: Caller, record: Job, new: str) -> None:
    """Submit the retry; raises `Problem` when it was not accepted."""
    if has_upload(record):
        await lent(house, record.id, new)
    with house.watch.doubting(new):
        async with reaching():
            accepted = await house.jobs.retry(record.id, new)
    if not accepted:
        await asyncio.to_thread(house.files.remove, new)
        raise await refusal(house, who, record.id)
    if not record.direct:
        house.errands.send(record.kind, new)


async def refusal(house: House, who: Caller, job: str) -> Problem:
    """Why a job is not done again just now."""
    earlier = (await owned(house, who, job)).retried_by
    async with reaching():
        other = await house.jobs.get(earlier) if earlier else None
    if other is None or other.status.ended:
        return Problem("queue_full", "As many jobs wait as may.")
    return Problem(
        "conflict",
        f"{earlier} does it again already.",
        hint="Wait for its end, or cancel it first.",
        links={"retry": f"/v1/jobs/{earlier}"},
    )


def again(job: Job) -> int:
    """How many structures a retry costs."""
    if job.kind is Task.SCREEN:
        return job.failed + max(0, job.total - job.done)
    return job.sent if job.kind is Task.PREDICT else 0


def has_upload(job: Job) -> bool:
    """Whether it came with files."""
    if job.kind is Task.SCREEN:
        order = ScreenOrder.model_validate_json(job.order)
        return order.dataset is None and order.location is None
    return job.kind in WITH_FILES


async def lent(house: House, job: str, new: str) -> None:
    """The upload of a job serves a new one too; raises `Problem` when it is gone."""
    try:
        await asyncio.to_thread(house.files.lend, job, new)
    except FileNotFoundError:
        raise Problem(
            "conflict", "The upload of this job is gone.", hint="Send it again."
        ) from None


@router.delete(
    "/v1/jobs/{job}",
    name="delete_job",
    summary="Purge an ended job",
    status_code=204,
    response_model=None,
    responses={
        204: {"description": "The job, its upload and its results are gone."},
        **problems("unknown_job", "conflict", "unknown_field", "invalid_field"),
    },
)
async def delete_job(job: str, house: TheHouse, who: TheCaller) -> Response:
    """Cancel a running job first, and one that does it again. Models that it made stay."""
    await owned(house, who, job)
    async with reaching():
        deleted = await house.jobs.delete(job)
    if not deleted:
        record = await owned(house, who, job)
        if record.status.ended:
            raise Problem(
                "conflict",
                "A retry needs what this job has left.",
                hint="Wait for its end, or cancel it first.",
                links={"retry": f"/v1/jobs/{record.retried_by}"},
            )
        raise Problem("conflict", f"The job is {record.status}; cancel it first.")
    await asyncio.to_thread(house.files.remove, job)
    return Response(status_code=204)


@router.get(
    "/v1/jobs/{job}/events",
    name="follow_job",
    summary="A job's events as they come",
    response_model=None,
    responses={
        200: {
            "description": "Server-sent events `status`, `progress`, `metric`, `log` and, at the end, `done`. "
            "Comment lines keep the connection alive. Send `Last-Event-ID` to go on after a break.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        204: {"description": "The job has ended and there is nothing after `Last-Event-ID`."},
        **problems("unknown_job", "unknown_field", "invalid_field"),
    },
)
async def follow_job(job: str, request: Request, house: TheHouse, who: TheCaller) -> Response:
    """With curl: `curl -N …/v1/jobs/{job}/events`."""
    record = await owned(house, who, job)
    last = events.last_seen(request.headers.get("last-event-id"))
    if last is not None and record.status.ended and not await events.after(house, job, last):
        return Response(status_code=204)
    if request.scope["state"]["head"]:
        return Response(media_type=events.MEDIA_TYPE)
    return events.EventStream(house, job, last or "0")

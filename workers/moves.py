"""A job's legal moves as calls of scripts, with their decoding; `workers.jobs` runs them."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import WorkLost
from workers.contract import Queue, Task
from workers.ids import checked_job, checked_name, time_part
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
from workers.scripts import Call, script

SILENT_MS = 3_000  # a worker that has not shown itself for this long does not count as alive
# When to look after a job that nobody has claimed: a direct one is woken within milliseconds.
DUE_DIRECT_MS, DUE_MESSAGE_MS = 2_000, 5_000
SCAN = 2_000  # records looked at in one list call; keeps a rare filter from holding up the broker
BATCH = 200  # jobs of each sort in one reconcile


def submit(limits: JobLimits, new: NewJob) -> Call[bool]:
    """Record it and wake a worker; false when no more jobs are admitted."""
    fields = {
        "kind": str(new.kind),
        "owner": checked_name(new.owner),
        "order": new.order,
        "total": str(new.total),
        "sent": str(new.total),
        "ttl": str(new.ttl_s),
        "direct": "1" if new.direct else "0",
        "label": new.label,
        "request": new.request_id,
        "trace": new.traceparent,
        "models": json.dumps(new.models, separators=(",", ":")) if new.models else None,
        "answer": checked_name(new.answer_to) if new.answer_to else None,
        "parent": checked_job(new.parent) if new.parent else None,
        "uses": json.dumps([checked_name(one) for one in new.uses]) if new.uses else None,
        "grace": str(_ms(limits.grace_s(new.kind))),
    }
    packed = json.dumps({name: value for name, value in fields.items() if value is not None})
    due = DUE_DIRECT_MS if new.direct else DUE_MESSAGE_MS
    if new.parent:  # nobody sends a message for it: the next look does
        due = 0
    arguments = (checked_job(new.id), limits.max_queued, due, packed)
    return Call(script("submit"), arguments, lambda answer: answer != b"full")


def claim(limits: JobLimits, job: str, worker: str) -> Call[Claim | None]:
    """Queued → running for this claim; none when there is nothing to claim."""
    arguments = (checked_job(job), checked_name(worker), _ms(limits.lease_s))
    return Call(
        script("claim"), arguments, lambda flat: job_of(job, fields_of(flat)) if flat else None
    )


def beat(claim: Claim) -> Call[Beat]:
    """Renew the lease."""
    return Call(script("beat"), _fence(claim), _beat)


def progress(claim: Claim, counts: tuple[int, int, int], *, kept: bool) -> Call[Beat]:
    """Renew the lease and tell done, failed, total; `kept` when a successor goes on from there."""
    return Call(script("beat"), (*_fence(claim), *counts, int(kept)), _beat)


def tell(claim: Claim, events: Sequence[tuple[str, str]], before: int, now: int) -> Call[Beat]:
    """Events (kind, JSON), unless more than `before` was told already."""
    flat = [part for event in events for part in event]
    return Call(script("tell"), (*_fence(claim), before, now, *flat), _beat)


def users(thing: str) -> str:
    """The key of the set of unfinished jobs that need a data set or model."""
    return f"mp:using:{checked_name(thing)}"


def finish(
    claim: Claim,
    status: Status,
    error: Mapping[str, Any] | None,
    counts: tuple[int, int, int] | None,
) -> Call[bool]:
    """End the job; false when this attempt does not hold it any more."""
    if not status.ended:
        raise ValueError(f"{status} is no end")
    text = json.dumps(error) if error else ""
    return Call(script("finish"), (*_fence(claim), status, text, *(counts or ())), bool)


def release(claim: Claim) -> Call[bool]:
    """Give the job back: running → queued."""
    return Call(script("release"), _fence(claim), bool)


def spread(claim: Claim, children: int) -> Call[bool]:
    """From now on nobody holds the job, until its children have ended."""
    return Call(script("spread"), (*_fence(claim), children), bool)


def cut(
    limits: JobLimits, claim: Claim, new: NewJob, number: int, *, size_bytes: int, last: str
) -> Call[Cut]:
    """Record a chunk, and in the same step how far its screening is cut."""
    fields = {
        "kind": str(new.kind),
        "owner": checked_name(new.owner),
        "order": new.order,
        "total": str(new.total),
        "sent": str(new.total),
        "bytes": str(size_bytes),
        "ttl": str(new.ttl_s),
        "direct": "0",
        "request": new.request_id,
        "trace": new.traceparent,
        "grace": str(_ms(limits.grace_s(new.kind))),
    }
    packed = json.dumps({name: value for name, value in fields.items() if value is not None})
    return Call(
        script("cut"),
        (*_fence(claim), checked_job(new.id), number, DUE_MESSAGE_MS, packed, last),
        _cut,
    )


def sleep(
    claim: Claim, until: int, *, cut: int | None, whole: bool, fault: Mapping[str, Any] | None
) -> Call[bool]:
    """Nobody holds the screening until so many of its chunks have ended; false if not all that was cut is known."""
    text = json.dumps(fault) if fault else ""
    known = "" if cut is None else cut
    return Call(script("sleep"), (*_fence(claim), until, int(whole), text, known), bool)


def lost_of(answer: Mapping[Any, Any]) -> dict[int, dict[str, Any]]:
    """Chunks that were lost, by number."""
    return {int(part): json.loads(error) for part, error in fields_of(answer).items()}


def cancel(job: str) -> Call[Status | None]:
    """Queued → cancelled, running → cancelling; the status after it."""
    arguments = (checked_job(job),)
    return Call(
        script("cancel"), arguments, lambda answer: Status(answer.decode()) if answer else None
    )


def retry(limits: JobLimits, job: str, new: str) -> Call[bool]:
    """A new job with the order of an ended one."""
    arguments = (checked_job(job), checked_job(new), limits.max_queued)
    return Call(script("retry"), arguments, lambda answer: answer == b"accepted")


def delete(job: str) -> Call[bool]:
    """Forget an ended job."""
    return Call(script("delete"), (checked_job(job),), bool)


def reconcile(limits: JobLimits, kept: int | None) -> Call[Chores]:
    """Set right what lost workers and lost messages left behind."""
    lost = WorkLost(
        f"The job cost {limits.attempts} workers and was given up.",
        hint="Of a prediction, send the structures in smaller parts to find the one that does this.",
    )
    arguments = (
        limits.attempts,
        limits.max_kept if kept is None else min(kept, limits.max_kept),
        json.dumps(lost.as_dict()),
        BATCH,
        _ms(limits.lease_s),
    )
    return Call(script("reconcile"), arguments, _chores)


def page(
    owner: str | None,
    cursor: str | None,
    span: tuple[float | None, float | None],
    limit: int,
    filters: Mapping[str, str],
) -> Call[Page]:
    """Jobs of an owner (or of everyone), newest first, from the cursor on."""
    index = f"mp:jobs:{checked_name(owner)}" if owner else "mp:jobs"
    since, until = span
    start = f"({checked_job(cursor)}" if cursor else "+"
    if not cursor and until is not None:
        start = f"(job_{time_part(until)}"
    stop = f"[job_{time_part(since)}" if since is not None else "-"
    arguments = (index, start, stop, SCAN, limit, json.dumps(dict(filters)))
    return Call(script("list"), arguments, _page)


def alive(queue: Queue, worker: str, about: Mapping[str, Any] | None = None) -> Call[bool]:
    """Say that this worker process lives, and now and then more."""
    told = (json.dumps(about), _ms(time.time())) if about is not None else ()
    return Call(script("alive"), (queue, checked_name(worker), *told), bool)


def health() -> Call[Health]:
    """The broker's state and counters."""
    return Call(script("health"), (SILENT_MS, *Queue), _health)


def events_of(answer: Any) -> list[Event]:
    """What XREAD found in one stream; its shape differs with the protocol."""
    if not answer:
        return []
    streams = (
        list(answer.values()) if isinstance(answer, dict) else [stream[1] for stream in answer]
    )
    entries = streams[0]
    if (
        entries
        and isinstance(entries[0], list)
        and entries[0]
        and isinstance(entries[0][0], tuple | list)
    ):
        entries = entries[0]
    return [_event(entry[0], entry[1]) for entry in entries]


def ended_of(answer: Any) -> list[Job]:
    """What BLMPOP took from a list of ended jobs, each its id and the fields of its record."""
    return [_ended(*json.loads(each)) for each in answer[1]] if answer else []


def ids_of(answer: Any) -> set[str]:
    """What SMEMBERS found in a set of jobs."""
    return {job.decode() for job in answer}


def _ended(job: str, flat: list[str]) -> Job:
    return job_of(job, dict(zip(flat[::2], flat[1::2], strict=True)))


def last_event(job: Job) -> Event:
    """The end as an event, for a job whose stream is gone already."""
    data = {"status": job.status, "done": job.done, "failed": job.failed, "total": job.total}
    return Event(f"{int((job.finished_at or 0) * 1000)}-0", "done", data)


def _event(identity: bytes, fields: Mapping[bytes, bytes]) -> Event:
    return Event(identity.decode(), fields[b"event"].decode(), json.loads(fields[b"data"]))


def _fence(claim: Claim) -> tuple[str, int, str]:
    """What every write of a worker is checked against."""
    return checked_job(claim.id), claim.attempt, claim.worker or ""


def _beat(answer: bytes) -> Beat:
    return Beat(answer.decode())


def _cut(answer: Sequence[bytes]) -> Cut:
    word, *figures = answer
    ended, took_bytes, took_ms = map(int, figures) if figures else (0, 0, 0)
    return Cut(word.decode(), ended, took_bytes, took_ms / 1000)


def _chores(answer: Sequence[Sequence[bytes]]) -> Chores:
    publish, forget = answer
    pairs = zip(publish[::2], publish[1::2], strict=True)
    return Chores(
        [(job.decode(), Task(kind.decode())) for job, kind in pairs],
        [job.decode() for job in forget],
    )


def _page(answer: Sequence[Any]) -> Page:
    rows = zip(answer[1::2], answer[2::2], strict=True)
    jobs = [job_of(job.decode(), fields_of(flat)) for job, flat in rows]
    return Page(jobs, answer[0].decode() or None)


def _health(answer: Sequence[Any]) -> Health:
    alive_counts, queued, running, lanes, full, persistence, memory, counters, *more = answer
    waiting, oldest, kinds, told = more
    waiting = dict(zip(Queue, zip(waiting[::2], waiting[1::2], strict=True), strict=True))
    waiting[Queue.INFER] = (lanes, oldest)
    disk, ram = _info(persistence), _info(memory)
    persistent = disk.get("aof_enabled") == "1" and disk.get("aof_last_write_status") == "ok"
    return Health(
        workers=dict(zip((str(queue) for queue in Queue), alive_counts, strict=True)),
        queued=queued,
        running=running,
        waiting_graphs=lanes,
        full=bool(full),
        persistent=persistent,
        memory_bytes=int(ram.get("used_memory", 0)),
        counters={name: float(value) for name, value in fields_of(counters).items()},
        waiting={str(queue): count for queue, (count, _) in waiting.items()},
        oldest_s={str(queue): age_ms / 1000 for queue, (_, age_ms) in waiting.items()},
        running_kinds={
            kind.decode(): number for kind, number in zip(kinds[::2], kinds[1::2], strict=True)
        },
        broker=disk | ram,
        told=[_told(*each) for each in zip(told[::3], told[1::3], told[2::3], strict=True)],
    )


def _told(queue: bytes, worker: bytes, said: bytes) -> Told:
    skew_ms, _, about = said.decode().partition("|")
    if not about:  # it has just begun, or is of a version that says nothing
        return Told(queue.decode(), worker.decode())
    return Told(queue.decode(), worker.decode(), int(skew_ms) / 1000, json.loads(about))


def _info(answer: bytes) -> dict[str, str]:
    rows = (row.partition(":") for row in answer.decode().splitlines())
    return {name: value for name, colon, value in rows if colon}


def _ms(seconds: float) -> int:
    return int(seconds * 1000)

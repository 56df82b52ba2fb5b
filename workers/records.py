"""A job's record as the rest of the project sees it, and how Redis' fields become one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from workers.contract import QUEUE_OF, Queue, Task
from workers.settings import WorkerSettings

KEPT_S = 7 * 86_400


class Status(StrEnum):
    """`queued → running → succeeded | failed | cancelled`; `running → cancelling → cancelled`."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


class Beat(StrEnum):
    """What a worker learns when it shows that it lives."""

    OK = "ok"
    CANCELLED = "cancelled"  # stop and finish as cancelled
    LOST = "lost"  # somebody else has the job: write nothing more


@dataclass(frozen=True, slots=True)
class JobLimits:
    """The bounds that the scripts keep."""

    lease_s: float = 10.0
    attempts: int = 3  # workers a job may cost before it counts as poison
    max_queued: int = 10_000
    max_kept: int = 100_000  # ended jobs; beyond that the oldest go before their time
    train_grace_s: float = 120.0

    @classmethod
    def of(cls, settings: WorkerSettings) -> "JobLimits":
        """As the deployment has set them."""
        return cls(
            lease_s=settings.lease_s,
            max_queued=settings.max_queued_jobs,
            max_kept=settings.max_kept_jobs,
            train_grace_s=settings.train_grace_s,
        )

    def grace_s(self, kind: Task) -> float:
        """How long a job that is cancelled may still be held, by a worker that shows itself."""
        return self.train_grace_s if QUEUE_OF[kind] is Queue.TRAIN else self.lease_s


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be submitted; `order` is the JSON of the task's order."""

    id: str
    kind: Task
    order: str
    owner: str = "anyone"
    label: str | None = None
    request_id: str | None = None
    traceparent: str | None = None  # the caller's trace (W3C), kept as it came
    models: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()  # data sets and models that have to stay until it has ended
    total: int = 0  # items, as far as they are known
    direct: bool = False  # woken by the submit script itself, without a Celery message
    answer_to: str | None = None  # the service that waits for the end
    parent: str | None = None
    ttl_s: int = KEPT_S  # kept this long after its end


@dataclass(frozen=True, slots=True)
class Job:
    """One job's record; times are seconds since 1970 on the broker's clock."""

    id: str
    kind: Task
    status: Status
    owner: str
    order: str
    created_at: float
    attempt: int
    done: int = 0
    failed: int = 0
    total: int = 0
    sent: int = 0  # what `total` was at first: an archive is one file until it is unpacked
    label: str | None = None
    request_id: str | None = None
    traceparent: str | None = None  # the caller's trace (W3C), kept as it came
    started_at: float | None = None
    finished_at: float | None = None
    error: dict[str, Any] | None = None
    parent: str | None = None
    retry_of: str | None = None
    retried_by: str | None = None  # the last one
    models: tuple[str, ...] = ()
    direct: bool = False
    worker: str | None = None  # who claimed it last
    uses: tuple[str, ...] = ()
    children: int | None = None  # how many; set when all of them have been submitted
    cut: int = 0  # chunks of a screening so far, and the structures in them
    items: int = 0
    last: str | None = None  # what the source calls the last of them
    part: int | None = None  # a chunk's number
    fault: dict[str, Any] | None = None  # why a screening's source could not be read to its end
    told: int = 0  # how much of its reports has become events
    ttl_s: int = KEPT_S


Claim = Job  # what a successful claim returns: the record with the attempt that fences every write


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cutter learns of its screening when it submits a chunk."""

    word: str  # ok, full, cancelled, lost
    ended: int = 0  # chunks
    took_bytes: int = 0  # of the chunks that have ended
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a job; `id` serves as SSE's Last-Event-ID."""

    id: str
    kind: str  # status, progress, metric, log, done
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first; `cursor` continues, none at the end."""

    jobs: list[Job]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Chores:
    """What a reconcile leaves to its caller."""

    publish: list[tuple[str, Task]] = field(default_factory=list)
    forget: list[str] = field(default_factory=list)  # jobs whose files may go


@dataclass(frozen=True, slots=True)
class Health:
    """What readiness and metrics want to know of the broker, in one round trip."""

    workers: dict[str, int]  # living worker processes of each queue
    queued: int
    running: int
    waiting_graphs: int  # entries in the inference lanes
    full: bool  # no new jobs are admitted
    persistent: bool  # the append-only file is on and its last write went well
    memory_bytes: int
    counters: dict[str, float]
    waiting: dict[str, int] = field(default_factory=dict)  # for a worker of each queue
    oldest_s: dict[str, float] = field(default_factory=dict)  # how long the first of these has
    running_kinds: dict[str, int] = field(default_factory=dict)
    broker: dict[str, str] = field(default_factory=dict)  # its own figures, by Redis' names
    told: list["Told"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Told:
    """A living worker process, and what it says of itself."""

    queue: str
    worker: str
    skew_s: float = 0.0  # its clock before the broker's
    about: dict[str, Any] = field(default_factory=dict)


def fields_of(flat: Sequence[bytes] | Mapping[Any, Any]) -> dict[str, str]:
    """Redis' answer to HGETALL, whatever its shape."""
    if isinstance(flat, Mapping):
        return {name.decode(): value.decode() for name, value in flat.items()}
    values = iter(flat)
    return {name.decode(): value.decode() for name, value in zip(values, values, strict=True)}


def job_of(job: str, fields: Mapping[str, str]) -> Job:
    """The record behind the fields."""
    return Job(
        id=job,
        kind=Task(fields["kind"]),
        status=Status(fields["status"]),
        owner=fields["owner"],
        order=fields["order"],
        created_at=int(fields["created"]) / 1000,
        attempt=int(fields.get("attempt", 0)),
        done=int(fields.get("done", 0)),
        failed=int(fields.get("failed", 0)),
        total=int(fields.get("total", 0)),
        sent=int(fields.get("sent", fields.get("total", 0))),
        label=fields.get("label"),
        request_id=fields.get("request"),
        traceparent=fields.get("trace"),
        started_at=_seconds(fields.get("started")),
        finished_at=_seconds(fields.get("finished")),
        error=json.loads(fields["error"]) if fields.get("error") else None,
        parent=fields.get("parent"),
        retry_of=fields.get("retry_of"),
        retried_by=fields.get("retried_by"),
        models=tuple(json.loads(fields["models"])) if fields.get("models") else (),
        direct=fields.get("direct") == "1",
        worker=fields.get("worker"),
        uses=tuple(json.loads(fields.get("uses", "[]"))),
        children=int(fields["children"]) if "children" in fields else None,
        cut=int(fields.get("cut", 0)),
        items=int(fields.get("items", 0)),
        last=_last(fields),
        part=int(fields["part"]) if "part" in fields else None,
        fault=json.loads(fields["fault"]) if "fault" in fields else None,
        told=int(fields.get("told", 0)),
        ttl_s=int(fields["ttl"]),
    )


def _last(fields: Mapping[str, str]) -> str | None:
    """Told with its place: a version that tells no name may have cut more since."""
    items, _, name = fields.get("last", "").partition(":")
    return name if items and items == fields.get("items") else None


def _seconds(milliseconds: str | None) -> float | None:
    return int(milliseconds) / 1000 if milliseconds else None

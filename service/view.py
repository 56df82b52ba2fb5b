"""Jobs and their records as they go out; built without a detour, because every prediction passes here."""

import base64
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.datastructures import URL
from starlette.responses import Response

from service.problems import Problem
from service.results import Records
from workers.contract import Task
from workers.jobs import Job

JSON = "application/json"
PLACES = {  # of jobs whose results are called by the job's id
    Task.PREDICT: "predictions",
    Task.SCREEN: "screenings",
    Task.TRAIN: "trainings",
    Task.TUNE: "trainings",
    Task.EVALUATE: "evaluations",
}


def json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(body), status, headers, JSON)


def moment(seconds: float | None) -> str | None:
    """RFC 3339, UTC."""
    if seconds is None:
        return None
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def job_view(job: Job, now: float, made: str | None = None) -> dict[str, Any]:
    """A job as `JobView` has it; `made` is the model or data set that it has made."""
    return {
        "id": job.id,
        "kind": job.kind,
        "status": job.status,
        "label": job.label,
        "models": [made] if made and job.kind is not Task.DATASET else list(job.models),
        "created_at": moment(job.created_at),
        "started_at": moment(job.started_at),
        "finished_at": moment(job.finished_at),
        "attempt": job.attempt,
        "progress": progress(job, now),
        "error": job.error,
        "retry_of": job.retry_of,
        "parent": job.parent,
        "links": {
            "self": f"/v1/jobs/{job.id}",
            "events": f"/v1/jobs/{job.id}/events",
            "results": results_link(job, made),
        },
    }


def results_link(job: Job, made: str | None) -> str | None:
    """Where what the job made can be had."""
    if job.kind in PLACES:
        return f"/v1/{PLACES[job.kind]}/{job.id}"
    if job.kind is Task.DATASET:
        return f"/v1/datasets/{made}" if made else None
    if made:
        name, _, version = made.partition("@")
        return f"/v1/models/{name}/versions/{version}"
    return None


def progress(job: Job, now: float) -> dict[str, Any]:
    """Done, and how fast."""
    rate = eta = None
    if job.started_at is not None and job.done:
        elapsed = max(1e-3, (job.finished_at or now) - job.started_at)
        rate = round(job.done / elapsed, 3)
        if job.total:
            eta = 0.0 if job.status.ended else round(max(0, job.total - job.done) / rate, 1)
    return {
        "done": job.done,
        "total": job.total or None,
        "failed": job.failed,
        "rate": rate,
        "eta_s": eta,
    }


def links(job: str, following: str | None = None, limit: int | None = None) -> dict[str, Any]:
    """Where to go on from a prediction."""
    here = f"/v1/predictions/{job}"
    found = {
        "self": here,
        "job": f"/v1/jobs/{job}",
        "results": here,
        "events": f"/v1/jobs/{job}/events",
    }
    if following:
        found["next"] = f"{here}?cursor={following}" + (f"&limit={limit}" if limit else "")
    return found


def prediction_view(job: Job, records: Records, limit: int | None = None) -> dict[str, Any]:
    """A prediction as `PredictionAnswer` has it; the records go out as they were written."""
    view = {
        "job": job.id,
        "status": job.status,
        "records": [orjson.Fragment(line) for line in records.lines],
        "links": links(job.id, records.cursor, limit),
    }
    return view if job.error is None else view | {"error": job.error}


def page_links(here: URL, cursor: str | None) -> dict[str, str | None]:
    """This page and the next one, without the host: a proxy's name for it does not matter."""
    following = None if cursor is None else path_of(here.include_query_params(cursor=cursor))
    return {"self": path_of(here), "next": following}


def path_of(url: URL) -> str:
    """Path and query of an address."""
    return f"{url.path}?{url.query}" if url.query else url.path


def as_cursor(job: str) -> str:
    """An opaque name of a place in a list of jobs."""
    return base64.urlsafe_b64encode(job.encode()).decode().rstrip("=")


def of_cursor(cursor: str | None) -> str | None:
    """The job that a cursor names; raises `Problem` for one that is not ours."""
    if cursor is None:
        return None
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode(
            "ascii"
        )
    except ValueError:
        raise Problem(
            "invalid_cursor", "This cursor was not made here.", pointer="cursor"
        ) from None

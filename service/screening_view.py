"""Screenings as they go out: what was ordered, where the job stands, which columns its table has."""

import hashlib
from typing import Any

from models.errors import UnknownModel
from service.asked import Asked
from service.house import House
from service.view import job_view
from workers.columns import Column, columns
from workers.contract import ScreenOrder
from workers.jobs import Job


def screening_view(job: Job, now: float) -> dict[str, Any]:
    """A screening as `ScreeningView` has it."""
    order = ScreenOrder.model_validate_json(job.order)
    source = "dataset" if order.dataset else "location" if order.location else "files"
    return {
        "id": job.id,
        "status": job.status,
        "complete": job.status.ended,
        "source": source,
        **order.model_dump(mode="json"),
        "job": job_view(job, now),
        "links": links(job.id, order.dataset),
    }


def links(job: str, dataset: str | None) -> dict[str, Any]:
    """Where to go on."""
    here = f"/v1/screenings/{job}"
    found = {
        "self": here,
        "job": f"/v1/jobs/{job}",
        "events": f"/v1/jobs/{job}/events",
        "results": f"{here}/results",
        **{form: f"{here}/results?format={form}" for form in ("csv", "jsonl", "parquet")},
        "errors": f"{here}/errors",
        "columns": f"{here}/columns",
        "cancel": f"/v1/jobs/{job}/cancel",
        "retry": f"/v1/jobs/{job}/retry",
    }
    return found | ({"dataset": f"/v1/datasets/{dataset}"} if dataset else {})


def columns_of(house: House, job: Job) -> tuple[Column, ...]:
    """The columns of a screening's table. Looks at the disk.

    Of a model that is gone by now its shards tell.
    """
    order = ScreenOrder.model_validate_json(job.order)
    try:
        return columns([house.catalogue.get(model)[0] for model in order.models])
    except UnknownModel:
        return house.tables.columns(job.id)


def tag_of(job: Job, asked: Asked, shards: int, *more: object) -> str:
    """The same as long as the answer is: shards never change, they only become more."""
    seen = (job.id, job.status, job.done, job.failed, job.total, shards, asked.words, asked.names)
    return hashlib.blake2b(repr((*seen, *more)).encode(), digest_size=12).hexdigest()

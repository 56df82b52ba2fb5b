"""Jobs on the wire."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from service.schemas.problem import ErrorItem

JOB_EXAMPLE: dict[str, Any] = {
    "id": "job_01JD3Q5T8Z6M4W2K7N9V1X3B5C",
    "kind": "predict",
    "status": "succeeded",
    "label": "perovskites",
    "models": ["formation-energy@1"],
    "created_at": "2026-11-21T02:14:07.120Z",
    "started_at": "2026-11-21T02:14:07.122Z",
    "finished_at": "2026-11-21T02:14:07.131Z",
    "attempt": 1,
    "progress": {"done": 3, "total": 3, "failed": 0, "rate": 333.3, "eta_s": 0.0},
    "error": None,
    "links": {
        "self": "/v1/jobs/job_01JD3Q5T8Z6M4W2K7N9V1X3B5C",
        "events": "/v1/jobs/job_01JD3Q5T8Z6M4W2K7N9V1X3B5C/events",
        "results": "/v1/predictions/job_01JD3Q5T8Z6M4W2K7N9V1X3B5C",
    },
}


class JobStatus(StrEnum):
    """`queued → running → succeeded | failed | cancelled`, with `cancelling` between."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Progress(BaseModel):
    """How far a job is."""

    done: int = Field(description="Items dealt with, the failed ones among them.")
    total: int | None = Field(description="Items in all; null while nobody knows.")
    failed: int = Field(description="Items that got an error.")
    rate: float | None = Field(None, description="Items a second.")
    eta_s: float | None = Field(None, description="Seconds to the end, at this rate.")


class JobLinks(BaseModel):
    """Where to go on."""

    self: str = Field(description="This job.")
    events: str = Field(description="Its events, as they come.")
    results: str | None = Field(None, description="What it made.")


class JobView(BaseModel):
    """One piece of work and where it stands."""

    model_config = ConfigDict(json_schema_extra={"examples": [JOB_EXAMPLE]})

    id: str = Field(description="Sorts by time of creation.")
    kind: str = Field(
        description="What is done: `predict`, `screen`, `import`, `dataset`, `train`, `tune` (a search) or `evaluate`."
    )
    status: JobStatus
    label: str | None = Field(None, description="The word given when it was made.")
    models: list[str] = Field(
        default_factory=list,
        description="The models it uses, or the one it has made, with their versions.",
    )
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int = Field(
        description="How often a worker has begun it. Screenings and searches are put aside on their way and "
        "begun again; of others, more than 1 tells that a worker was lost."
    )
    progress: Progress
    error: ErrorItem | None = Field(None, description="Why it failed.")
    retry_of: str | None = Field(None, description="The job that this one does again.")
    parent: str | None = Field(
        None, description="The search, learning curve or screening that this job is a part of."
    )
    links: JobLinks


class PageLinks(BaseModel):
    """Where to go on."""

    self: str = Field(description="This page.")
    next: str | None = Field(None, description="The next page, if there is one.")


class JobPage(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobView]
    links: PageLinks

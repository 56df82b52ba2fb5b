"""A job and who may see it."""

import asyncio

import orjson

from models.errors import MatpropError
from service import results
from service.house import House
from service.keys import Caller
from service.problems import CODES, STATUS, Problem, brief
from service.reach import reaching
from workers.contract import Task
from workers.jobs import Job

# Kinds of jobs that make something that outlives them.
MAKING = frozenset({Task.IMPORT, Task.TRAIN, Task.TUNE, Task.DATASET})

CALLED = {
    Task.PREDICT: "a prediction",
    Task.SCREEN: "a screening",
    Task.TRAIN: "a training",
    Task.TUNE: "a search for settings",
    Task.EVALUATE: "an evaluation",
    Task.IMPORT: "a model's import",
    Task.DATASET: "a data set's making",
}

# Chunks are parts of a screening, which goes as a whole.
SENT = tuple(task for task in Task if task is not Task.CHUNK)


async def owned(house: House, who: Caller, job: str, *kinds: Task) -> Job:
    """The caller's job; raises `Problem`, the same for a foreign job as for none."""
    record = None
    async with reaching():
        try:
            record = await house.jobs.get(job)
        except ValueError:  # not an id at all
            record = None
    if record is None or record.owner != who.owner or record.kind not in SENT:
        raise Problem("unknown_job", f"There is no job {brief(job, 60)!r}.")
    if record.kind not in (kinds or SENT):
        raise Problem(
            "unknown_job",
            f"{job} is {CALLED[record.kind]}, and asked for as {CALLED[kinds[0]]}.",
            hint="Follow the links of the job.",
            links={"job": f"/v1/jobs/{job}"},
        )
    return record


async def made_by(house: House, job: Job) -> str | None:
    """The `name@version` that an import or a training has made, or the id of a data set.

    A cancelled training keeps its best.
    """
    if job.kind not in MAKING or not job.status.ended:
        return None
    records = await asyncio.to_thread(
        results.read, house.files, house.files.result(job.id), None, 1
    )
    line = orjson.loads(records.lines[0]) if records.lines else {}
    made = line.get("dataset" if job.kind is Task.DATASET else "model")
    if made and job.kind is not Task.DATASET:
        await house.sees(str(made))
    return str(made) if made else None


async def check_unused(house: House, thing: str, what: str) -> None:
    """Raises `Problem` while unfinished jobs need this data set or model."""
    async with reaching():
        users = sorted(await house.jobs.users(thing))
    if users:
        raise Problem(
            "conflict",
            f"{len(users)} unfinished job{'s need' if len(users) > 1 else ' needs'} the {what} {thing}: "
            f"{', '.join(users[:5])}.",
            hint="Cancel them first, or wait for their end.",
            links={"jobs": [f"/v1/jobs/{job}" for job in users[:20]]},
        )


def refuse(job: Job, what: str, **more: str) -> None:
    """Raises `Problem` for work that ended without what was asked for; `more` links may help."""
    links = {"job": f"/v1/jobs/{job.id}", **more}
    if job.error and "code" in job.error:
        parts = dict(job.error)
        each = parts.pop("errors", None)
        error = MatpropError.from_dict(parts)
        if STATUS[type(error)] < 500:
            problem = Problem.of(error, job=job.id, links=links)
            problem.errors = each or problem.errors
            raise problem
    why = job.error or {}
    cure = CODES[why["code"]][2] if why.get("code") in CODES else None
    raise Problem(
        "conflict",
        f"The {what} was {job.status}. {why.get('detail', '')}".strip(),
        hint=why.get("hint") or cure,
        job=job.id,
        links=links,
    )

"""A job and who may see it."""

import asyncio

import orjson

from service import results
from service.house import House
from service.keys import Caller
from service.problems import Problem, brief
from service.reach import reaching
from workers.contract import Task
from workers.jobs import Job


async def owned(house: House, who: Caller, job: str, kind: Task | None = None) -> Job:
    """The caller's job; raises `Problem`, the same for a foreign job as for none."""
    record = None
    async with reaching():
        try:
            record = await house.jobs.get(job)
        except ValueError:  # not an id at all
            record = None
    if (
        record is None
        or record.owner != who.owner
        or (kind is not None and record.kind is not kind)
    ):
        raise Problem("unknown_job", f"There is no job {brief(job, 60)!r}.")
    return record


async def made_by(house: House, job: Job) -> str | None:
    """The `name@version` that an import has made."""
    if job.kind is not Task.IMPORT or job.status != "succeeded":
        return None
    records = await asyncio.to_thread(results.read, house.files.result(job.id), None, 1)
    return str(orjson.loads(records.lines[0])["model"]) if records.lines else None

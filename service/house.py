"""What a running service holds, opened once and closed at its end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from models.catalogue import RELEASED, Catalogue
from service.answers import Answers
from service.errands import Errands
from service.idempotency import Idempotency
from service.keys import Keys
from service.metrics import HttpMetrics
from service.middleware import Traffic
from service.settings import ServiceSettings
from service.table import Tables
from service.upload import Uploads
from service.watch import Watch
from workers.broker import connect_async, let_go, make_celery
from workers.files import Files
from workers.jobs import AsyncJobs, JobLimits, new_id
from workers.shelf import Shelf

AGAIN_S = 0.5


@dataclass(slots=True)
class House:
    """The parts of one service process, handed to whoever needs them."""

    settings: ServiceSettings
    redis: Redis
    jobs: AsyncJobs
    keys: Keys
    idempotency: Idempotency
    answers: Answers
    watch: Watch
    errands: Errands
    uploads: Uploads
    files: Files
    shelf: Shelf
    tables: Tables
    catalogue: Catalogue
    metrics: HttpMetrics
    traffic: Traffic
    streams: int = 0


def build(settings: ServiceSettings, metrics: HttpMetrics, traffic: Traffic) -> House:
    """The parts, not yet at work."""
    redis = connect_async(settings)
    jobs = AsyncJobs(redis, JobLimits.of(settings))
    files = Files(settings.state)
    return House(
        settings=settings,
        redis=redis,
        jobs=jobs,
        keys=Keys(redis, settings),
        idempotency=Idempotency(redis),
        answers=Answers(jobs, new_id("service")),
        watch=Watch(jobs, files),
        errands=Errands(make_celery(settings)),
        uploads=Uploads(files, settings),
        files=files,
        shelf=Shelf(files),
        tables=Tables(files, settings),
        catalogue=Catalogue([RELEASED, files.models()]),
        metrics=metrics,
        traffic=traffic,
    )


@asynccontextmanager
async def at_work(house: House) -> AsyncIterator[None]:
    """Runs what a service does besides answering: collecting answers, looking at the queue."""
    house.uploads.sweep()
    tasks = [asyncio.create_task(house.answers.run()), asyncio.create_task(house.watch.run())]
    try:
        yield
    finally:
        house.traffic.stopping = True
        await ended(tasks)
        house.tables.close()
        await let_go(house.redis)


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels until they have ended: a cancel that meets a time limit of the broker's client is taken for it."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)

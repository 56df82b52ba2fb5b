"""What a running service holds, opened once and closed at its end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from redis.asyncio import Redis

from models.catalogue import Catalogue
from models.errors import StoreAway, StoreFull
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
from workers import tracing
from workers.broker import connect_async, let_go, make_celery
from workers.files import Files
from workers.jobs import AsyncJobs, JobLimits, new_id
from workers.shelf import Shelf
from workers.versions import Versions, catalogue_of

AGAIN_S = 0.5
PATIENCE_S = 1.0  # a caller is told soon that the store is away
MIRROR_S = 3.0

log = logging.getLogger("matprop.service")


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

    async def sees(self, model: str) -> None:
        """A version that a job has made elsewhere is found from now on."""
        if isinstance(self.catalogue, Versions) and not self.catalogue.has(model):
            with suppress(StoreAway):  # the next look finds it
                await asyncio.to_thread(self.catalogue.mirror, 0)


def build(settings: ServiceSettings, metrics: HttpMetrics, traffic: Traffic) -> House:
    """The parts, not yet at work."""
    redis = connect_async(settings)
    jobs = AsyncJobs(redis, JobLimits.of(settings))
    files = Files.of(settings, patience_s=PATIENCE_S)
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
        catalogue=Versions(files, looks=False) if files.shared else catalogue_of(files),
        metrics=metrics,
        traffic=traffic,
    )


@asynccontextmanager
async def at_work(house: House) -> AsyncIterator[None]:
    """Runs what a service does besides answering: collecting answers, looking at the queue."""
    tracing.set_up("service")
    house.uploads.sweep()
    tasks = [asyncio.create_task(house.answers.run()), asyncio.create_task(house.watch.run())]
    if isinstance(house.catalogue, Versions):
        tasks.append(asyncio.create_task(mirrored(house.catalogue)))
    try:
        yield
    finally:
        house.traffic.stopping = True
        await ended(tasks)
        house.tables.close()
        await let_go(house.redis)
        await asyncio.to_thread(tracing.stop)


async def mirrored(catalogue: Versions) -> None:
    """Brings what others have registered, until cancelled."""
    away = False
    while True:
        try:
            await asyncio.to_thread(catalogue.mirror, 0)
            away = False
        except (StoreAway, StoreFull) as error:
            if not away:
                log.warning("%s", error.detail)
            away = True
        except Exception:
            log.exception("the look at the store's models failed")
        await asyncio.sleep(MIRROR_S)


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels until they have ended: a cancel that meets a time limit of the broker's client is taken for it."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)

"""Wake-ups through Celery, which blocks: one thread sends them one after another."""

import asyncio
import logging

from celery import Celery

from workers.broker import publish
from workers.contract import WAY_OF, Task

log = logging.getLogger("matprop.service")


class Errands:
    """Messages on their way; losing one costs time only, because reconcile sends another."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    def send(self, kind: Task, job: str) -> None:
        """Sends the wake-up soon, without making anybody wait; some kinds were woken with their record."""
        if kind in WAY_OF:
            return
        task = asyncio.create_task(self._send(kind, job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, kind: Task, job: str) -> None:
        async with self._turn:
            try:
                await asyncio.to_thread(publish, self._celery, kind, job)
            except Exception as error:  # noqa: BLE001 — kombu has many; the record is what counts
                log.warning("no message for job=%s: %s", job, error)

"""A look at the queue every second, so that no request has to ask who is alive."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.problems import Problem
from service.reach import away, reaching
from workers.contract import Queue
from workers.files import Files
from workers.jobs import AsyncJobs, Health

PAUSE_S = 1.0
FRESH_S = 0.5
DOUBT_S = 30.0
RECENT_S = 15.0  # a worker that restarts is back within this time

log = logging.getLogger("matprop.service")


class Watch:
    """What the last look saw."""

    def __init__(self, jobs: AsyncJobs, files: Files) -> None:
        self.jobs = jobs
        self.files = files
        # Submitted, but the broker's answer did not come (yet), and since when.
        self.doubtful: dict[str, float] = {}
        self.health: Health | None = None
        self._at = float("-inf")  # when the last look began that saw something
        self._in_vain = float("-inf")  # when the last one ended that did not
        self._seen: dict[Queue, float] = {}
        self._away = False
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            try:
                await self.look()
                await self._settle_doubts()
            except Problem:
                pass
            except Exception:
                log.exception("the look at the queue failed")
            await asyncio.sleep(PAUSE_S)

    async def look(self, fresh_s: float = FRESH_S) -> Health:
        """The state of broker and workers, not older than this; raises `Problem` if away."""
        oldest = time.monotonic() - fresh_s
        async with self._looking:
            # Whoever waited for another's look takes it, if it began late enough.
            if self.health is not None and not self._away and self._at >= oldest:
                return self.health
            if self._in_vain >= oldest:  # one after the other, they would wait for ever longer
                raise away()
            began = time.monotonic()
            try:
                async with reaching():
                    health = await self.jobs.health()
            except Problem:
                self._in_vain = time.monotonic()
                self._note(away=True)
                raise
            self._note(away=False)
            alive = (Queue(name) for name, count in health.workers.items() if count)
            self._seen.update(dict.fromkeys(alive, began))
            self.health, self._at = health, began
            return health

    async def admit(self, *queues: Queue) -> None:
        """Raises `Problem` unless the broker is there and each queue has, or just had, a worker."""
        if self._away:
            raise away()
        if self.health is None:
            await self.look()
        if not all(self._recent(queue) for queue in queues):
            await self.look(0)  # a refusal rests on a look that began after the request came
        for queue in queues:
            if not self._recent(queue):
                raise Problem("no_worker", f"No {queue} worker is running.")

    def _recent(self, queue: Queue) -> bool:
        return time.monotonic() - self._seen.get(queue, float("-inf")) <= RECENT_S

    @contextmanager
    def doubting(self, job: str) -> Iterator[None]:
        """Around the order of a job: when it fails, whether the job was recorded is found out later."""
        self.doubtful[job] = time.monotonic()
        yield
        self.doubtful.pop(job, None)

    async def _settle_doubts(self) -> None:
        """Files whose job was not recorded after all are removed.

        A broker that hung may still find the order in its socket: so not before it had the time.
        """
        for job, since in list(self.doubtful.items()):
            if time.monotonic() - since < DOUBT_S:
                continue
            async with reaching():
                recorded = await self.jobs.get(job) is not None
            if not recorded:
                await asyncio.to_thread(self.files.remove, job)
            self.doubtful.pop(job, None)

    def _note(self, *, away: bool) -> None:
        if away != self._away:
            log.warning("the queue is %s", "away" if away else "back")
        self._away = away

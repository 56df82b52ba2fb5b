"""Requests that wait for their job: one blocking read for all of them, never a poll."""

import asyncio
import logging

from workers.jobs import AsyncJobs, BrokerAway, Job

BLOCK_S = 2.0  # below the socket's timeout, so that silence is not mistaken for a lost connection
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0

log = logging.getLogger("matprop.service")


class Answers:
    """Collects ended jobs from this process's list and hands each to who waits for it."""

    def __init__(self, jobs: AsyncJobs, service: str) -> None:
        self.jobs = jobs
        self.service = service
        self._waiting: dict[str, asyncio.Future[Job | None]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, job: str) -> asyncio.Future[Job | None]:
        """To be called before the job is submitted, so that no answer can come too early."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[job] = future
        return future

    def drop(self, job: str) -> None:
        """Nobody waits for this job any more."""
        self._waiting.pop(job, None)

    async def wait(
        self, job: str, future: asyncio.Future[Job | None], seconds: float
    ) -> Job | None:
        """The record at the job's end; none when the time is over, or news may have been lost."""
        if not future.done() and seconds > 0:
            await asyncio.wait((future,), timeout=seconds)
        if self._waiting.get(job) is future:
            del self._waiting[job]
        return future.result() if future.done() else None

    async def run(self) -> None:
        """Collects until cancelled; after a failure it connects again, ever more slowly."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                for job in await self.jobs.answers(self.service, BLOCK_S):
                    self._tell(job)
                pause = FIRST_PAUSE_S
            except (BrokerAway, OSError) as error:
                self.stir()
                log.warning("cannot collect answers: %s; again in %.2f s", error, pause)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE_S, pause * 2)

    def stir(self) -> None:
        """News may have gone down with the connection: everybody looks for himself."""
        for future in self._waiting.values():
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def _tell(self, job: Job) -> None:
        future = self._waiting.pop(job.id, None)
        if future is not None and not future.done():
            future.set_result(job)

"""One thread of a worker process that shows it lives, renews its leases and tells its figures."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from workers.contract import Queue
from workers.jobs import Beat, BrokerAway, Claim, Jobs
from workers.metrics import Tally
from workers.software import about_process

PAUSE_S = 0.5
FIGURES_S = 1.0
ABOUT_S = 10.0
# A run that shows no progress for so long hangs: its lease is left to run out.
HANGING_S = 150.0
HUNG_EXIT = 70

log = logging.getLogger("matprop.pulse")


class Grip:
    """A worker's hold on a job; the pulse learns when it is lost, the run asks."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.beat = Beat.OK
        self.touched = time.monotonic()

    def touch(self) -> None:
        """The run is getting on."""
        self.touched = time.monotonic()


class Pulse:
    """Starts with `start`; a process that is `stuck` ends itself, for another to take its place."""

    def __init__(
        self,
        jobs: Jobs,
        queue: Queue,
        worker: str,
        tally: Tally,
        stuck: Callable[[], bool] | None = None,
    ) -> None:
        self.jobs = jobs
        self.queue = queue
        self.worker = worker
        self.tally = tally
        self.stuck = stuck or (lambda: False)
        self.about: Callable[[], dict[str, Any]] = about_process
        self._about_at = float("-inf")
        self._grips: dict[str, Grip] = {}
        self._figures_at = 0.0
        self._end = threading.Event()

    def start(self) -> None:
        """Beat from a thread of its own."""
        threading.Thread(target=self._run, name="pulse", daemon=True).start()

    def stop(self) -> None:
        """No beat more, and the last figures told."""
        self._end.set()
        try:
            self.tally.flush(self.jobs.redis)
        except BrokerAway:
            log.info("the last figures are lost with the broker")

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[Grip]:
        """Keep a job's lease while the block runs."""
        grip = Grip(claim)
        self._grips[claim.id] = grip
        try:
            yield grip
        finally:
            del self._grips[claim.id]

    def beat(self) -> None:
        """One beat for the process and each of its jobs."""
        self._show()
        for grip in list(self._grips.values()):
            if grip.beat is not Beat.LOST and time.monotonic() - grip.touched < HANGING_S:
                grip.beat = self.jobs.beat(grip.claim)
        if time.monotonic() - self._figures_at > FIGURES_S:
            self._figures_at = time.monotonic()
            self.tally.flush(self.jobs.redis)

    def _show(self) -> None:
        if time.monotonic() - self._about_at < ABOUT_S:
            self.jobs.alive(self.queue, self.worker)
            return
        self.jobs.alive(self.queue, self.worker, self.about())
        self._about_at = time.monotonic()

    def _run(self) -> None:
        away = False
        while not self._end.wait(PAUSE_S if self._figures_at else 0):
            if self.stuck():
                log.error("this process hangs and ends itself")
                os._exit(HUNG_EXIT)
            try:
                self.beat()
                away = False
            except BrokerAway as error:
                if not away:
                    log.warning("%s", error)
                away = True
                self._figures_at = self._figures_at or time.monotonic()

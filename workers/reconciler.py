"""The chores of every parent process: what lost workers, messages and callers left behind is set right.

All parents try; a short lock lets one of them through each time.
"""

import logging
import socket
import threading
from typing import TYPE_CHECKING, Any

from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

from workers import lanes
from workers.broker import publish
from workers.files import Files
from workers.jobs import BrokerAway, Jobs
from workers.scripts import away
from workers.settings import WorkerSettings
from workers.stopping import Stopping
from workers.sweeping import sweep, sweep_store

if TYPE_CHECKING:
    from celery import Celery

PAUSE_S = 0.5
SWEEP_MS = 60_000
SWEEP_STORE_MS = 900_000  # each look at a store is paid for
SHORT_SHARE = 0.7  # of the broker's memory: from here on old jobs make room
FULL_SHARE = 0.85  # beyond it, workers need the rest to finish
KEPT_SHARE = 0.95
FULL_TTL_S = 5

log = logging.getLogger("matprop.reconcile")


class Reconciler:
    """Looks after jobs, lanes, memory and files."""

    def __init__(
        self,
        jobs: Jobs,
        celery: "Celery",
        files: Files,
        settings: WorkerSettings,
        stopping: Stopping,
    ) -> None:
        self.jobs = jobs
        self.redis: Redis = jobs.redis
        self.celery = celery
        self.files = files
        self.settings = settings
        self.stopping = stopping
        self._end = threading.Event()

    def start(self) -> None:
        """From a thread of its own, as long as the process lives."""
        threading.Thread(target=self.run, name="reconcile", daemon=True).start()

    def run(self) -> None:
        """Until stopped; a broker that is away is waited for."""
        away_before = False
        while not self._end.wait(PAUSE_S):
            try:
                self.look()
                away_before = False
            except BrokerAway as error:
                if not away_before:
                    log.warning("%s", error)
                away_before = True
            except Exception:
                log.exception("reconcile failed; again soon")

    def stop(self) -> None:
        """The process ends."""
        self._end.set()

    def look(self) -> None:
        """Once, unless another process has just done it."""
        if not self._first("mp:reconciling", int(PAUSE_S * 800)):
            return
        chores = self.jobs.reconcile(self._affordable())
        for job, task in chores.publish:
            try:
                publish(self.celery, task, job)
            except (OSError, RedisError, OperationalError) as error:
                log.warning("not published, later again: %s", error)
                break
        for job in chores.forget:
            self.files.remove(job)
        back, lost = lanes.recover(self.redis)
        if back or lost:
            log.warning("a lost inference worker: %d entries put back, %d given up", back, lost)
        self._sweep()

    def _sweep(self) -> None:
        """With an object store every machine has leftovers of its own."""
        own = f":{socket.gethostname()}" if self.files.shared else ""
        if self._first(f"mp:sweeping{own}", SWEEP_MS):
            sweep(self.files, self.jobs)
        if self.files.shared and self._first("mp:sweeping", SWEEP_STORE_MS):
            sweep_store(self.files, self.jobs)

    def _first(self, lock: str, for_ms: int) -> bool:
        try:
            return bool(self.redis.set(lock, 1, nx=True, px=for_ms))
        except RedisError as error:
            raise away(error) from error

    def _affordable(self) -> int | None:
        """How many ended jobs the broker's memory can keep; none when it does not matter.

        When memory runs short the oldest ended jobs go early. When that does not help, no new jobs
        are admitted, so that the accepted ones can end.
        """
        try:
            memory: dict[str, Any] = self.redis.info("memory")
            bound = self.settings.max_redis_bytes
            bound = min(int(memory.get("maxmemory", 0)) or bound, bound)
            share = int(memory["used_memory"]) / bound
            if share > FULL_SHARE:
                self.redis.set("mp:full", 1, ex=FULL_TTL_S)
            if share < SHORT_SHARE:
                return None
            return int(self.redis.zcard("mp:ended") * KEPT_SHARE)
        except RedisError as error:
            raise away(error) from error

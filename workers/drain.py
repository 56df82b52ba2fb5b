"""Jobs that wait for no message: one thread takes their ids from a wake set as they come, without Celery."""

import logging
import time
from collections.abc import Callable
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from workers.scripts import BrokerAway, away
from workers.stopping import Stopping

BLOCK_S = 1.0
PAUSE_S = 0.3

log = logging.getLogger("matprop.drain")


class Drain:
    """Calls `run` with each id, oldest first, until the worker is told to stop."""

    def __init__(
        self, redis: Redis, way: str, run: Callable[[str], object], stopping: Stopping
    ) -> None:
        self.redis: Any = redis
        self.key = f"mp:wake:{way}"
        self.run_job = run
        self.stopping = stopping

    def run(self) -> None:
        """For a thread."""
        away_before = False
        while not self.stopping.asked:
            try:
                job = self._next()
                away_before = False
                if job is not None:
                    self.run_job(job)
            except BrokerAway as error:
                if not away_before:
                    log.warning("%s", error)
                away_before = True
                time.sleep(PAUSE_S)

    def _next(self) -> str | None:
        try:
            answer = self.redis.bzpopmin([self.key], BLOCK_S)
        except RedisError as error:
            raise away(error) from error
        return answer[1].decode() if answer else None

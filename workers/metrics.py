"""Counters and histograms of all worker processes, kept in one Redis hash that `/metrics` reads.

Names in the hash: `name`, `name:label` for counters; `name:count`, `name:sum`, `name:le:bound`
(cumulative) for histograms of seconds or sizes.
"""

import threading
from bisect import bisect_left
from collections import Counter

from redis import Redis
from redis.exceptions import RedisError

from workers.scripts import away

KEY = "mp:metrics"
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)


class Tally:
    """What this process has counted since the last flush; cheap enough for every structure."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._whole: Counter[str] = Counter()
        self._broken: dict[str, float] = {}

    def add(self, name: str, number: int = 1) -> None:
        """Count something."""
        if number:
            with self._lock:
                self._whole[name] += number

    def spent(self, name: str, seconds: float) -> None:
        """One more duration."""
        self._observe(name, seconds, SECONDS)

    def sized(self, name: str, size: int) -> None:
        """One more size."""
        self._observe(name, size, SIZES)

    def flush(self, redis: Redis) -> None:
        """Add to everybody's figures; what cannot be told now is told next time."""
        with self._lock:
            whole, broken = self._whole, self._broken
            self._whole, self._broken = Counter(), {}
        if not whole:
            return
        try:
            with redis.pipeline(transaction=False) as pipe:
                for name, number in whole.items():
                    pipe.hincrby(KEY, name, number)
                for name, value in broken.items():
                    pipe.hincrbyfloat(KEY, name, value)
                pipe.execute()
        except RedisError as error:
            with self._lock:
                self._whole.update(whole)
                for name, value in broken.items():
                    self._broken[name] = self._broken.get(name, 0.0) + value
            raise away(error) from error

    def _observe(self, name: str, value: float, bounds: tuple[float, ...]) -> None:
        with self._lock:
            self._whole[f"{name}:count"] += 1
            self._broken[f"{name}:sum"] = self._broken.get(f"{name}:sum", 0.0) + value
            for bound in bounds[bisect_left(bounds, value) :]:
                self._whole[f"{name}:le:{bound:g}"] += 1

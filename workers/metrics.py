"""What a worker process has counted, told to the hash that `/metrics` reads; `workers.figures` has the names."""

import threading
from bisect import bisect_left
from collections import Counter

from redis import Redis
from redis.exceptions import RedisError

from workers.figures import NAMED
from workers.scripts import away

KEY = "mp:metrics"


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
        """One more duration, or size, of a histogram; the name may have a label behind a colon."""
        bounds = NAMED[name.partition(":")[0]].buckets
        place = bisect_left(bounds, seconds)
        with self._lock:
            self._whole[f"{name}:count"] += 1
            self._broken[f"{name}:sum"] = self._broken.get(f"{name}:sum", 0.0) + seconds
            if place < len(bounds):
                self._whole[f"{name}:in:{bounds[place]:g}"] += 1

    sized = spent

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

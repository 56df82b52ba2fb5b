"""The health of a worker's container: has a worker of this host shown itself lately?"""  # noqa: INP001 (a program of the image, no package)

import os
import socket
import sys

import redis

from workers.broker import connect_once

SILENT_MS = 10_000


def shows_itself(broker: "redis.Redis", queue: str, host: str) -> bool:
    """Whether a worker process of this host and queue lives, by the broker's clock."""
    seconds, micros = broker.time()
    since = 1000 * seconds + micros // 1000 - SILENT_MS
    seen = broker.zrangebyscore(f"mp:alive:{queue}", since, "+inf")
    return any(host in name.decode() for name in seen)


def main() -> None:
    """Status 0 when alive."""
    with connect_once(os.environ["MATPROP_REDIS_URL"], 3) as broker:
        alive = shows_itself(broker, os.environ["MATPROP_QUEUE"], socket.gethostname())
    sys.exit(not alive)


if __name__ == "__main__":
    main()

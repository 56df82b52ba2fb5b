"""The health check of a worker's container."""

import runpy
from pathlib import Path

import pytest

SHOWS_ITSELF = runpy.run_path(str(Path(__file__).parents[2] / "docker/alive.py"))["shows_itself"]


class Broker:
    """A sorted set of workers, seen at seconds 90 and 99 of a clock at 100."""

    def time(self) -> tuple[int, int]:
        return 100, 500_000

    def zrangebyscore(self, key: str, least: int, most: str) -> list[bytes]:
        assert (key, most) == ("mp:alive:parse", "+inf")
        seen = {b"a1b2c3.17": 90_000, b"d4e5f6.18": 99_000}
        return [name for name, at_ms in seen.items() if at_ms >= least]


@pytest.mark.parametrize(("host", "healthy"), [("d4e5f6", True), ("a1b2c3", False), ("x", False)])
def test_a_worker_is_healthy_when_it_has_shown_itself_lately(host: str, healthy: bool) -> None:
    assert SHOWS_ITSELF(Broker(), "parse", host) is healthy

"""What callers see while things break, or while there are too many of them: the whole service, by HTTP."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks import fuzz
from tests.faults.callers import Callers, mixed
from tests.faults.installation import Installation, Scales, installed
from tests.faults.proxy import Proxy
from tests.faults.sizes import (
    API_MEMORY_BYTES,
    AT_ACCEPTANCE,
    P95_BAR_S,
    PARSER_MEMORY_BYTES,
    REFUSALS,
    SIZE,
)
from workers.jobs import Status

HELLO = (200, 202, 415)  # an unreadable structure alone is refused
LEAVING = ("ready", "the service is about to stop")  # a probe that still meets the old one
CALLERS = 4


def all_jobs_ended_well(installation: Installation, callers: Callers) -> int:
    """How many jobs that were told of have not succeeded; those of the unreadable are never told."""
    installation.plant.wait_for_all()
    found = [installation.plant.jobs.get(job) for job in set(callers.jobs)]
    return sum(one is None or one.status is not Status.SUCCEEDED for one in found)


@pytest.mark.slow
def test_the_rate_of_every_day_is_served_and_a_flood_is_refused_in_good_order(plant, row):
    row(
        f"{SIZE.rate} requests/s mixed, then five times as many",
        "p95 < 100 ms, 0 errors; then only 429/503 with Retry-After; API ≤ 300 MB",
    )
    with installed(plant) as installation, Scales(installation) as scales:
        calm, flood = Callers(installation.port), Callers(installation.port)
        calm.call(mixed(random.Random(1)), SIZE.rate, SIZE.load_s)
        flood.call(mixed(random.Random(2)), 5 * SIZE.rate, SIZE.flood_s)
        lost = all_jobs_ended_well(installation, calm) + all_jobs_ended_well(installation, flood)
        installation.wait_ready()
    singles = ("one new", "one known")
    row.tell(
        rate=SIZE.rate,
        seconds=SIZE.load_s,
        answers=calm.counted(),
        p50_ms=round(1000 * calm.quantile(0.5, singles), 1),
        p95_ms=round(1000 * calm.quantile(0.95), 1),
        p99_ms=round(1000 * calm.quantile(0.99), 1),
        flood_rate=5 * SIZE.rate,
        flood_seconds=SIZE.flood_s,
        flood_answers=flood.counted(),
        flood_p95_ms=round(1000 * flood.quantile(0.95)),
        refused_without_retry_after=sum(
            one.status in REFUSALS and not one.retry_after for one in flood.outcomes
        ),
        jobs_lost=lost,
        api_memory_mb=scales.most["service"] // 1_000_000,
    )
    assert {one.status for one in calm.outcomes} <= set(HELLO), calm.counted()
    assert {one.status for one in flood.outcomes} <= {*HELLO, *REFUSALS}
    assert all(one.retry_after for one in flood.outcomes if one.status in REFUSALS)
    assert lost == 0
    assert scales.most["service"] <= API_MEMORY_BYTES
    if AT_ACCEPTANCE:
        assert calm.quantile(0.95) < P95_BAR_S


def test_a_silent_broker_is_a_503_in_time(plant, row):
    row("a broker that falls silent, seen from outside", "503 meanwhile, never 500, never > 5 s")
    proxy = Proxy(plant.broker.port)
    with installed(plant, f"redis://127.0.0.1:{proxy.port}/0") as installation:
        before, silent, after = (Callers(installation.port) for _ in range(3))
        before.call(mixed(random.Random(3)), 10, 2)
        proxy.half_open()
        proxy.pause()
        silent.call(mixed(random.Random(4)), 10, SIZE.silence_s)
        proxy.resume()
        healed = time.monotonic()
        installation.wait_ready()
        ready_s = time.monotonic() - healed
        after.call(mixed(random.Random(5)), 10, 2)
        lost = sum(all_jobs_ended_well(installation, one) for one in (before, silent, after))
    proxy.close()
    row.tell(
        silence_s=SIZE.silence_s,
        answers=silent.counted(),
        slowest_s=round(silent.quantile(1), 2),
        ready_again_after_s=round(ready_s, 1),
        answers_after=after.counted(),
        jobs_lost=lost,
    )
    assert {one.status for one in silent.outcomes} <= {*HELLO, 503}
    assert all(one.retry_after for one in silent.outcomes if one.status == 503)
    late = ("ready", 503)  # a worker may be late to say that it lives
    answers = [one for one in after.outcomes if (one.kind, one.status) != late]
    assert {one.status for one in answers} <= set(HELLO)
    assert lost == 0
    if AT_ACCEPTANCE:
        assert silent.quantile(1) <= 5.5  # the answer's own way, on a busy machine
        assert ready_s <= 60


@pytest.mark.slow
def test_rolling_restarts_lose_no_job_and_reset_no_connection(plant, row):
    row("rolling restarts of service and workers under load", "0 lost, 0 reset connections")
    with installed(plant) as installation:
        callers = Callers(installation.port)
        over = threading.Event()
        load = threading.Thread(target=lambda: keep_calling(callers, over))
        load.start()
        try:
            for number in range(SIZE.restarts):
                installation.replace("service")
                installation.replace(("parse", "infer")[number % 2])
        finally:
            over.set()
            load.join()
        lost = all_jobs_ended_well(installation, callers)
    faults = [one.fault for one in callers.outcomes if one.fault]
    row.tell(
        restarts=SIZE.restarts,
        answers=callers.counted(),
        reset=len(faults),
        jobs=len(set(callers.jobs)),
        jobs_lost=lost,
        p99_ms=round(1000 * callers.quantile(0.99)),
    )
    assert faults == []
    answers = [one for one in callers.outcomes if (one.kind, one.code) != LEAVING]
    assert {one.status for one in answers} <= set(HELLO), callers.counted()
    assert lost == 0


def keep_calling(callers: Callers, over: threading.Event) -> None:
    chance = random.Random(6)
    while not over.is_set():
        callers.call(mixed(chance), 20, 2)


@pytest.mark.slow
def test_hostile_and_mutated_files_are_answered_in_time(plant, row):
    row("hostile and mutated files", "0 × 5xx, none over 10 s, parser child ≤ 1 GB over base")
    chance = random.Random(7)
    sources = fuzz.seeds(None)
    statuses: dict[int, int] = {}
    codes: dict[str, int] = {}
    slowest = 0.0
    with installed(plant) as installation, Scales(installation) as scales:
        base = scales.most.get("parse children", 0)

        def send(size: int) -> tuple[int, float, object]:
            drawn = chance.choices(sources, k=size)
            batch = [(name, fuzz.mutated(data, chance)) for name, data in drawn]
            return fuzz.send(installation.port, batch, "formation-energy")

        # A file in five goes alone, the others in company: both ways have to hold.
        sizes = [1] * (SIZE.inputs // 5) + [20] * (SIZE.inputs * 4 // 5 // 20)
        with ThreadPoolExecutor(CALLERS) as pool:
            for status, spent, body in pool.map(send, sizes):
                statuses[status] = statuses.get(status, 0) + 1
                slowest = max(slowest, spent)
                for record in (body or {}).get("records", ()):
                    code = (record.get("error") or {}).get("code", record["status"])
                    codes[code] = codes.get(code, 0) + 1
        installation.wait_ready()
    largest = scales.most["parse children"]
    row.tell(
        files=sum(sizes),
        calls=len(sizes),
        answers=dict(sorted(statuses.items())),
        records=dict(sorted(codes.items(), key=lambda one: -one[1])[:12]),
        slowest_s=round(slowest, 1),
        parser_memory_mb=largest // 1_000_000,
        api_memory_mb=scales.most["service"] // 1_000_000,
    )
    assert not [status for status in statuses if status >= 500]
    assert "internal" not in codes
    assert slowest <= 10
    assert largest - base <= PARSER_MEMORY_BYTES
    assert scales.most["service"] <= API_MEMORY_BYTES

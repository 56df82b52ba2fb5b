"""What must hold whatever dies: no job lost, none committed twice, hardly any executed twice.

tests/faults/sizes.py says how much is broken.
"""

import os
import random
import signal
import time
from itertools import count

import pytest

from tests.faults.conftest import wait_until
from tests.faults.proxy import Proxy
from tests.faults.sizes import AT_ACCEPTANCE, SIZE
from workers.jobs import Status

NONE_LOST = "0 lost, 0 committed twice"
HARDLY_ANY_TWICE = f"{NONE_LOST}, ≤ 1 % executed twice"


def told(plant):
    """What every row has in common."""
    committed = plant.counted("committed").values()
    return {
        "jobs": len(plant.submitted),
        "lost": len(plant.lost()),
        "committed twice": sum(number > 1 for number in committed),
        "executed twice": plant.executed_twice(),
    }


def test_random_kills_of_workers_lose_and_double_nothing(plant, row):
    row("random kill -9 of workers under load", HARDLY_ANY_TWICE)
    kills = SIZE.worker_kills
    jobs = 120 * kills
    chance = random.Random(1)
    for _ in range(2):
        plant.start_worker()
    plant.wait_for_workers(4)
    for number in range(jobs):
        plant.submit(direct=number % 3 > 0)
        if number % (jobs // kills) == 0:
            plant.keep_up()
            victims = plant.children()
            if number % (4 * jobs // kills) == 0:
                worker = chance.choice([one for one in plant.workers if one.poll() is None])
                worker.kill()
                worker.wait()
                plant.start_worker()
            elif victims:
                os.kill(chance.choice(victims), signal.SIGKILL)
    plant.wait_for_all()
    row.tell(kills=kills, **told(plant))
    plant.check_none_lost_or_doubled()
    assert plant.executed_twice() <= jobs // 100
    assert sum(plant.counted("begun").values()) - jobs <= 4 * kills


def test_kills_of_the_broker_lose_and_double_nothing(plant, row):
    row("kill -9 of the broker", HARDLY_ANY_TWICE)
    kills = SIZE.broker_kills
    jobs = 100 * kills
    plant.start_worker()
    plant.wait_for_workers(2)
    for number in range(jobs):
        plant.submit(direct=number % 3 > 0, work_ms=10)
        if number % (jobs // kills) == jobs // kills // 2:
            plant.keep_up()
            plant.broker.sync()
            plant.broker.kill()
            plant.broker.start()
    plant.wait_for_all()
    row.tell(kills=kills, **told(plant))
    plant.check_none_lost_or_doubled()
    assert plant.executed_twice() <= jobs // 100


@pytest.mark.slow
def test_a_broker_that_stands_still_loses_and_doubles_nothing(plant, row):
    row("the broker stands still for 1 to 5 s", NONE_LOST)
    chance = random.Random(2)
    plant.start_worker()
    plant.wait_for_workers(2)
    for _ in range(SIZE.broker_pauses):
        for number in range(40):
            plant.submit(direct=number % 3 > 0, work_ms=20)
        plant.broker.process.send_signal(signal.SIGSTOP)
        time.sleep(chance.uniform(1, 5))
        plant.broker.process.send_signal(signal.SIGCONT)
    plant.wait_for_all()
    row.tell(pauses=SIZE.broker_pauses, **told(plant))
    plant.check_none_lost_or_doubled()


def test_replies_cut_on_their_way_lose_and_double_nothing(plant, row):
    row("replies of the broker cut on their way", NONE_LOST)
    proxy = Proxy(plant.broker.port)
    plant.start_worker(f"redis://127.0.0.1:{proxy.port}/0")
    plant.wait_for_workers(2)
    numbers = count()
    for wanted in range(1, SIZE.cut_replies + 1):
        proxy.cut_replies(1)

        def was_cut(wanted=wanted) -> bool:  # a worker asks again some time after its link was cut
            plant.submit(direct=next(numbers) % 2 > 0)
            return proxy.cut == wanted

        wait_until(was_cut, f"reply {wanted} to be cut")
    plant.wait_for_all()
    row.tell(cut=proxy.cut, **told(plant))
    plant.check_none_lost_or_doubled()
    proxy.close()


@pytest.mark.slow
def test_half_open_connections_are_left_and_the_work_goes_on(plant, row):
    row("all connections half-open, and silence for a while", f"{NONE_LOST}, work resumes ≤ 60 s")
    proxy = Proxy(plant.broker.port)
    plant.start_worker(f"redis://127.0.0.1:{proxy.port}/0")
    plant.wait_for_workers(2)
    for number in range(60):
        plant.submit(direct=number % 2 > 0, work_ms=20)
        if number == 30:
            assert proxy.half_open() > 0
            proxy.pause()  # new connections find nobody either
    time.sleep(SIZE.silence_s)
    done = len(plant.counted("committed"))
    proxy.resume()
    healed = time.monotonic()
    wait_until(lambda: len(plant.counted("committed")) > done, "work to resume")
    resumed_s = time.monotonic() - healed
    plant.wait_for_all()
    row.tell(silence_s=SIZE.silence_s, resumed_after_s=round(resumed_s, 1), **told(plant))
    plant.check_none_lost_or_doubled()
    assert resumed_s <= 60
    proxy.close()


def test_poison_fails_after_three_workers_and_its_neighbours_succeed(plant, row):
    row("a job that kills its worker", "failed in ≤ 3 attempts and 60 s, neighbours unharmed")
    plant.start_worker()
    plant.wait_for_workers(2)
    fine = [plant.submit(direct=number % 2 > 0) for number in range(20)]
    poison = [plant.submit(direct=direct, label="poison") for direct in (True, False)]
    fine += [plant.submit(direct=number % 2 > 0) for number in range(20)]
    began = time.monotonic()
    plant.wait_for_all()
    spent_s = time.monotonic() - began
    attempts = [plant.counted("begun")[job] for job in poison]
    row.tell(poison=len(poison), attempts=attempts, seconds=round(spent_s, 1), neighbours=len(fine))
    if AT_ACCEPTANCE:
        assert spent_s <= 60
    for job in poison:
        ended = plant.jobs.get(job)
        assert ended.status is Status.FAILED
        assert ended.error["code"] == "worker_lost"
        assert plant.counted("begun")[job] <= 3
    assert {plant.jobs.get(job).status for job in fine} == {Status.SUCCEEDED}


def test_a_worker_told_to_stop_gives_its_jobs_back(plant):
    first = plant.start_worker(children=1)
    plant.wait_for_workers(1)
    long = [plant.submit(direct=direct, work_ms=60_000) for direct in (True, False)]
    wait_until(lambda: len(plant.counted("begun")) == 2, "both have begun")
    first.send_signal(signal.SIGTERM)
    first.wait()
    assert {plant.jobs.get(job).status for job in long} == {Status.QUEUED}


@pytest.mark.slow
def test_rolling_restarts_of_workers_lose_and_double_nothing(plant):
    for _ in range(2):
        plant.start_worker()
    plant.wait_for_workers(4)
    for number in range(600):
        plant.submit(direct=number % 3 > 0)
        if number % 150 == 75:
            oldest = next(one for one in plant.workers if one.poll() is None)
            plant.start_worker()
            oldest.send_signal(signal.SIGTERM)
            oldest.wait()
    plant.wait_for_all()
    plant.check_none_lost_or_doubled()

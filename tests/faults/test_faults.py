"""What must hold whatever dies: no job lost, none committed twice, hardly any executed twice.

The figures are the CI size; MATPROP_FAULTS multiplies them for acceptance.
"""

import os
import random
import signal

import pytest

from tests.faults.conftest import wait_until
from tests.faults.proxy import Proxy
from workers.jobs import Status

SIZE = int(os.environ.get("MATPROP_FAULTS", "1"))


def test_random_kills_of_workers_lose_and_double_nothing(plant):
    kills, jobs = 20 * SIZE, 2400 * SIZE
    chance = random.Random(1)
    for _ in range(2):
        plant.start_worker()
    plant.wait_for_workers(4)
    for number in range(jobs):
        plant.submit(direct=number % 3 > 0)
        if number % (jobs // kills) == 0:
            victims = plant.children()
            if number % (4 * jobs // kills) == 0:
                worker = chance.choice([one for one in plant.workers if one.poll() is None])
                worker.kill()
                worker.wait()
                plant.start_worker()
            elif victims:
                os.kill(chance.choice(victims), signal.SIGKILL)
    plant.wait_for_all()
    plant.check_none_lost_or_doubled()
    assert plant.executed_twice() <= jobs // 100
    assert sum(plant.counted("begun").values()) - jobs <= 4 * kills


def test_kills_of_the_broker_lose_and_double_nothing(plant):
    kills, jobs = 5 * SIZE, 500 * SIZE
    plant.start_worker()
    plant.wait_for_workers(2)
    for number in range(jobs):
        plant.submit(direct=number % 3 > 0, work_ms=10)
        if number % (jobs // kills) == jobs // kills // 2:
            plant.broker.kill()
            plant.broker.start()
    plant.wait_for_all()
    plant.check_none_lost_or_doubled()
    assert plant.executed_twice() <= jobs // 100


def test_replies_cut_on_their_way_lose_and_double_nothing(plant):
    proxy = Proxy(plant.broker.port)
    plant.start_worker(f"redis://127.0.0.1:{proxy.port}/0")
    plant.wait_for_workers(2)
    for number in range(100 * SIZE):
        plant.submit(direct=number % 2 > 0)
        if number % 10 == 0:
            proxy.cut_replies(1)
    plant.wait_for_all()
    assert proxy.cut >= 8 * SIZE
    plant.check_none_lost_or_doubled()
    proxy.close()


def test_half_open_connections_are_left_and_the_work_goes_on(plant):
    proxy = Proxy(plant.broker.port)
    plant.start_worker(f"redis://127.0.0.1:{proxy.port}/0")
    plant.wait_for_workers(2)
    for number in range(60 * SIZE):
        plant.submit(direct=number % 2 > 0, work_ms=20)
        if number == 30:
            assert proxy.half_open() > 0
    plant.wait_for_all()
    plant.check_none_lost_or_doubled()
    proxy.close()


def test_poison_fails_after_three_workers_and_its_neighbours_succeed(plant):
    plant.environment["MATPROP_LEASE_S"] = "1.1"
    plant.start_worker()
    plant.wait_for_workers(2)
    fine = [plant.submit(direct=number % 2 > 0) for number in range(20)]
    poison = [plant.submit(direct=direct, label="poison") for direct in (True, False)]
    fine += [plant.submit(direct=number % 2 > 0) for number in range(20)]
    plant.wait_for_all()
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
def test_rolling_restarts_under_load_lose_and_double_nothing(plant):
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

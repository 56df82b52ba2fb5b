"""A training whose program, worker or whole worker tree is killed ends as if nothing had happened."""

import json
import os
import random
import signal
from contextlib import suppress
from functools import reduce
from pathlib import Path

import pytest

from tests.faults.conftest import Plant, wait_until
from tests.faults.sizes import SIZE
from tests.workers.training_desk import SET, train_order
from workers.contract import EvaluateOrder, Order, Task
from workers.files import Files
from workers.jobs import NewJob, Status, new_id

EPOCHS, MANY_EPOCHS, ENDLESS = 40, 100, 100_000


def unbroken(epochs: int) -> int:
    """The figure of a training that nothing happened to."""
    return reduce(lambda value, _: (value * 31 + 7) % 1009, range(epochs), 1)


def submitted(
    plant: Plant, kind: Task = Task.TRAIN, order: Order | None = None, epochs: int = EPOCHS
) -> str:
    dataset = Files(plant.settings.state).dataset(SET)
    dataset.mkdir(parents=True, exist_ok=True)
    (dataset / "manifest.json").write_text("{}")
    order = order or train_order(title="slow", epochs=epochs)
    new = NewJob(id=new_id("job"), kind=kind, order=order.model_dump_json(), uses=(SET,))
    assert plant.jobs.submit(new)
    plant.submitted.append(new.id)
    return new.id


def programs(plant: Plant) -> list[int]:
    """Processes of the workers' children."""
    found = []
    for child in plant.children():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended just now
            listed = Path(f"/proc/{child}/task/{child}/children").read_text()
            found += [int(pid) for pid in listed.split()]
    return found


def killed(plant: Plant, chance: random.Random, number: int) -> bool:
    """In turn: a program, the child that holds its job, the worker with all of them; whether it was there."""
    if number % 3 == 2:
        worker = chance.choice([one for one in plant.workers if one.poll() is None])
        worker.kill()
        worker.wait()
        plant.start_worker(children=1)
        return True
    victims = (programs if number % 3 == 0 else Plant.children)(plant)
    with suppress(IndexError, ProcessLookupError):
        os.kill(chance.choice(victims), signal.SIGKILL)
        return True
    return False


def test_trainings_killed_at_random_epochs_end_with_the_figures_of_an_unbroken_run(plant, row):
    row("trainings killed at random epochs", "end with the figures of an unbroken run")
    plant.app, plant.queue = "tests.faults.training_worker", "train"
    chance = random.Random(1)
    for _ in range(2):
        plant.start_worker(children=1)
    plant.wait_for_workers(2)
    jobs = [submitted(plant) for _ in range(2)]
    for number in range(SIZE.training_kills):
        before = {job: plant.jobs.get(job).done for job in jobs}

        def all_got_on(before=before) -> bool:
            plant.tend()
            records = {job: plant.jobs.get(job) for job in before}
            return all(one.status.ended or one.done > before[job] for job, one in records.items())

        def any_was_killed(number=number) -> bool:
            jobs[:] = [job for job in jobs if not plant.jobs.get(job).status.ended]
            if not jobs:
                jobs.append(submitted(plant))
            return bool(programs(plant)) and killed(plant, chance, number)

        wait_until(all_got_on, "every training to get on")
        wait_until(any_was_killed, "a program")
    plant.wait_for_all()
    assert plant.lost() == []
    files = Files(plant.settings.state)
    results = [json.loads(files.result(job).read_text()) for job in plant.submitted]
    values = [one["metrics"]["val"]["value"] for one in results]
    row.tell(
        kills=SIZE.training_kills,
        trainings=len(results),
        differing=sum(value != unbroken(EPOCHS) for value in values),
    )
    assert set(values) == {unbroken(EPOCHS)}
    assert sorted(one["model"] for one in results) == sorted(
        f"mine@{number + 1}" for number in range(len(plant.submitted))
    )
    assert {plant.jobs.get(job).status for job in plant.submitted} == {Status.SUCCEEDED}


def test_what_is_short_does_not_wait_for_a_training_of_the_only_worker(plant):
    plant.app, plant.queue = "tests.faults.training_worker", "train"
    plant.start_worker(children=1)
    training = submitted(plant, epochs=ENDLESS)
    wait_until(lambda: plant.jobs.get(training).done > 5, "some epochs")
    judging = submitted(
        plant, Task.EVALUATE, EvaluateOrder(dataset=SET, model="formation-energy@1")
    )
    wait_until(lambda: plant.jobs.get(judging).status.ended, "the evaluation")
    assert plant.jobs.get(judging).status is Status.SUCCEEDED
    assert plant.jobs.get(training).status is Status.RUNNING


@pytest.mark.slow
def test_a_worker_told_to_stop_gives_its_training_back_and_another_goes_on(plant):
    plant.app, plant.queue = "tests.faults.training_worker", "train"
    first = plant.start_worker(children=1)
    plant.wait_for_workers(1)
    job = submitted(plant, epochs=MANY_EPOCHS)  # more than are over within the time of grace
    wait_until(lambda: plant.jobs.get(job).done > 5, "some epochs")
    first.send_signal(signal.SIGTERM)
    first.wait()
    given_back = plant.jobs.get(job)
    assert (given_back.status, given_back.done > 5) == (Status.QUEUED, True)
    plant.start_worker(children=1)
    plant.wait_for_all()
    ended = plant.jobs.get(job)
    assert (ended.status, ended.attempt) == (Status.SUCCEEDED, 2)
    result = json.loads(Files(plant.settings.state).result(job).read_text())
    assert result["metrics"]["val"]["value"] == unbroken(MANY_EPOCHS)

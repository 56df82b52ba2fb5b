"""The real program under the real worker's code: from a written data set to a version that opens."""

import json
import logging
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.catalogue import Catalogue
from models.datasets.writing import About, Plan, Writer
from models.settings.network import NetworkSettings
from models.settings.training import TrainingSettings
from models.structures.structure import Structure
from tests.workers.training_desk import SET, Desk, train_order
from workers.contract import EvaluateOrder, Range, TargetOrder, Task, TrainOrder, TuneOrder
from workers.evaluating import Evaluator
from workers.following import Program
from workers.jobs import Status
from workers.settings import WorkerSettings
from workers.stopping import Stopping
from workers.training import Machine, Trainer

ROWS = 40


def write_rows(folder: Path) -> None:
    """Cubic crystals whose energy follows from cell and element."""
    chance = np.random.default_rng(3)
    with Writer(folder, [Plan("energy", "number")]) as writer:
        for at in range(ROWS):
            edge, number = 3.5 + chance.uniform(0, 0.8), 11 + at % 20
            structure = Structure(
                f"crystal {at}",
                np.eye(3) * edge,
                np.array([number, 8], np.uint8),
                np.array([[0, 0, 0], [0.5, 0.5, 0.5]]),
            )
            writer.add(structure, {"energy": edge - 0.05 * number})
        writer.close(About(SET, "little", "me", "little.jsonl"))


def order(**parts: Any) -> TrainOrder:
    training = TrainingSettings(epochs=parts.pop("epochs", 4), batch_size=8)
    network = NetworkSettings(convolutions=1, width=8, hidden_width=8)
    return train_order(
        targets=(TargetOrder(column="energy", property="energy", unit="eV"),),
        network=network.model_dump(mode="json"),
        **parts,
    ).model_copy(update={"training": training.model_dump(mode="json")})


@pytest.fixture
def desk(jobs, settings: WorkerSettings, caplog) -> Desk:
    caplog.set_level(logging.CRITICAL)
    made = Desk(jobs, settings.state)
    write_rows(made.files.dataset(SET))
    cpu = settings.model_copy(update={"device": "cpu"})
    machine = Machine("cpu", 1)
    program, judge = (Program.of(cpu, f"models.training.{name}") for name in ("program", "judge"))
    made.runs[Task.TRAIN] = Trainer(made.files, program, machine)
    made.runs[Task.EVALUATE] = Evaluator(made.files, judge, machine)
    return made


def test_a_training_becomes_a_version_that_can_be_judged(desk):
    job = desk.run(desk.submit(order()))
    assert (job.error, job.status, job.done, job.total) == (None, Status.SUCCEEDED, 4, 4)
    assert desk.epochs(job.id) == [1, 2, 3, 4]
    card, _ = Catalogue((desk.files.models(),)).get("mine")
    assert card.metrics["val"]["mae"] == desk.result(job.id)["metrics"]["val"]["mae"]
    judging = EvaluateOrder(dataset=SET, model=card.id, columns={"energy": "energy"})
    judged = desk.run(desk.submit(judging, Task.EVALUATE))
    assert (judged.error, judged.status) == (None, Status.SUCCEEDED)
    assert desk.result(judged.id)["model"] == "mine@1"


def programs() -> list[int]:
    """Processes of this one that train."""
    own = Path(f"/proc/{os.getpid()}/task")
    found = [int(pid) for each in own.iterdir() for pid in (each / "children").read_text().split()]
    return [
        pid
        for pid in found
        if b"models.training.program" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@pytest.mark.slow  # the program's own tests kill it in every run
def test_a_program_killed_on_the_way_ends_with_the_figures_of_an_unbroken_one(desk):
    unbroken = desk.run(desk.submit(order(epochs=60, register_as=None)))
    job = desk.submit(order(epochs=60, register_as=None))
    thread = desk.in_background(job)
    for epoch in (3, 40):
        desk.until_told(job, epoch)
        for pid in programs():
            os.kill(pid, signal.SIGKILL)
    thread.join()
    assert desk.record(job).status is Status.SUCCEEDED
    assert desk.result(job)["metrics"] == desk.result(unbroken.id)["metrics"]


def test_a_cancelled_training_is_a_version_that_says_so(desk):
    job = desk.submit(order(epochs=50_000))
    thread = desk.in_background(job)
    desk.until_told(job, 2)
    desk.jobs.cancel(job)
    desk.pulse.beat()
    thread.join()
    assert desk.record(job).status is Status.CANCELLED
    card, _ = Catalogue((desk.files.models(),)).get(desk.result(job)["model"])
    assert card.training is not None
    assert card.training.stopped


@pytest.mark.slow
def test_a_training_cancelled_while_it_waits_to_go_on_is_a_version(desk):
    job = desk.submit(order(epochs=50_000))
    thread = desk.in_background(job)
    folder = desk.files.training(job)
    while not list(folder.glob("checkpoint/*.pt")):
        assert thread.is_alive()
    desk.stopping.ask()
    thread.join()
    assert desk.jobs.cancel(job) is Status.CANCELLING
    desk.holder.stopping = Stopping()  # as another worker
    closing = desk.in_background(job)
    while closing.is_alive():
        desk.pulse.beat()
        closing.join(0.5)
    assert desk.record(job).status is Status.CANCELLED
    card, _ = Catalogue((desk.files.models(),)).get(desk.result(job)["model"])
    assert card.training is not None
    assert card.training.stopped


def test_the_best_of_a_search_is_a_version(desk):
    space = {"width": Range(choices=(4, 8)), "learning_rate": Range(low=1e-3, high=1e-1, log=True)}
    job = desk.family(desk.submit(TuneOrder(train=order(), space=space, trials=2), Task.TUNE))
    assert (job.error, job.status) == (None, Status.SUCCEEDED)
    result = desk.result(job.id)
    card, _ = Catalogue((desk.files.models(),)).get(result["model"])
    assert (
        json.loads(card.network.model_dump_json())["width"]
        == (result["trials"][result["best"]]["settings"]["width"])
    )


def test_an_impossible_column_is_told(desk):
    target = TargetOrder(column="none", property="energy", unit="eV")
    job = desk.run(desk.submit(order().model_copy(update={"targets": (target,)})))
    assert (job.status, job.error["code"]) == (Status.FAILED, "unfit_dataset")
    assert desk.versions() == []

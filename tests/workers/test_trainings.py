"""A training job, from its claim to the registered version, whatever happens on the way."""

import logging
import os

import pytest

from tests.workers.conftest import lapse
from tests.workers.training_desk import VALUE_OF_8, Desk
from workers import limited
from workers.contract import TargetOrder, Task
from workers.following import NICENESS, Program
from workers.jobs import Status
from workers.limited import Bounds
from workers.owning import Hold


@pytest.fixture
def desk(jobs, settings, caplog) -> Desk:
    caplog.set_level(logging.CRITICAL)
    return Desk(jobs, settings.state)


def test_a_training_becomes_a_version_and_tells_its_epochs(desk):
    job = desk.train()
    assert (job.status, job.done, job.total) == (Status.SUCCEEDED, 8, 8)
    assert desk.epochs(job.id) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert desk.result(job.id)["model"] == "mine@1"
    assert desk.result(job.id)["metrics"]["val"]["value"] == VALUE_OF_8
    assert not desk.files.training(job.id).exists()
    assert desk.result(desk.train().id)["model"] == "mine@2"


def test_a_training_without_an_epoch_is_done_at_its_end(desk):
    job = desk.train(epochs=0)
    assert (job.status, job.done, job.total) == (Status.SUCCEEDED, 1, 1)


def test_a_training_that_nothing_is_to_be_kept_of_has_a_result_only(desk):
    job = desk.train(register_as=None)
    assert desk.result(job.id)["model"] is None
    assert desk.versions() == []


def test_a_program_that_is_killed_goes_on_from_its_checkpoint(desk):
    job = desk.train(title="killed on the way")
    assert job.status is Status.SUCCEEDED
    assert desk.result(job.id)["metrics"]["val"]["value"] == VALUE_OF_8
    assert [line["text"] for line in desk.events(job.id, "log")] == [
        f"goes on after epoch {epoch}" for epoch in (2, 4, 6)
    ]


def test_a_program_that_somebody_else_tells_to_end_goes_on(desk):
    job = desk.train(title="told to end by others")
    assert (job.status, desk.epochs(job.id)) == (Status.SUCCEEDED, [1, 2, 3, 4, 5, 6, 7, 8])
    assert desk.result(job.id)["metrics"]["val"]["value"] == VALUE_OF_8


@pytest.mark.parametrize(
    ("title", "code", "says"),
    [
        ("killed", "out_of_memory", "memory"),
        ("greedy", "out_of_memory", "memory"),
        ("full", "internal", "no room"),
        ("bad", "bad_setting", "cannot be learned"),
    ],
)
def test_what_fails_says_why_and_registers_nothing(desk, title, code, says):
    job = desk.train(title=title)
    assert (job.status, job.error["code"]) == (Status.FAILED, code)
    assert says in job.error["detail"]
    assert desk.versions() == []


@pytest.mark.parametrize("title", ["greedy", "full"])
def test_a_retry_goes_on_from_the_last_checkpoint(desk, title):
    failed = desk.train(title=title)
    again = desk.run(desk.retried(failed.id))
    assert again.status is Status.SUCCEEDED
    assert [line["text"] for line in desk.events(again.id, "log")] == ["goes on after epoch 2"]
    assert desk.result(again.id)["metrics"]["val"]["value"] == VALUE_OF_8


def test_a_cancelled_training_keeps_the_best_so_far(desk):
    job = desk.submit(title="waits")
    thread = desk.in_background(job)
    desk.until_told(job, 3)
    assert desk.jobs.cancel(job) is Status.CANCELLING
    desk.pulse.beat()
    thread.join()
    assert (desk.record(job).status, desk.record(job).done) == (Status.CANCELLED, 3)
    assert desk.result(job)["model"] == "mine@1"


def test_a_training_whose_name_was_taken_meanwhile_is_kept_under_another(desk, settings):
    job = desk.submit(title="waits")
    thread = desk.in_background(job)
    desk.until_told(job, 3)
    gap = TargetOrder(column="g", property="band-gap", unit="eV")
    other = Desk(desk.jobs, settings.state)
    assert other.result(other.train(targets=(gap,)).id)["model"] == "mine@1"
    desk.jobs.cancel(job)
    desk.pulse.beat()
    thread.join()
    assert desk.result(job)["model"] == "mine-2@1"
    assert desk.result(job)["notes"] == [
        "The name mine was taken meanwhile, for something else: this is mine-2@1."
    ]


def test_a_cancelled_training_can_be_taken_up_again(desk):
    test_a_cancelled_training_keeps_the_best_so_far(desk)
    [job] = desk.jobs.list("me").jobs
    again = desk.retried(job.id)
    assert desk.run(again).status is Status.SUCCEEDED
    assert desk.result(again)["metrics"]["val"]["value"] == VALUE_OF_8
    assert desk.versions() == ["1", "2"]


def test_a_worker_told_to_stop_gives_its_training_back(desk):
    job = desk.submit(title="waits")
    thread = desk.in_background(job)
    desk.until_told(job, 3)
    desk.stopping.ask()
    thread.join()
    assert desk.record(job).status is Status.QUEUED
    assert desk.record(job).done == 3


def given_back(desk: Desk, settings) -> tuple[str, Desk]:
    """A training with three epochs done that no worker holds, and another worker."""
    test_a_worker_told_to_stop_gives_its_training_back(desk)
    [job] = desk.jobs.list("me").jobs
    return job.id, Desk(desk.jobs, settings.state)


def test_a_training_that_is_cancelled_while_it_waits_to_go_on_keeps_the_best_so_far(desk, settings):
    job, other = given_back(desk, settings)
    assert desk.jobs.cancel(job) is Status.CANCELLING
    thread = other.in_background(job)
    other.until_told_of(job, "log")
    other.pulse.beat()
    thread.join()
    assert desk.record(job).status is Status.CANCELLED
    assert desk.result(job)["model"] == "mine@1"


def test_a_retry_of_a_retry_that_never_began_goes_on_all_the_same(desk):
    failed = desk.train(title="full")
    first = desk.retried(failed.id)
    assert desk.jobs.cancel(first) is Status.CANCELLED
    again = desk.run(desk.retried(first))
    assert again.status is Status.SUCCEEDED
    assert [line["text"] for line in desk.events(again.id, "log")] == ["goes on after epoch 2"]


def test_an_end_that_the_broker_has_forgotten_is_told_again_and_nothing_learned_again(desk):
    job = desk.submit()
    claim = {}

    def work(hold: Hold) -> None:
        claim["gone"] = desk.runs[Task.TRAIN].run(hold).afterwards

    desk.holder.run(job, work)
    claim["gone"]()
    lose_the_worker(desk, job)
    again = desk.run(job)
    assert (again.status, again.done, desk.versions()) == (Status.SUCCEEDED, 8, ["1"])
    assert desk.epochs(job) == [1, 2, 3, 4, 5, 6, 7, 8]


def lose_the_worker(desk: Desk, job: str) -> None:
    """Its lease is over, and the job queued again."""
    while desk.record(job).status is not Status.QUEUED:
        lapse(desk.jobs.redis, job)
        desk.jobs.reconcile()


def test_an_attempt_that_was_lost_after_registering_registers_no_second_version(desk):
    job = desk.submit()

    def work(hold: Hold) -> None:
        desk.runs[Task.TRAIN].run(hold)  # and is lost before it can finish

    desk.holder.run(job, work)
    assert desk.versions() == ["1"]
    lose_the_worker(desk, job)
    assert desk.run(job).status is Status.SUCCEEDED
    assert desk.result(job)["model"] == "mine@1"
    assert desk.versions() == ["1"]


def test_a_job_that_was_taken_over_is_not_worked_at_twice(desk, settings):
    job = desk.submit(title="waits")
    first = desk.in_background(job)
    desk.until_told(job, 3)
    lose_the_worker(desk, job)
    other = Desk(desk.jobs, settings.state)
    second = other.in_background(job)
    desk.pulse.beat()  # the first worker learns that it has lost the job, and its program ends
    first.join()
    other.until_told_of(job, "log")  # only now could the second one's begin
    desk.jobs.cancel(job)
    other.pulse.beat()
    second.join()
    assert desk.record(job).status is Status.CANCELLED


def test_a_name_whose_versions_predict_something_else_is_refused_before_anything_is_learned(desk):
    desk.train()
    job = desk.train(targets=(TargetOrder(column="g", property="band-gap", unit="eV"),))
    assert (job.status, job.error["code"]) == (Status.FAILED, "invalid_input")
    assert job.error["got"] == "band-gap in eV"
    assert desk.epochs(job.id) == []


def test_a_data_set_that_is_gone_is_told(desk):
    job = desk.train(dataset="set_" + "1" * 26)
    assert (job.status, job.error["code"]) == (Status.FAILED, "unknown_dataset")


def test_a_purged_training_leaves_no_folder(desk):
    job = desk.train(title="full")
    assert desk.files.training(job.id).exists()
    desk.files.remove(job.id)
    assert not desk.files.training(job.id).exists()


def test_memory_is_bounded_on_a_cpu_and_files_that_are_mapped_do_not_count(settings):
    bounds = [
        Program.of(settings.model_copy(update={"device": device}), "m").bounds
        for device in ("cpu", "cuda:0")
    ]
    assert [one.limits().get("RLIMIT_DATA") for one in bounds] == [16_000_000_000, None]
    assert not any("RLIMIT_AS" in one.limits() for one in bounds)


def test_a_program_whose_parent_died_before_it_could_be_watched_ends(monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)  # who asks is not who starts
    ended = limited.run("timeit", ["-n1", "-r1", "print('alive')"], Bounds())
    assert (ended.code, ended.output) == (1, "")


def test_a_program_gives_way_to_predictions():
    code = "import os; print(os.nice(0), os.sched_getscheduler(0) == os.SCHED_BATCH)"
    ended = limited.run("timeit", ["-n1", "-r1", code], Bounds(niceness=NICENESS))
    assert ended.output.splitlines()[0] == f"{NICENESS} True"

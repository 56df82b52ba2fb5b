"""Searches and learning curves: parents whose trainings are jobs of their own."""

import json
import logging
import math

import pytest

from tests.workers.training_desk import SET, Desk, train_order
from workers import sampling
from workers.contract import EvaluateOrder, Range, SplitOrder, Task, TuneOrder
from workers.jobs import Status, child_id

RATE = {"learning_rate": Range(low=1e-4, high=1.0, log=True)}


@pytest.fixture
def desk(jobs, settings, caplog) -> Desk:
    caplog.set_level(logging.CRITICAL)
    return Desk(jobs, settings.state)


def search(desk: Desk, trials: int = 3, space=RATE, **parts) -> str:
    order = TuneOrder(train=train_order(epochs=2, **parts), space=space, trials=trials)
    return desk.submit(order, Task.TUNE)


def test_a_search_registers_the_best_of_its_trials(desk):
    job = desk.family(search(desk, 4))
    assert (job.status, job.done, job.failed) == (Status.SUCCEEDED, 4, 0)
    result = desk.result(job.id)
    scores = [one["metrics"]["val"]["mae"] for one in result["trials"]]
    assert result["best"] == scores.index(min(scores))
    assert result["model"] == "mine@1"
    assert desk.versions() == ["1"]
    first = desk.result(child_id(job.id, 0))
    assert (first["model"], first["tried"]) == (None, result["trials"][0]["settings"])
    assert len({one["settings"]["learning_rate"] for one in result["trials"]}) == 4


def test_later_trials_learn_from_those_before_them(tmp_path):
    order = TuneOrder(train=train_order(), space=RATE, trials=30)
    sampling.begin(tmp_path, order)
    scores = []
    for number in range(30):
        folder = tmp_path / "trials" / str(number)
        tried = sampling.with_settings(folder, order.train.model_copy(update={"trial": number}))
        scores.append(abs(math.log10(tried.training["learning_rate"]) + 2))
        result = {"metrics": {"val": {"mae": scores[-1]}}}
        (folder / "result.json").write_text(json.dumps(result))
    assert sum(scores[20:]) < sum(scores[:10]) / 2


def test_a_trial_that_is_taken_up_again_tries_the_same_settings(desk):
    job = search(desk, 2)
    desk.run(job)
    folder = desk.files.trial(job, 1)
    order = train_order(trial=1)
    first = sampling.with_settings(folder, order)
    desk.run(child_id(job, 0))
    assert sampling.with_settings(folder, order) == first
    assert first.training["learning_rate"] != order.training["learning_rate"]


def test_settings_that_do_not_go_together_fail_their_trial_only(desk):
    space = {"patience": Range(choices=(-1, 5))}
    job = desk.family(search(desk, 6, space))
    assert job.status is Status.SUCCEEDED
    trials = desk.result(job.id)["trials"]
    assert {(one["settings"]["patience"], one["status"]) for one in trials} == {
        (-1, "failed"),
        (5, "succeeded"),
    }
    assert all(one["error"]["code"] == "bad_setting" for one in trials if one["error"])
    assert job.failed == sum(one["status"] == "failed" for one in trials)


def test_a_search_of_which_nothing_comes_fails_with_its_first_fault(desk):
    job = desk.family(search(desk, title="bad"))
    assert (job.status, job.error["code"]) == (Status.FAILED, "bad_setting")


def test_a_search_without_rows_to_choose_by_is_refused_before_any_trial(desk):
    job = desk.run(search(desk, split=SplitOrder(val=0)))
    assert (job.status, job.error["code"]) == (Status.FAILED, "unfit_dataset")


def test_a_range_that_cannot_be_searched_is_refused_before_any_trial(desk):
    job = desk.run(search(desk, space={"learning_rate": Range(low=0.0, high=1.0, log=True)}))
    assert (job.status, job.error["code"]) == (Status.FAILED, "bad_setting")
    assert "learning_rate" in job.error["place"]


def test_a_cancelled_search_keeps_the_best_so_far(desk):
    job = search(desk, 3)
    desk.run(job)
    desk.run(child_id(job, 0))
    assert desk.jobs.cancel(job) is Status.CANCELLING
    closed = desk.run(job)
    assert closed.status is Status.CANCELLED
    assert [one["status"] for one in desk.result(job)["trials"]] == [
        "succeeded",
        "cancelled",
        "cancelled",
    ]
    assert desk.result(job)["model"] == "mine@1"


def test_a_retried_search_goes_on_with_the_trials_that_had_not_ended(desk):
    test_a_cancelled_search_keeps_the_best_so_far(desk)
    job = desk.jobs.list("me", kind=Task.TUNE).jobs[0].id
    first = json.loads((desk.files.trial(job, 0) / "tried.json").read_text())
    again = desk.family(desk.retried(job))
    assert (again.status, again.done) == (Status.SUCCEEDED, 3)
    assert desk.result(again.id)["trials"][0]["settings"] == first
    assert desk.epochs(child_id(again.id, 0)) == []


def test_a_learning_curve_has_a_training_of_each_size(desk):
    order = EvaluateOrder(dataset=SET, train=train_order(epochs=2), sizes=(10, 20, 40))
    job = desk.family(desk.submit(order, Task.EVALUATE))
    assert job.status is Status.SUCCEEDED
    curve = desk.result(job.id)["curve"]
    assert [(one["rows"], one["status"]) for one in curve] == [
        (10, "succeeded"),
        (20, "succeeded"),
        (40, "succeeded"),
    ]
    assert all("mae" in one["metrics"]["val"] for one in curve)
    assert desk.versions() == []


def test_a_model_is_judged_by_a_data_set(desk):
    desk.train()
    order = EvaluateOrder(dataset=SET, model="mine@1", columns={"energy": "e"})
    job = desk.run(desk.submit(order, Task.EVALUATE))
    assert job.status is Status.SUCCEEDED
    assert desk.result(job.id) == {
        "model": "mine@1",
        "metrics": {"all": {"mae": 0.5}},
        "columns": {"energy": "e"},
    }

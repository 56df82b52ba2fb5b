"""Trainings on two machines that share an object store, and nothing else but the broker."""

import logging
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.object_store import BUCKET, ObjectStore
from tests.workers.training_desk import VALUE_OF_8, Desk, train_order
from workers.bucket import Bucket, Reach
from workers.cache import Cache
from workers.contract import Range, Task, TuneOrder
from workers.jobs import Jobs, Status
from workers.snapshots import _key
from workers.versions import catalogue_of

RATE = {"learning_rate": Range(low=1e-4, high=1e-1, log=True)}


@pytest.fixture
def desks(jobs: Jobs, s3: ObjectStore, tmp_path: Path, caplog) -> tuple[Desk, Desk]:
    caplog.set_level(logging.CRITICAL)
    prefix = secrets.token_hex(4)

    def desk(name: str) -> Desk:
        state = tmp_path / name
        cache = Cache(state / "cache", 10**9)
        store = Bucket(BUCKET, prefix, cache, Reach(s3.url, 2.0), patience_s=5.0)
        return Desk(jobs, state, store)

    return desk("here"), desk("there")


def test_a_training_that_was_given_back_goes_on_elsewhere(desks: tuple[Desk, Desk]) -> None:
    here, there = desks
    job = here.submit(title="waits")
    thread = here.in_background(job)
    here.until_told(job, 3)
    here.stopping.ask()
    thread.join()
    assert here.jobs.cancel(job) is Status.CANCELLING
    thread = there.in_background(job)
    there.until_told_of(job, "log", lambda told: told["text"] == "goes on after epoch 2")
    there.pulse.beat()
    thread.join()
    assert (there.record(job).status, there.record(job).done) == (Status.CANCELLED, 3)
    assert there.epochs(job)[:3] == [1, 2, 3]
    assert there.result(job)["model"] == "mine@1"
    assert here.versions() == there.versions() == ["1"]


def test_a_model_that_is_removed_is_so_elsewhere_too_and_its_number_is_not_given_again(
    desks: tuple[Desk, Desk],
) -> None:
    here, there = desks
    here.train()
    assert there.versions() == ["1"]
    catalogue_of(here.files, fresh=True).remove("mine", 1)
    assert here.versions() == there.versions() == []
    assert there.result(there.train().id)["model"] == "mine@2"


def test_a_retry_goes_on_elsewhere_and_leaves_no_snapshot(desks: tuple[Desk, Desk]) -> None:
    here, there = desks
    failed = here.train(title="greedy")
    again = there.run(there.retried(failed.id))
    assert again.status is Status.SUCCEEDED
    assert [line["text"] for line in there.events(again.id, "log")] == ["goes on after epoch 2"]
    assert there.result(again.id)["metrics"]["val"]["value"] == VALUE_OF_8
    here.files.remove(failed.id)
    assert list(here.files.store.list("trainings/")) == []


def test_a_lost_worker_that_lives_on_changes_nothing(desks: tuple[Desk, Desk]) -> None:
    here, there = desks
    failed = here.train(title="greedy")
    folder = there.files.training(failed.id)
    key = _key(there.files, folder)
    there.files.store.copy(f"{key}00000001.tar", f"{key}00000002.tar")
    here.files.store.put_bytes(b"of an attempt that was lost", f"{key}00000001.tar")
    again = there.run(there.retried(failed.id))
    assert there.result(again.id)["metrics"]["val"]["value"] == VALUE_OF_8


def test_the_trials_of_a_search_run_on_both_and_either_closes_it(desks: tuple[Desk, Desk]) -> None:
    here, there = desks
    order = TuneOrder(train=train_order(epochs=2), space=RATE, trials=4)
    job = here.submit(order, Task.TUNE)
    here.run(job)
    children = sorted(child.decode() for child in here.jobs.redis.smembers(f"mp:children:{job}"))
    for number, child in enumerate(children):
        (there if number % 2 else here).run(child)
    assert there.run(job).status is Status.SUCCEEDED
    result = here.result(job)
    scores = [one["metrics"]["val"]["mae"] for one in result["trials"]]
    assert len(set(scores)) == 4
    assert result["best"] == scores.index(min(scores))
    assert [one["settings"]["learning_rate"] > 0 for one in result["trials"]] == [True] * 4
    assert here.versions() == ["1"]


def test_a_store_that_is_away_stops_no_training(desks: tuple[Desk, Desk], s3: ObjectStore) -> None:
    here, _ = desks
    job = here.submit(title="waits")
    thread = here.in_background(job)
    here.until_told(job, 2)
    with s3.away():
        here.until_told(job, 3)
    assert here.jobs.cancel(job) is Status.CANCELLING
    here.pulse.beat()
    thread.join()
    assert here.result(job)["model"] == "mine@1"


def test_an_alias_is_the_same_everywhere_and_is_dropped_even_if_the_answer_to_that_is_lost(
    desks: tuple[Desk, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(bucket: Bucket, *arguments: Any, **more: Any) -> None:
        monkeypatch.undo()
        bucket.put_bytes(*arguments, **more)
        raise FileExistsError  # so the second try is told

    here, there = desks
    here.train()
    catalogue_of(here.files, fresh=True).set_alias("mine", "prod", 1)
    assert catalogue_of(there.files, fresh=True).aliases("mine") == {"prod": 1}
    monkeypatch.setattr(Bucket, "put_bytes", lost)
    assert catalogue_of(there.files, fresh=True).drop_alias("mine", "prod")
    assert not catalogue_of(here.files, fresh=True).drop_alias("mine", "prod")

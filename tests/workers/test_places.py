"""Places in a bucket as sources of screenings: a real server, a real process that takes the objects apart."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.archives import zipped
from tests.object_store import BUCKET, ObjectStore
from tests.workers.conftest import lapse
from tests.workers.test_screening import Desk, row_called
from workers import bucket, places
from workers.contract import BULK, CUT
from workers.cutting import Cutter
from workers.jobs import Status, new_id
from workers.settings import WorkerSettings

PLACE = f"s3://{BUCKET}/at"

Put = Callable[[str, str | bytes], None]


@pytest.fixture
def put(s3: ObjectStore) -> Put:
    objects = boto3.resource("s3", endpoint_url=s3.url).Bucket(BUCKET)

    def put(key: str, body: str | bytes) -> None:
        objects.put_object(Key=f"at/{key}", Body=body)

    return put


@pytest.fixture
def desk(stage: Any, settings: WorkerSettings, s3: ObjectStore) -> Desk:
    more = {"store_endpoint": s3.url, "store_timeout_s": 2.0, "store_patience_s": 20.0}
    return Desk.of(stage, settings.model_copy(update=more))


@pytest.fixture(autouse=True)
def nothing_stays(settings: WorkerSettings) -> Iterator[None]:
    yield
    assert not list((settings.state / "scratch").glob("*"))


def in_turns(desk: Desk) -> None:
    """Only a few chunks are cut at once, so that the place is opened again and again."""
    cutter = desk.cutter
    desk.cutter = Cutter(cutter.files, cutter.close, cutter.places, ahead=(2, 1))


def names(desk: Desk, job: str) -> list[str]:
    return [row["name"] for row in desk.rows(job)]


def gets(s3: ObjectStore, key: str) -> int:
    return s3.calls.count(f"GET /{BUCKET}/at/{key}")


def test_an_archive_in_a_bucket_is_read_as_one_of_the_disk(desk: Desk, put: Put) -> None:
    put("a.zip", zipped({"1.vasp": "Na1", "2.vasp": "bad", "3.vasp": "Na3"}))
    job = desk.submit(location=f"{PLACE}/a.zip")
    record = desk.finish(job)
    assert (record.status, record.done, record.failed) == (Status.SUCCEEDED, 3, 1)
    assert names(desk, job) == ["a.zip/1.vasp", "a.zip/2.vasp", "a.zip/3.vasp"]


def test_all_objects_below_a_prefix_are_read_in_order(desk: Desk, put: Put) -> None:
    for key in ("b/2.vasp", "b/10.vasp", "a.vasp", "README.md", "b/.hidden", "b/", "%2e x.vasp"):
        put(key, "Na2")
    put("c.zip", zipped({"d.vasp": "Na2"}))
    put("bad.zip", b"PK\x03\x04 and nothing more")
    put("e.vasp", "bad")
    put("empty.vasp", "")
    job = desk.submit(location=f"{PLACE}/")
    record = desk.finish(job)
    there = ["%2e x.vasp", "a.vasp", "b/10.vasp", "b/2.vasp", "bad.zip", "c.zip/d.vasp", "e.vasp"]
    assert names(desk, job) == [*there, "empty.vasp"]
    assert (record.status, record.done, record.failed) == (Status.SUCCEEDED, 8, 3)
    bad = [row["name"] for row in desk.rows(job) if row["status"] == "failed"]
    assert bad == ["bad.zip", "e.vasp", "empty.vasp"]


def test_a_large_object_comes_in_parts(
    desk: Desk, put: Put, s3: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "PIECE_BYTES", 1000)
    monkeypatch.setattr(places, "SMALL_BYTES", 1000)
    put("a.jsonl", "".join(row_called(f"{number}") for number in range(100)))
    job = desk.submit(location=f"{PLACE}/a.jsonl", format=None)
    assert desk.finish(job).done == 100
    assert gets(s3, "a.jsonl") == 4


def test_cutting_goes_on_with_the_object_it_was_at(desk: Desk, put: Put, s3: ObjectStore) -> None:
    put("a.jsonl", "".join(row_called(f"a{number}") for number in range(40)))
    put("b.jsonl", "".join(row_called(f"b{number}\0") for number in range(150)))
    put("c.jsonl", "".join(row_called(f"c{number}") for number in range(110)))
    in_turns(desk)
    job = desk.submit(location=f"{PLACE}/", format=None)
    record = desk.finish(job)
    assert (record.status, record.done) == (Status.SUCCEEDED, 300)
    assert [row["index"] for row in desk.rows(job)] == list(range(300))
    assert [gets(s3, "a.jsonl"), gets(s3, "b.jsonl") > 1] == [1, True]


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "written again"])
def test_an_object_that_changes_before_its_turn_is_told(
    desk: Desk, put: Put, s3: ObjectStore, *, gone: bool
) -> None:
    for number in range(100, 160):
        put(f"{number}.vasp", "Na2")
    in_turns(desk)
    job = desk.submit(location=f"{PLACE}/")
    desk.step(CUT)
    put("000.vasp", "Na1")  # one more is none of those that were listed
    put("101.vasp", "Na1")  # what was read already is no loss
    if gone:
        boto3.client("s3", endpoint_url=s3.url).delete_object(Bucket=BUCKET, Key="at/150.vasp")
    else:
        put("150.vasp", "Na3")
    record = desk.finish(job)
    assert (record.status, record.error["code"]) == (Status.FAILED, "source_changed")
    assert record.error["file"] == "150.vasp"
    assert names(desk, job) == [f"{number}.vasp" for number in range(100, 150)]


def test_a_cutter_that_was_lost_is_succeeded_where_it_was(desk: Desk, put: Put) -> None:
    for number in range(100, 160):
        put(f"{number}.vasp", "Na2")
    in_turns(desk)
    job = desk.submit(location=f"{PLACE}/")
    desk.step(CUT)
    desk.step(BULK)
    desk.step(BULK)
    assert desk.jobs.claim(desk.take(CUT), "w.1.x") is not None
    lapse(desk.jobs.redis, job)
    desk.jobs.reconcile()
    desk.jobs.redis.zadd("mp:wake:cut", {job: 0})
    record = desk.finish(job)
    assert (record.status, record.done) == (Status.SUCCEEDED, 60)
    assert names(desk, job) == [f"{number}.vasp" for number in range(100, 160)]


@pytest.mark.parametrize("key", ["none.zip", "none/", ""])
def test_a_place_without_objects_is_told(desk: Desk, put: Put, key: str) -> None:
    put("other.md", "x")
    record = desk.finish(desk.submit(location=f"{PLACE}/{key}"))
    assert (record.status, record.error["code"]) == (Status.FAILED, "empty_input")


def test_a_place_that_is_closed_to_the_worker_is_told(desk: Desk, s3: ObjectStore) -> None:
    for key in ("a.zip", "b/"):
        with s3.refusing(403, "AccessDenied"):
            record = desk.finish(desk.submit(location=f"{PLACE}/{key}"))
        assert (record.status, record.error["code"]) == (Status.FAILED, "store_unavailable")
        assert "access is denied" in record.error["detail"]
        assert "its own credentials" in record.error["hint"]
    record = desk.finish(desk.submit(location="s3://nowhere/a/"))
    assert "no such bucket" in record.error["detail"]


def test_a_store_that_is_away_is_waited_for(desk: Desk, put: Put, s3: ObjectStore) -> None:
    put("a.vasp", "Na2")
    job = desk.submit(location=f"{PLACE}/a.vasp")
    with s3.away():
        threading.Timer(1.0, s3.back).start()
        assert desk.finish(job).status is Status.SUCCEEDED


def test_a_retry_goes_on_when_the_store_refuses_no_more(
    desk: Desk, put: Put, s3: ObjectStore
) -> None:
    for number in range(100, 160):
        put(f"{number}.vasp", "Na2")
    in_turns(desk)
    job = desk.submit(location=f"{PLACE}/")
    desk.step(CUT)
    with s3.refusing(403, "ExpiredToken"):
        record = desk.finish(job)
    assert (record.status, record.error["code"]) == (Status.FAILED, "store_unavailable")
    again = new_id("job")
    assert desk.jobs.retry(job, again)
    assert desk.finish(again).status is Status.SUCCEEDED
    found = names(desk, job) + names(desk, again)
    assert found == [f"{number}.vasp" for number in range(100, 160)]


def test_an_object_for_which_there_is_no_room_is_told(
    desk: Desk, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("a.vasp", "Na2")
    usage = places.shutil.disk_usage("/")._replace(free=2)
    monkeypatch.setattr(places.shutil, "disk_usage", lambda _: usage)
    record = desk.finish(desk.submit(location=f"{PLACE}/a.vasp"))
    assert (record.status, record.error["code"]) == (Status.FAILED, "storage_full")


def test_a_worker_without_the_extra_says_so(
    desk: Desk, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    bucket.system.cache_clear()
    record = desk.finish(desk.submit(location=f"{PLACE}/a.vasp"))
    assert (record.status, record.error["code"]) == (Status.FAILED, "store_unavailable")
    assert "extra `s3`" in record.error["detail"]


def test_who_needs_no_more_leaves_nothing(
    desk: Desk, put: Put, settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hold:
        def check(self) -> None:
            pass

    monkeypatch.setattr(bucket, "PIECE_BYTES", 1)
    put("a.vasp", 10_000 * "x")
    with desk.cutter.places.feed(Hold(), new_id("job"), f"{PLACE}/a.vasp", 0):
        until(lambda: open_below(settings.state / "scratch"))
    until(lambda: not open_below(settings.state / "scratch"))


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def open_below(folder: Path) -> list[str]:
    """Files of a folder that this process has open, with or without a name."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed just now
            found += [str(link.readlink())]
    return [each for each in found if each.startswith(str(folder))]

"""Screenings with a real broker and real lanes, a played reader and played networks; the source is really taken apart."""

import json
import logging
import math
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import pyarrow.parquet as pq
import pytest

from models.errors import TooLarge
from tests.archives import zipped
from tests.workers.conftest import card, lapse
from workers.closing import Closer
from workers.columns import answers, columns
from workers.contract import BULK, CUT, Queue, ScreenOrder, Task
from workers.cutting import Cutter
from workers.jobs import Job, NewJob, Status, child_id, new_id
from workers.owning import Holder
from workers.pack import PackWriter
from workers.places import Places
from workers.pulse import Pulse
from workers.screening import Screener
from workers.settings import WorkerSettings
from workers.store import bucket_of

POSCAR = "poscar"  # what the played reader reads is called so


def words(count: int) -> bytes:
    """An archive of so many structures; each third has two sites."""
    return zipped({f"d/{place}.vasp": f"Na{1 + place % 3}" for place in range(count)})


@dataclass
class Desk:
    """Who cuts, predicts and closes screenings, one step at a time."""

    stage: Any
    cutter: Cutter
    screener: Screener

    @staticmethod
    def of(stage: Any, settings: WorkerSettings) -> "Desk":
        closer = Closer(stage.files, stage.predictor.catalogue)
        places = Places(stage.files, partial(bucket_of, settings))
        return Desk(stage, Cutter(stage.files, closer.close, places), Screener(stage.predictor))

    def submit(self, *files: tuple[str, bytes], **order: Any) -> str:
        job = new_id("job")
        path = self.stage.files.upload(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            pack = PackWriter(file)
            for name, data in files:
                pack.begin(name)
                pack.write(data)
                pack.end()
            pack.close()
        body = ScreenOrder(**{"models": ("m@1",), "format": POSCAR, **order}).model_dump_json()
        assert self.jobs.submit(NewJob(id=job, kind=Task.SCREEN, order=body))
        return job

    @property
    def jobs(self) -> Any:
        return self.stage.jobs

    def waiting(self, way: str) -> list[str]:
        return [each.decode() for each in self.jobs.redis.zrange(f"mp:wake:{way}", 0, -1)]

    def take(self, way: str) -> str | None:
        found = self.jobs.redis.zpopmin(f"mp:wake:{way}")
        return found[0][0].decode() if found else None

    def step(self, way: str) -> bool:
        job = self.take(way)
        if job is None:
            return False
        self.stage.holder.run(job, {CUT: self.cutter.run, BULK: self.screener.run}[way])
        return True

    def finish(self, job: str) -> Job:
        while self.step(BULK) or self.step(CUT):
            pass
        return self.jobs.get(job)

    def rows(self, job: str) -> list[dict[str, Any]]:
        shards = sorted(self.stage.files.shards(job).glob("*.parquet"))
        return [row for shard in shards for row in pq.read_table(shard).to_pylist()]


@pytest.fixture
def desk(stage, settings, monkeypatch) -> Desk:
    """Its chunks are cut by size alone, however slow the machine is."""
    monkeypatch.setattr("workers.cutting.PATIENCE_S", math.inf)
    return Desk.of(stage, settings)


def test_every_structure_of_an_archive_has_one_row(desk):
    job = desk.submit(("a.zip", words(100)))
    record = desk.finish(job)
    rows = desk.rows(job)
    assert (record.status, record.done, record.failed, record.total) == (
        Status.SUCCEEDED,
        100,
        0,
        100,
    )
    assert [row["index"] for row in rows] == list(range(100))
    assert [row["name"] for row in rows][:2] == ["a.zip/d/0.vasp", "a.zip/d/1.vasp"]
    assert [row["m"] for row in rows][:4] == [1.0, 2.0, 3.0, 1.0]


def test_bad_files_are_rows_with_their_error_and_the_rest_is_done(desk):
    texts = {f"{place}.vasp": "bad" if place in (3, 50) else "Na2" for place in range(60)}
    job = desk.submit(("a.zip", zipped(texts)))
    record = desk.finish(job)
    assert (record.status, record.done, record.failed) == (Status.SUCCEEDED, 60, 2)
    bad = [row for row in desk.rows(job) if row["status"] == "failed"]
    assert [row["index"] for row in bad] == [3, 50]
    assert {row["code"] for row in bad} == {"unreadable_structure"}
    assert json.loads(bad[0]["error"])["detail"] == "bad"
    assert bad[0]["m"] is None


def test_chunks_are_gone_from_the_broker_when_they_have_ended(desk):
    job = desk.submit(("a.zip", words(100)))
    desk.finish(job)
    keys = [key for key in desk.jobs.redis.keys("mp:job:*") if key != f"mp:job:{job}".encode()]
    assert keys == []
    assert [one.id for one in desk.jobs.list().jobs] == [job]
    assert not desk.jobs.redis.exists("mp:due:bulk", f"mp:children:{job}", f"mp:lost:{job}")


def test_first_chunks_are_small(desk):
    job = desk.submit(("a.zip", words(100)))
    desk.step(CUT)
    assert desk.jobs.get(job).cut > 2
    desk.step(BULK)
    assert desk.jobs.get(job).done == 16


def test_only_so_much_is_cut_ahead(desk, stage):
    desk.cutter = Cutter(stage.files, desk.cutter.close, desk.cutter.places, ahead=(3, 1))
    job = desk.submit(("a.zip", words(300)))
    desk.step(CUT)
    record = desk.jobs.get(job)
    assert (record.cut, record.children, record.status) == (3, None, Status.RUNNING)
    assert len(desk.waiting(BULK)) == 3
    desk.step(BULK)
    assert desk.waiting(CUT) == []
    desk.step(BULK)
    assert desk.waiting(CUT) == [job]  # one is left, and more is cut meanwhile
    record = desk.finish(job)
    assert [row["index"] for row in desk.rows(job)] == list(range(300))
    assert (record.status, record.done) == (Status.SUCCEEDED, 300)


def test_a_cutter_that_was_lost_is_succeeded_where_it_was(desk, stage):
    class Lost(BaseException):
        pass

    def dies(self, *arguments):
        if arguments[3] == 2:
            raise Lost
        return real(self, *arguments)

    real = Cutter._submit
    job = desk.submit(("a.zip", words(200)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cutter, "_submit", dies)
        with pytest.raises(Lost):
            desk.step(CUT)
    lapse(desk.jobs.redis, job)
    desk.jobs.reconcile()
    record = desk.jobs.get(job)
    assert (record.status, record.cut) == (Status.QUEUED, 2)
    desk.jobs.redis.zadd("mp:wake:cut", {job: 0})
    record = desk.finish(job)
    assert [row["index"] for row in desk.rows(job)] == list(range(200))
    assert (record.status, record.done, record.total) == (Status.SUCCEEDED, 200, 200)


def forget_chunk(desk: Desk, job: str, number: int) -> None:
    """The broker is as it was before this chunk was cut."""
    child, redis = child_id(job, number), desk.jobs.redis
    redis.delete(f"mp:job:{child}")
    redis.srem(f"mp:children:{job}", child)
    for waiting in ("mp:due:bulk", "mp:wake:bulk", "mp:waiting:parse"):
        redis.zrem(waiting, child)
    redis.hset(f"mp:job:{job}", mapping={"cut": number, "items": 16 * (2**number - 1)})


@pytest.mark.parametrize("forgotten", [1, 3])
def test_no_structure_is_lost_when_the_broker_forgets_a_chunk_under_its_cutter(desk, forgotten):
    def forgets(self, *arguments):
        told = real(self, *arguments)
        if arguments[3] == forgotten:
            forget_chunk(desk, job, forgotten)
        return told

    real = Cutter._submit
    count = 16 + 32 + 64 + 88  # the chunk with number 3 is the last one
    job = desk.submit(("a.zip", words(count)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cutter, "_submit", forgets)
        desk.step(CUT)
    lapse(desk.jobs.redis, job)
    desk.jobs.reconcile()
    desk.jobs.redis.zadd("mp:wake:cut", {job: 0})
    record = desk.finish(job)
    assert (record.status, record.done, record.total) == (Status.SUCCEEDED, count, count)
    assert [row["index"] for row in desk.rows(job)] == list(range(count))


def test_a_retry_takes_no_chunk_of_a_cutter_that_woke_up_too_late(desk, stage):
    def sleeps(self, *arguments):
        number = arguments[3]
        if number == 1 and not slept:
            slept.append(arguments)
            lapse(desk.jobs.redis, job)
            desk.jobs.reconcile()
            desk.jobs.redis.zadd("mp:wake:cut", {job: 0})
            other.run(desk.take(CUT), desk.cutter.run)
            arguments[2].pieces.pop()
        return real(self, *arguments)

    real, slept = Cutter._submit, []
    pulse = Pulse(desk.jobs, Queue.PARSE, "parse.2", stage.tally)
    other = Holder(desk.jobs, pulse, stage.stopping, 0.0, stage.tally)
    job = desk.submit(("a.zip", words(100)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cutter, "_submit", sleeps)
        desk.step(CUT)
    desk.jobs.cancel(job)
    desk.finish(job)
    again = new_id("job")
    stage.files.lend(job, again)
    assert desk.jobs.retry(job, again)
    assert desk.finish(again).done == 100


def test_a_chunk_whose_worker_was_lost_is_done_again_and_counts_once(desk):
    job = desk.submit(("a.zip", words(20)))
    desk.step(CUT)
    chunk = desk.take(BULK)
    assert desk.jobs.claim(chunk, "w.1.x") is not None
    lapse(desk.jobs.redis, chunk)
    desk.jobs.reconcile()
    desk.jobs.redis.zadd("mp:due:bulk", {chunk: 0})
    desk.jobs.reconcile()
    record = desk.finish(job)
    assert [row["index"] for row in desk.rows(job)] == list(range(20))
    assert (record.done, record.failed) == (20, 0)


def test_a_poison_chunk_fails_alone_and_its_structures_are_rows(desk):
    job = desk.submit(("a.zip", words(20)))
    desk.step(CUT)
    poison = desk.take(BULK)
    for attempt in range(3):
        assert desk.jobs.claim(poison, f"w.{attempt}.x") is not None
        lapse(desk.jobs.redis, poison)
        desk.jobs.reconcile()
    desk.jobs.redis.zrem("mp:wake:bulk", poison)
    record = desk.finish(job)
    rows = desk.rows(job)
    assert [row["index"] for row in rows] == list(range(20))
    assert [row["code"] for row in rows] == ["worker_lost"] * 16 + [None] * 4
    assert rows[0]["name"] == "a.zip/d/0.vasp"
    assert (record.status, record.done, record.failed) == (Status.SUCCEEDED, 20, 16)


def test_a_cancelled_screening_keeps_what_is_done_and_ends_at_once(desk):
    job = desk.submit(("a.zip", words(100)))
    desk.step(CUT)
    desk.step(BULK)
    assert desk.jobs.cancel(job) is Status.CANCELLING
    assert desk.waiting(BULK) == []
    desk.step(CUT)
    record = desk.jobs.get(job)
    assert (record.status, record.done, record.total) == (Status.CANCELLED, 16, 100)
    assert len(desk.rows(job)) == 16


def test_one_that_was_not_begun_is_cancelled_without_more_ado(desk):
    job = desk.submit(("a.zip", words(10)))
    assert desk.jobs.cancel(job) is Status.CANCELLED


def test_a_retry_does_what_failed_and_no_more(desk):
    texts = {f"{place}.vasp": "bad" if place in (3, 50) else "Na2" for place in range(60)}
    job = desk.submit(("a.zip", zipped(texts)))
    desk.finish(job)
    again = new_id("job")
    assert desk.jobs.retry(job, again)
    record = desk.finish(again)
    assert (record.done, record.failed, record.total) == (2, 2, 2)
    assert [row["name"] for row in desk.rows(again)] == ["a.zip/3.vasp", "a.zip/50.vasp"]
    third = new_id("job")
    assert desk.jobs.retry(again, third)
    assert desk.finish(third).total == 2


def test_a_retry_of_what_is_no_longer_kept_says_so(desk):
    job = desk.submit(("a.zip", zipped({"a.vasp": "bad"})))
    desk.finish(job)
    first, second = new_id("job"), new_id("job")
    assert desk.jobs.retry(job, first)
    desk.jobs.cancel(first)
    assert desk.jobs.retry(first, second)
    desk.jobs.redis.delete(f"mp:job:{first}")
    record = desk.finish(second)
    assert (record.status, record.error["code"]) == (Status.FAILED, "source_changed")


def test_a_retry_of_a_cancelled_one_does_what_was_not_done(desk, stage):
    desk.cutter = Cutter(stage.files, desk.cutter.close, desk.cutter.places, ahead=(3, 1))
    job = desk.submit(("a.zip", words(300)))
    desk.step(CUT)
    desk.step(BULK)
    desk.jobs.cancel(job)
    desk.step(CUT)
    again = new_id("job")
    stage.files.lend(job, again)
    assert desk.jobs.retry(job, again)
    record = desk.finish(again)
    assert (record.status, record.done) == (Status.SUCCEEDED, 284)
    names = [row["name"] for row in desk.rows(job) + desk.rows(again)]
    assert sorted(names) == sorted(f"a.zip/d/{place}.vasp" for place in range(300))


def test_a_retry_goes_on_with_a_source_that_could_not_be_read_to_its_end(desk, stage):
    def breaks(self, *arguments):
        there = (piece for piece in real(self, *arguments) if piece is not None)
        yield from islice(there, 30)
        raise TooLarge("It was given up.")

    real = Cutter._from_source
    job = desk.submit(("a.zip", words(60)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cutter, "_from_source", breaks)
        record = desk.finish(job)
    assert (record.status, record.done) == (Status.FAILED, 30)
    again = new_id("job")
    stage.files.lend(job, again)
    assert desk.jobs.retry(job, again)
    assert desk.finish(again).status is Status.SUCCEEDED
    names = [row["name"] for row in desk.rows(job) + desk.rows(again)]
    assert names == [f"a.zip/d/{place}.vasp" for place in range(60)]


def test_a_place_that_changes_while_it_is_read_is_told_and_no_row_is_doubled(desk, stage, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    for number in range(100, 400):
        (place / f"{number}.vasp").write_text("Na2")
    desk.cutter = Cutter(stage.files, desk.cutter.close, desk.cutter.places, ahead=(3, 1))
    job = desk.submit(location=str(place))
    desk.step(CUT)
    (place / "000.vasp").write_text("Na1")
    record = desk.finish(job)
    assert (record.status, record.error["code"]) == (Status.FAILED, "source_changed")
    names = [row["name"] for row in desk.rows(job)]
    assert names == [f"{100 + place}.vasp" for place in range(16 + 32 + 64)]


def test_a_place_that_stays_as_it_is_is_read_to_its_end(desk, stage, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    (place / "a.jsonl").write_text("".join(map(row_called, ["a", "b\0", "-c", "d:é"] * 75)))
    desk.cutter = Cutter(stage.files, desk.cutter.close, desk.cutter.places, ahead=(3, 1))
    record = desk.finish(desk.submit(location=str(place), format=None))
    assert (record.status, record.done) == (Status.SUCCEEDED, 300)


def row_called(name: str) -> str:
    return json.dumps({"name": name, "poscar": "Na2"}) + "\n"


def test_screenings_take_turns(desk):
    first = desk.submit(("a.zip", words(300)))
    desk.step(CUT)
    desk.step(BULK)
    second = desk.submit(("b.zip", words(300)))
    desk.step(CUT)
    turns = [first]
    while len(turns) < 7:
        job = desk.take(BULK)
        turns.append(desk.jobs.get(job).parent)
        desk.stage.holder.run(job, desk.screener.run)
    between = [one for one in turns[1:] if one == second]
    assert len(between) in (2, 3)


def test_a_source_that_cannot_be_read_fails_with_its_reason(desk):
    job = desk.submit(("a.zip", b"PK\x03\x04 and nothing more"))
    record = desk.finish(job)
    assert (record.status, record.error["code"]) == (Status.FAILED, "bad_archive")


def test_a_data_set_that_is_gone_by_now_is_told(desk):
    record = desk.finish(desk.submit(dataset="set_01JD3Q5T8Z6M4W2K7N9V1X3B5C"))
    assert (record.status, record.error["code"]) == (Status.FAILED, "unknown_dataset")


def test_an_archive_without_structures_says_so(desk):
    record = desk.finish(desk.submit(("a.zip", zipped({"readme.md": "x"}))))
    assert (record.status, record.error["code"]) == (Status.FAILED, "empty_input")


def test_nobody_waits_for_a_screening_whose_workers_have_no_model(desk, caplog):
    caplog.set_level(logging.CRITICAL)
    record = desk.finish(desk.submit(("a.zip", words(20)), models=("gone@1",)))
    assert record.status is Status.FAILED


def test_a_model_called_as_a_column_is_told_from_it():
    cards = [card("name"), card("error", targets=2), card("m")]
    assert answers(cards) == [("name@1",), ("error@1.p0", "error@1.p1"), ("m",)]
    there = [column.name for column in columns(cards)]
    assert len(set(there)) == len(there)


def test_the_files_of_a_screening_go_with_it(desk, stage):
    job = desk.submit(("a.zip", words(20)))
    desk.finish(job)
    stage.files.remove(job)
    assert not stage.files.screening(job).exists()

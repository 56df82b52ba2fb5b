"""Jobs played at random on a real broker: whatever is lost or comes late, each ends, once and with all of its parts."""

import json
from collections import Counter
from collections.abc import Callable, Generator
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from tests.workers.conftest import lapse
from tests.workers.test_screening import Desk, words
from workers.contract import BULK, CUT, Task
from workers.jobs import Beat, Claim, Jobs, NewJob, Status, child_id
from workers.owning import Stopped

KINDS = (Task.SCREEN, Task.TUNE, Task.SCREEN, Task.TRAIN, Task.SCREEN, Task.PREDICT)
AT_ONCE = 3  # jobs that somebody sent
AHEAD, LEFT = 3, 1  # of chunks, as in workers.cutting
UNFINISHED = ("queued", "running", "cancelling")
ERROR = {"code": "internal", "detail": "played"}
APART = {"mp:metrics", "mp:reconciled", "mp:turn", "mp:full"}

End = tuple[Status, dict[str, Any] | None, tuple[int, int, int] | None]
Steps = Generator[None, None, End | None]
Shard = tuple[str, int, int, int]  # mark, first, rows, failed
Keys = list[tuple[bytes, int, bytes]]  # with the time they live and what they hold


def kept(redis: Any) -> Keys:
    """What the broker has on its disk now."""
    keys = redis.keys("mp:*")
    return [(key, max(0, redis.pttl(key)), redis.dump(key)) for key in keys]


def restored(redis: Any, keys: Keys) -> None:
    """It comes back without what it was told since."""
    redis.flushall()
    for key, ttl, value in keys:
        redis.restore(key, ttl, value)


@dataclass(eq=False)
class Run:
    """A job in the hands of a worker, which may pause before everything it says to the broker."""

    claim: Claim
    beat: Beat = Beat.OK
    steps: Generator[None, None, None] = field(init=False)

    def check(self) -> None:
        """As a hold's."""
        if self.beat is not Beat.OK:
            raise Stopped(self.beat)


class World:
    """A broker, workers who do what the real ones do, and what may happen to all of them."""

    def __init__(self, redis: Redis) -> None:
        redis.flushall()
        self.redis: Any = redis
        self.jobs = Jobs(redis)
        self.number = 0  # decides what is open in a step
        self.claims = self.made = 0
        self.runs: list[Run] = []
        self.past: list[Run] = []
        self.messages: list[str] = []
        self.said: list[tuple[Claim | None, Callable[[], Any]]] = []
        self.held: dict[str, tuple[int, str | None]] = {}
        self.lapses: Counter[str] = Counter()
        self.sources: dict[str, int] = {}
        self.shards: dict[tuple[str, int], Shard] = {}
        self.packs: dict[tuple[str, int, str], int] = {}
        self.records: dict[str, dict[str, str]] = {}
        self.ended: dict[str, dict[str, str]] = {}
        self.kept: tuple[Keys, dict[str, tuple[int, str | None]]] | None = None
        self.forgotten = False

    # -- what workers do ---------------------------------------------------------------------------

    def say(self, claim: Claim | None, call: Callable[[], Any]) -> Any:
        """To the broker; it may be said once more, at any time."""
        self.said.append((claim, call))
        return call()

    def leave(self, claim: Claim, call: Callable[[], bool]) -> None:
        """The last word of a claim."""
        if self.say(claim, call):
            self.gone(claim)

    def holds(self, claim: Claim) -> bool:
        """Whether it is the last one of its job."""
        return self.held.get(claim.id) == (claim.attempt, claim.worker)

    def gone(self, claim: Claim) -> None:
        """Nobody holds the job by this claim any more."""
        if self.holds(claim):
            del self.held[claim.id]

    def begin(self, job: str) -> None:
        """A worker has heard of the job."""
        self.claims += 1
        claim = self.say(None, partial(self.claim, job, f"w.{self.claims}"))
        if claim is not None:
            run = Run(claim)
            run.steps = self.work(run)
            self.runs.append(run)
            self.past.append(run)
            self.step(run)

    def claim(self, job: str, worker: str) -> Claim | None:
        """Nobody else may hold it."""
        claim = self.jobs.claim(job, worker)
        if claim is not None:
            assert self.held.get(job) in (None, (claim.attempt, claim.worker)), "held twice"
            self.held[job] = (claim.attempt, claim.worker)
        return claim

    def work(self, run: Run) -> Generator[None, None, None]:
        """As `workers.owning` does it."""
        kinds = {Task.SCREEN: self.screen, Task.CHUNK: self.chunk, Task.TUNE: self.tune}
        end: End | None
        try:
            end = yield from kinds.get(run.claim.kind, self.train)(run)
        except Stopped as stop:
            if stop.beat is Beat.LOST:
                return
            end = Status.CANCELLED, None, None
        if end is not None:
            yield
            self.leave(run.claim, partial(self.jobs.finish, run.claim, *end))

    def train(self, run: Run) -> Steps:
        """A training goes on from where the one before was."""
        claim, done = run.claim, run.claim.done
        while done < 3:
            yield
            run.check()
            done += 1
            kept = claim.kind is Task.TRAIN
            beat = self.say(claim, partial(self.jobs.progress, claim, done, 0, 3, kept=kept))
            if beat is not Beat.OK:
                raise Stopped(beat)
        return (
            (Status.FAILED, ERROR, None) if self.number % 5 == 0 else (Status.SUCCEEDED, None, None)
        )

    def tune(self, run: Run) -> Steps:
        """A search spreads and, when all of its trials have ended, closes."""
        claim, trials = run.claim, 2
        children = [child_id(claim.id, number) for number in range(trials)]
        if claim.children is not None:
            states = [self.jobs.get(child) for child in children]
            assert all(one is None or one.status.ended for one in states), "closed too early"
            assert claim.children == claim.done == trials
            yield
            return Status.SUCCEEDED, None, None
        for child in children:
            yield
            run.check()
            new = NewJob(id=child, kind=Task.TRAIN, order="{}", parent=claim.id, uses=claim.uses)
            self.say(None, partial(self.jobs.submit, new))
        yield
        self.leave(claim, partial(self.jobs.spread, claim, trials))
        return None

    def screen(self, run: Run) -> Steps:
        """As `workers.cutting` does it."""
        claim = run.claim
        if claim.children is not None or claim.status is Status.CANCELLING:
            return (yield from self.close(run))
        number, items = claim.cut, claim.items
        try:
            while items < self.sources[claim.id]:
                yield
                run.check()
                rows = min(1 + self.number % 2, self.sources[claim.id] - items)
                told = self.say(claim, self.cut(claim, number, items, rows))
                if told.word != "ok":
                    raise Stopped(Beat(told.word))
                number, items = number + 1, items + rows
                if number - told.ended >= AHEAD:
                    yield
                    until = number - LEFT
                    self.leave(claim, partial(self.jobs.sleep, claim, until, cut=number))
                    return None
        except Stopped as stop:
            if stop.beat is Beat.LOST:
                raise
            yield
            self.leave(claim, partial(self.jobs.sleep, claim, 0))
            return None
        yield
        self.leave(claim, partial(self.jobs.sleep, claim, number, cut=number, whole=True))
        return None

    def cut(self, claim: Claim, number: int, first: int, rows: int) -> Callable[[], Any]:
        """One chunk more."""
        order = {"number": number, "first": first, "mark": claim.worker}
        self.packs[claim.id, number, str(claim.worker)] = rows
        new = NewJob(
            id=child_id(claim.id, number),
            kind=Task.CHUNK,
            order=json.dumps(order),
            parent=claim.id,
            total=rows,
        )
        return partial(self.jobs.cut, claim, new, number, size_bytes=rows, last=f"{first}")

    def chunk(self, run: Run) -> Steps:
        """As `workers.screening` does it."""
        claim = run.claim
        order = json.loads(claim.order)
        key = str(claim.parent), order["number"]
        made = self.shards.get(key)
        if made is None or made[:2] != (order["mark"], order["first"]):
            yield
            run.check()
            if self.number % 7 == 0:
                return Status.FAILED, ERROR, None
            counts = claim.total, self.number % 2, claim.total
            yield
            beat = self.say(claim, partial(self.jobs.progress, claim, *counts))
            if beat is not Beat.OK:
                raise Stopped(beat)
            made = self.shards[key] = (order["mark"], order["first"], *counts[:2])
        return Status.SUCCEEDED, None, (made[2], made[3], made[2])

    def close(self, run: Run) -> Steps:
        """As `workers.closing` does it."""
        claim = run.claim
        alive = [n for n in range(claim.cut) if self.jobs.get(child_id(claim.id, n)) is not None]
        assert not alive, "closed too early"
        yield
        for number, chunk in self.jobs.lost(claim.id).items():
            first, mark = chunk["order"]["first"], chunk["order"]["mark"]
            rows = self.packs[claim.id, number, mark]
            if self.shards.get((claim.id, number), ("", 0))[:2] != (mark, first):
                self.shards[claim.id, number] = mark, first, rows, rows
        found = [self.shards.get((claim.id, number)) for number in range(claim.cut)]
        yield
        if claim.status is Status.CANCELLING or not self.holds(claim):
            return Status.CANCELLED, None, None
        shards = [shard for shard in found if shard is not None]
        assert len(shards) == len(found), "parts are missing"
        rows = 0
        for _, first, count, _ in shards:
            assert first == rows, "parts do not fit"
            rows += count
        assert rows == claim.items == claim.done == claim.total == self.sources[claim.id]
        failed = sum(shard[3] for shard in shards)
        assert failed <= claim.failed  # what was made before its workers were lost is no failure
        return Status.SUCCEEDED, None, (rows, failed, rows)

    def new_id(self) -> str:
        """The same in each telling of a story."""
        self.made += 1
        return f"job_{self.made:026d}"

    # -- what happens ------------------------------------------------------------------------------

    def submit(self) -> None:
        """A job more, unless there are many."""
        sent = [one for one in self.records.values() if "parent" not in one]
        if sum(one["status"] in UNFINISHED for one in sent) >= AT_ONCE:
            return
        kind = KINDS[self.number % len(KINDS)]
        new = NewJob(
            id=self.new_id(),
            kind=kind,
            order="{}",
            uses=("set_1",),
            direct=kind is Task.PREDICT and self.number % 4 < 2,
        )
        self.sources[new.id] = 1 + self.number // 6 % 9
        self.say(None, partial(self.jobs.submit, new))

    def hear(self) -> None:
        """A worker takes what wakes it."""
        if (job := self.woken()) is not None:
            self.begin(job)

    def lose_message(self) -> None:
        """What wakes a worker gets lost."""
        self.woken()

    def hear_slowly(self) -> None:
        """A worker takes what wakes it, and claims it later."""
        if (job := self.woken()) is not None:
            self.messages.append(job)

    def woken(self) -> str | None:
        """What a worker takes next; of messages any."""
        ways = sorted(self.redis.keys("mp:wake:*"))
        place = self.number % (len(ways) + len(self.messages) or 1)
        if place < len(ways):
            return str(self.redis.zpopmin(ways[place])[0][0].decode())
        return self.messages.pop(place - len(ways)) if self.messages else None

    def go_on(self) -> None:
        """A worker does the next thing."""
        if run := self.one(self.runs):
            self.step(run)

    def step(self, run: Run) -> None:
        """To its next pause."""
        try:
            next(run.steps)
        except StopIteration:
            self.runs.remove(run)

    def pulse(self) -> None:
        """A worker shows that it lives."""
        if run := self.one(self.runs):
            self.beat(run)

    def beat(self, run: Run) -> None:
        """As `workers.pulse` does it."""
        if run.beat is not Beat.LOST:
            run.beat = self.say(run.claim, partial(self.jobs.beat, run.claim))

    def vanish(self) -> None:
        """A worker is gone without a word."""
        if run := self.one(self.runs):
            self.runs.remove(run)

    def stop(self) -> None:
        """A worker is told to stop and gives back what it has."""
        if run := self.one(self.runs):
            self.runs.remove(run)
            self.leave(run.claim, partial(self.jobs.release, run.claim))

    def repeat(self) -> None:
        """Something that was said comes once more, or late."""
        if not self.said:
            return
        self.late(*self.said[-1 - self.number % min(len(self.said), 24)])

    def beat_late(self) -> None:
        """A beat was on its way when its worker said the last word."""
        if run := self.one(self.past[-8:]):
            self.late(run.claim, partial(self.jobs.beat, run.claim))

    def late(self, claim: Claim | None, call: Callable[[], Any]) -> None:
        """Nothing comes of it but from who holds the job."""
        holds = claim is not None and self.holds(claim)
        before = self.dump()
        answer = call()
        if claim is not None and not holds:
            assert self.dump() == before, f"written by an old claim: {call}"
            assert answer is not Beat.OK
        elif claim is not None and getattr(call, "func", None) in self.last_words() and answer:
            self.gone(claim)

    def last_words(self) -> tuple[Callable[..., Any], ...]:
        """By which a claim ends."""
        return self.jobs.finish, self.jobs.release, self.jobs.sleep, self.jobs.spread

    def lapse(self) -> None:
        """A worker has been silent for too long."""
        if job := self.one(sorted(self.redis.zrange("mp:leases", 0, -1))):
            self.lapsed(job.decode(), over=self.number % 3 == 0)

    def lapsed(self, job: str, *, over: bool) -> None:
        """Its lease ends, perhaps also the time it has after a cancel."""
        if self.redis.hget(f"mp:job:{job}", "status") == b"running":
            self.lapses[job] += 1
        elif over:
            self.redis.hset(f"mp:job:{job}", "over", 1)
        lapse(self.redis, job)
        self.held.pop(job, None)
        self.reconcile()

    def look_after(self) -> None:
        """Time passes until all that waits is due."""
        for due in ("mp:due", "mp:due:bulk"):
            for job in self.redis.zrange(due, 0, -1):
                self.redis.zadd(due, {job: 1})
        self.reconcile()

    def reconcile(self) -> None:
        """As every half second."""
        self.messages += [job for job, _ in self.jobs.reconcile().publish]

    def cancel(self) -> None:
        """By whoever sent it; a trial too, no chunk."""
        jobs = [job for job, fields in self.records.items() if fields["kind"] != "chunk"]
        if job := self.one(sorted(jobs)):
            self.say(None, partial(self.jobs.cancel, job))

    def retry(self) -> None:
        """An ended job is done again."""
        if job := self.one(sorted(self.ended)):
            new = self.new_id()
            self.sources[new] = self.sources.get(job, 1)
            self.say(None, partial(self.jobs.retry, job, new))

    def delete(self) -> None:
        """An ended job goes."""
        if job := self.one(sorted(self.ended)):
            if self.number % 2:
                self.jobs.delete(job)
            else:
                self.redis.zadd("mp:ended", {job: 1})
                self.reconcile()

    def keep(self) -> None:
        """What comes now may be forgotten."""
        self.kept = kept(self.redis), dict(self.held)

    def forget(self) -> None:
        """The broker comes back without what it was told last."""
        if self.kept is not None:
            keys, held = self.kept
            restored(self.redis, keys)
            self.held, self.ended, self.kept, self.forgotten = dict(held), {}, None, True

    def one(self, among: list[Any]) -> Any:
        """Any of them."""
        return among[self.number % len(among)] if among else None

    # -- what must hold ----------------------------------------------------------------------------

    def dump(self) -> dict[bytes, bytes]:
        """All that the broker knows of the jobs."""
        keys = [key for key in self.redis.keys("mp:*") if key.decode() not in APART]
        return {key: self.redis.dump(key) for key in keys}

    def look(self) -> None:
        """At every record and every set."""
        keys = sorted(key.decode() for key in self.redis.keys("mp:*"))
        sets = [key for key in keys if key.startswith(("mp:children:", "mp:using:"))]
        ranks = [key for key in keys if key.startswith(("mp:due", "mp:leases", "mp:wa"))]
        with self.redis.pipeline() as pipe:
            for key in keys:
                if key.startswith("mp:job:"):
                    pipe.hgetall(key)
            for key in sets:
                pipe.smembers(key)
            for key in ranks:
                pipe.zrange(key, 0, -1)
            found = pipe.execute()
        names = [key.removeprefix("mp:job:") for key in keys if key.startswith("mp:job:")]
        texts = ({name.decode(): text.decode() for name, text in each.items()} for each in found)
        self.records = dict(zip(names, texts, strict=False))
        members = zip(sets + ranks, found[len(names) :], strict=True)
        self.look_at({key: {one.decode() for one in some} for key, some in members})

    def look_at(self, sets: dict[str, set[str]]) -> None:
        """Nothing is listed that is not there, and nothing is forgotten that has to go on."""
        leases = sets.get("mp:leases", set())
        due = sets.get("mp:due", set()) | sets.get("mp:due:bulk", set())
        for key, jobs in sets.items():
            for job in jobs:
                status = self.records.get(job, {}).get("status")
                if key == "mp:leases":
                    assert status in ("running", "cancelling")
                    assert "worker" in self.records[job]
                elif key.startswith("mp:using:"):
                    assert status in UNFINISHED
                elif not key.startswith("mp:children:"):
                    assert self.waits(job), f"{key} holds one that is {status}"
        for job, fields in self.records.items():
            children = sets.get(f"mp:children:{job}", set())
            assert (job in due) == self.waits(job)
            if fields["status"] in ("running", "cancelling") and job not in leases | due:
                assert any(self.status(child) in UNFINISHED for child in children), "forgotten"
            if fields["kind"] == "screen" and fields["status"] in UNFINISHED:
                assert int(fields.get("cut", 0)) == int(fields.get("ended", 0)) + len(children)
        self.look_at_ends()

    def status(self, job: str) -> str | None:
        """None of one that is gone."""
        return self.records.get(job, {}).get("status")

    def waits(self, job: str) -> bool:
        """Whether any worker may take it."""
        fields = self.records.get(job, {})
        closing = fields.get("status") == "cancelling" and fields["closing"] == "1"
        return closing or fields.get("status") == "queued"

    def look_at_ends(self) -> None:
        """They never change, and have their reasons."""
        for job, fields in self.records.items():
            if fields["status"] not in UNFINISHED:
                now = {name: text for name, text in fields.items() if name != "retried_by"}
                assert self.ended.setdefault(job, now) == now
                if "worker_lost" in fields.get("error", ""):
                    assert self.lapses[job] >= self.jobs.limits.attempts
        self.ended = {job: self.ended[job] for job in self.ended if job in self.records}

    def settle(self) -> None:
        """From now on all workers are honest and nothing is lost."""
        for _ in range(60):
            for run in copy(self.runs):
                while run in self.runs:
                    self.number += 1
                    self.beat(run)
                    self.step(run)
            held = {run.claim.id for run in self.runs}
            for job in self.redis.zrange("mp:leases", 0, -1):
                if job.decode() not in held:
                    self.lapsed(job.decode(), over=False)
            self.look_after()
            while (job := self.woken()) is not None:
                self.begin(job)
            self.look()
            if all(fields["status"] not in UNFINISHED for fields in self.records.values()):
                break
        assert all(fields["status"] not in UNFINISHED for fields in self.records.values()), "stuck"
        for job in self.records:
            self.jobs.delete(job)
        left = {key.decode() for key in self.redis.keys("mp:*")} - APART
        assert left <= {f"mp:children:{job}" for job in self.records}


STORY: tuple[Callable[[World], None], ...] = (
    *[World.go_on] * 6,
    *[World.hear] * 4,
    *[World.submit, World.repeat, World.pulse, World.lapse, World.look_after] * 2,
    *[World.keep, World.forget] * 2,
    World.beat_late,
    World.lose_message,
    World.hear_slowly,
    World.vanish,
    World.stop,
    *[World.cancel] * 2,
    World.retry,
    World.delete,
)


def play(redis: Redis, story: list[tuple[int, int]]) -> None:
    world = World(redis)
    for what, number in story:
        world.number = number
        STORY[what](world)
        world.look()
    world.settle()


@settings(
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(st.integers(0, len(STORY) - 1), st.integers(0, 255)), min_size=20, max_size=120
    )
)
def test_whatever_is_lost_or_late_each_job_ends_once_with_all_its_parts(redis, story):
    play(redis, story)


def test_rows_of_chunks_that_the_broker_forgot_are_not_doubled(stage, settings, monkeypatch):
    desk = Desk.of(stage, settings)
    job = desk.submit(("a.zip", words(60)))
    before = kept(desk.jobs.redis)
    desk.step(CUT)
    while desk.step(BULK):
        pass
    restored(desk.jobs.redis, before)
    monkeypatch.setattr("workers.cutting.goal", lambda *_: (1000, 1e9))
    assert desk.finish(job).done == 60
    assert [row["index"] for row in desk.rows(job)] == list(range(60))


def test_a_chunk_that_was_lost_is_told_though_the_broker_forgot_another_of_its_number(
    stage, settings, monkeypatch
):
    desk = Desk.of(stage, settings)
    job = desk.submit(("a.zip", words(60)))
    before = kept(desk.jobs.redis)
    desk.step(CUT)
    desk.step(BULK)
    restored(desk.jobs.redis, before)
    monkeypatch.setattr("workers.cutting.goal", lambda *_: (1000, 1e9))
    desk.step(CUT)
    desk.jobs.finish(desk.jobs.claim(desk.take(BULK), "w.1"), Status.FAILED, ERROR)
    desk.finish(job)
    assert [row["code"] for row in desk.rows(job)] == ["internal"] * 60


def test_a_screening_whose_end_the_broker_forgot_ends_so_again(stage, settings):
    desk = Desk.of(stage, settings)
    job = desk.submit(("a.zip", words(60)))
    before = kept(desk.jobs.redis)
    ended = desk.finish(job)
    restored(desk.jobs.redis, before)
    again = desk.finish(job)
    assert (again.status, again.done, again.failed, again.total) == (ended.status, 60, 0, 60)
    assert [row["index"] for row in desk.rows(job)] == list(range(60))

import asyncio
import time
from dataclasses import replace

import pytest
from redis import Redis

from tests.workers.conftest import lapse
from workers import moves
from workers.broker import connect_async
from workers.contract import WAY_OF, Queue, Task
from workers.jobs import (
    AsyncJobs,
    Beat,
    BrokerAway,
    Claim,
    JobLimits,
    Jobs,
    NewJob,
    Status,
    child_id,
    new_id,
)
from workers.settings import WorkerSettings


def new(**parts) -> NewJob:
    return NewJob(**{"id": new_id("job"), "kind": Task.PREDICT, "order": "{}", **parts})


def submitted(jobs: Jobs, **parts) -> str:
    order = new(**parts)
    assert jobs.submit(order)
    return order.id


def claimed(jobs: Jobs, **parts) -> tuple[str, Claim]:
    job = submitted(jobs, **parts)
    claim = jobs.claim(job, "worker")
    assert claim is not None
    return job, claim


def make_due(redis: Redis, job: str) -> None:
    redis.zadd("mp:due", {job: 1})


def test_a_job_is_recorded_as_it_was_submitted(jobs):
    order = new(order='{"a":1}', owner="key_1", label="x", request_id="r", models=("m@1",), total=3)
    assert jobs.submit(order)
    job = jobs.get(order.id)
    assert job is not None
    assert (job.status, job.order, job.owner, job.label) == (Status.QUEUED, '{"a":1}', "key_1", "x")
    assert (job.request_id, job.models, job.total, job.attempt) == ("r", ("m@1",), 3, 0)
    assert abs(job.created_at - time.time()) < 60


def test_submitting_an_id_twice_changes_nothing(jobs):
    order = new(label="first")
    assert jobs.submit(order)
    jobs.claim(order.id, "worker")
    assert jobs.submit(new(id=order.id, label="second"))
    job = jobs.get(order.id)
    assert job is not None
    assert (job.label, job.status) == ("first", Status.RUNNING)


def test_a_full_queue_admits_no_job(redis):
    jobs = Jobs(redis, JobLimits(max_queued=2))
    assert [jobs.submit(new()) for _ in range(3)] == [True, True, False]


def test_a_full_memory_admits_no_job(jobs, redis):
    redis.set("mp:full", 1)
    order = new()
    assert not jobs.submit(order)
    assert jobs.get(order.id) is None


def test_a_direct_job_wakes_its_worker_within_the_submit(jobs, redis):
    job = submitted(jobs, direct=True)
    assert redis.zrange("mp:wake:parse", 0, -1) == [job.encode()]


def test_only_one_of_two_workers_gets_a_job(jobs):
    job = submitted(jobs)
    claims = [jobs.claim(job, f"worker-{number}") for number in range(2)]
    assert claims[0] is not None
    assert claims[0].attempt == 1
    assert claims[1] is None


def test_a_claim_whose_answer_was_lost_may_be_repeated(jobs):
    job = submitted(jobs)
    assert jobs.claim(job, "me") == jobs.claim(job, "me")


def test_a_finished_job_never_changes_again(jobs):
    job, claim = claimed(jobs)
    assert jobs.finish(claim, Status.SUCCEEDED)
    assert jobs.cancel(job) is Status.SUCCEEDED
    assert jobs.claim(job, "other") is None
    assert jobs.beat(claim) is Beat.LOST
    assert not jobs.release(claim)
    ended = jobs.get(job)
    assert ended is not None
    assert ended.status is Status.SUCCEEDED
    assert ended.finished_at is not None


def test_a_finish_whose_answer_was_lost_may_be_repeated(jobs):
    _, claim = claimed(jobs)
    assert jobs.finish(claim, Status.SUCCEEDED)
    assert jobs.finish(claim, Status.SUCCEEDED)


def test_a_worker_with_an_old_number_writes_nothing(jobs, redis):
    job, old = claimed(jobs)
    lapse(redis, job)
    jobs.reconcile()
    claim = jobs.claim(job, "second")
    assert claim is not None
    assert claim.attempt == old.attempt + 1
    assert jobs.beat(old) is Beat.LOST
    assert jobs.progress(old, 1, 0, 1) is Beat.LOST
    assert not jobs.finish(old, Status.SUCCEEDED)
    assert jobs.finish(claim, Status.SUCCEEDED)


def test_a_queued_job_is_cancelled_at_once(jobs, redis):
    job = submitted(jobs, direct=True)
    assert jobs.cancel(job) is Status.CANCELLED
    assert jobs.claim(job, "worker") is None
    assert redis.zcard("mp:wake:parse") == redis.zcard("mp:due") == 0


def test_a_running_job_learns_of_its_cancel_at_the_next_beat(jobs):
    job, claim = claimed(jobs)
    assert jobs.cancel(job) is Status.CANCELLING
    assert jobs.cancel(job) is Status.CANCELLING
    assert jobs.beat(claim) is Beat.CANCELLED
    assert jobs.finish(claim, Status.SUCCEEDED)
    assert jobs.get(job).status is Status.CANCELLED


def test_a_worker_that_ignores_a_cancel_loses_the_job(jobs, redis):
    job, claim = claimed(jobs)
    jobs.cancel(job)
    lapse(redis, job)
    jobs.reconcile()
    assert jobs.get(job).status is Status.CANCELLED
    assert not jobs.finish(claim, Status.SUCCEEDED)


def test_beats_of_a_cancelled_job_do_not_renew_its_lease(jobs, redis):
    job, claim = claimed(jobs)
    jobs.cancel(job)
    until = redis.zscore("mp:leases", job)
    jobs.beat(claim)
    assert redis.zscore("mp:leases", job) == until


def test_a_job_that_cost_three_workers_fails_and_says_so(jobs, redis):
    job = submitted(jobs)
    for attempt in range(1, 4):
        assert jobs.claim(job, f"w{attempt}").attempt == attempt
        lapse(redis, job)
        jobs.reconcile()
    ended = jobs.get(job)
    assert ended.status is Status.FAILED
    assert ended.error["code"] == "worker_lost"


def test_a_job_that_gets_on_between_its_losses_is_no_poison(jobs, redis):
    job = submitted(jobs, kind=Task.TRAIN)
    for attempt in range(1, 8):
        claim = jobs.claim(job, f"w{attempt}")
        assert claim.done == attempt - 1
        jobs.progress(claim, attempt, 0, 100, kept=True)
        lapse(redis, job)
        jobs.reconcile()
    assert jobs.get(job).status is Status.QUEUED


def test_a_job_that_gets_no_further_than_its_lost_workers_is_poison(jobs, redis):
    job = submitted(jobs, kind=Task.TRAIN)
    for attempt in range(1, 5):
        claim = jobs.claim(job, f"w{attempt}")
        jobs.progress(claim, 2, 0, 100, kept=True)
        lapse(redis, job)
        jobs.reconcile()
        assert jobs.get(job).status.ended == (attempt == 3)
        if attempt == 3:
            break


def test_a_cancelled_training_keeps_its_lease_for_its_grace_while_it_beats(redis):
    jobs = Jobs(redis, JobLimits(lease_s=10, train_grace_s=100))
    job, claim = claimed(jobs, kind=Task.TRAIN)
    jobs.cancel(job)
    silent = redis.zscore("mp:leases", job)
    redis.hincrby(f"mp:job:{job}", "lease", 50_000)  # as if time had passed
    assert jobs.beat(claim) is Beat.CANCELLED
    assert redis.zscore("mp:leases", job) > silent + 40_000
    redis.hincrby(f"mp:job:{job}", "lease", 500_000)
    jobs.beat(claim)
    over = int(redis.hget(f"mp:job:{job}", "over"))
    assert redis.zscore("mp:leases", job) == over < silent + 100_000


def test_what_is_told_becomes_events_once(jobs):
    job, claim = claimed(jobs)
    lines = [("metric", '{"epoch":1}'), ("log", '{"text":"x"}')]
    for _ in range(2):
        assert jobs.tell(claim, lines, 0, 40) is Beat.OK
    jobs.tell(claim, [("metric", '{"epoch":2}')], 40, 60)
    told = [(event.kind, event.data) for event in jobs.events(job)[2:]]
    assert told == [("metric", {"epoch": 1}), ("log", {"text": "x"}), ("metric", {"epoch": 2})]
    jobs.release(claim)
    assert jobs.tell(claim, lines, 60, 80) is Beat.LOST
    assert jobs.claim(job, "next").told == 60


def test_a_data_set_is_used_until_the_last_job_that_needs_it_has_ended(jobs):
    first, claim = claimed(jobs, uses=("set_1", "m@1"))
    jobs.finish(claim, Status.FAILED)
    assert jobs.users("set_1") == set()
    again = new_id("job")
    assert jobs.retry(first, again)
    assert jobs.users("set_1") == jobs.users("m@1") == {again}
    jobs.cancel(again)
    assert jobs.users("set_1") == set()


def test_giving_a_job_back_costs_none_of_its_lives(jobs):
    job = submitted(jobs)
    for attempt in range(1, 8):
        claim = jobs.claim(job, f"w{attempt}")
        assert claim.attempt == attempt
        assert jobs.release(claim)
    assert jobs.get(job).status is Status.QUEUED


def test_a_job_that_nobody_claimed_is_published_again(jobs, redis):
    job = submitted(jobs)
    assert jobs.reconcile().publish == []
    for _ in range(3):
        make_due(redis, job)
        assert jobs.reconcile().publish == [(job, Task.PREDICT)]
        assert jobs.reconcile().publish == []


def test_a_direct_job_whose_wake_up_was_lost_is_woken_again(jobs, redis):
    job = submitted(jobs, direct=True)
    redis.delete("mp:wake:parse")
    make_due(redis, job)
    assert jobs.reconcile().publish == []
    assert redis.zrange("mp:wake:parse", 0, -1) == [job.encode()]


def test_messages_still_in_the_queue_are_not_doubled(jobs, redis):
    job = submitted(jobs)
    redis.rpush("parse", "messages wait")
    published = []
    for _ in range(4):
        make_due(redis, job)
        published.append(bool(jobs.reconcile().publish))
    assert published == [True, False, False, False]


def test_the_waiting_service_is_told_of_the_end(jobs, redis):
    job, claim = claimed(jobs, answer_to="service-1")
    jobs.finish(claim, Status.SUCCEEDED)
    [told] = moves.ended_of([b"", redis.lrange("mp:answers:service-1", 0, -1)])
    assert told == jobs.get(job)
    assert redis.ttl("mp:answers:service-1") > 0


def test_events_come_in_order_and_continue_after_the_last_one_seen(jobs):
    job, claim = claimed(jobs)
    jobs.progress(claim, 1, 0, 2)
    jobs.finish(claim, Status.SUCCEEDED, None, (2, 0, 2))
    events = jobs.events(job)
    assert [event.kind for event in events] == ["status", "status", "progress", "done"]
    assert events[-1].data == {"status": "succeeded", "done": 2, "failed": 0, "total": 2}
    assert jobs.events(job, events[1].id) == events[2:]
    assert jobs.events(job, events[-1].id, block_ms=5) == []


def parent_of(jobs: Jobs, number: int) -> tuple[str, list[str]]:
    """A parent that has spread, and its children."""
    parent, claim = claimed(jobs)
    children = [submitted(jobs, id=child_id(parent, one), parent=parent) for one in range(number)]
    assert jobs.spread(claim, number)
    return parent, children


def end(jobs: Jobs, job: str, status: Status = Status.SUCCEEDED) -> None:
    assert jobs.finish(jobs.claim(job, "w"), status)


def test_a_parent_is_queued_again_to_close_when_its_last_child_has_ended(jobs, redis):
    parent, claim = claimed(jobs)
    children = [child_id(parent, number) for number in range(3)]
    for child in children:
        submitted(jobs, id=child, parent=parent)
    end(jobs, children[0])
    assert jobs.spread(claim, 3)
    for child, status in zip(children[1:], (Status.FAILED, Status.SUCCEEDED), strict=True):
        assert jobs.get(parent).status is Status.RUNNING
        end(jobs, child, status)
    assert jobs.get(parent).status is Status.QUEUED
    assert (parent, Task.PREDICT) in jobs.reconcile().publish
    closing = jobs.claim(parent, "closer")
    assert (closing.done, closing.failed, closing.total, closing.children) == (3, 1, 3, 3)
    assert jobs.finish(closing, Status.SUCCEEDED)


def test_a_late_beat_renews_nothing_that_was_left_to_children(jobs, redis):
    """Else its lease would end, and a parent would close before its children have ended."""
    parent, claim = claimed(jobs)
    submitted(jobs, id=child_id(parent, 0), parent=parent)
    jobs.spread(claim, 1)
    screening, cutter = claimed(jobs, kind=Task.SCREEN)
    chunk = new(id=child_id(screening, 0), kind=Task.CHUNK, parent=screening, total=1)
    jobs.cut(cutter, chunk, 0, size_bytes=1, last="0")
    jobs.sleep(cutter, 1, cut=1, whole=True)
    for each in (claim, cutter):
        assert jobs.beat(each) is Beat.LOST
        assert jobs.progress(each, 1, 0, 1) is Beat.LOST
        assert redis.zscore("mp:leases", each.id) is None
        assert jobs.get(each.id).status is Status.RUNNING


def cut_of(jobs: Jobs, number: int) -> tuple[str, Claim, list[str]]:
    """A screening that is held, and its chunks so far."""
    screening, cutter = claimed(jobs, kind=Task.SCREEN)
    chunks = [child_id(screening, one) for one in range(number)]
    for one, chunk in enumerate(chunks):
        order = new(id=chunk, kind=Task.CHUNK, parent=screening, total=1)
        assert jobs.cut(cutter, order, one, size_bytes=1, last="0").word == "ok"
    return screening, cutter, chunks


def test_a_screening_cancelled_before_it_is_cut_further_waits_for_its_chunks(jobs, redis):
    """Else whoever took it then would close it without them."""
    screening, cutter, chunks = cut_of(jobs, 2)
    jobs.sleep(cutter, 1, cut=2)
    end(jobs, chunks[0])
    running = jobs.claim(chunks[1], "w")
    assert jobs.get(screening).status is Status.QUEUED
    assert jobs.cancel(screening) is Status.CANCELLING
    assert jobs.claim(screening, "early") is None
    assert not redis.exists("mp:wake:cut", "mp:waiting:parse")
    jobs.finish(running, Status.CANCELLED)
    assert jobs.claim(screening, "closer").status is Status.CANCELLING


@pytest.mark.parametrize("end_of_worker", ["lost", "told to stop"])
def test_who_has_left_a_cancelled_screening_to_its_chunks_holds_it_no_more(
    jobs, redis, end_of_worker
):
    """Else a late beat would lease it, and with the lease it would end before its chunks."""
    screening, cutter, chunks = cut_of(jobs, 1)
    jobs.claim(chunks[0], "w")
    jobs.cancel(screening)
    if end_of_worker == "lost":
        lapse(redis, screening)
        jobs.reconcile()
    else:
        jobs.release(cutter)
    assert jobs.beat(cutter) is Beat.LOST
    assert not jobs.finish(cutter, Status.CANCELLED)
    assert redis.zscore("mp:leases", screening) is None
    assert jobs.get(screening).status is Status.CANCELLING


def test_a_parent_of_whose_children_a_forgetful_broker_knows_only_some_spreads_again(jobs, redis):
    parent, claim = claimed(jobs)
    submitted(jobs, id=child_id(parent, 0), parent=parent)
    assert not jobs.spread(claim, 2)
    lapse(redis, parent)
    jobs.reconcile()
    again = jobs.claim(parent, "next")
    submitted(jobs, id=child_id(parent, 1), parent=parent)
    assert again.children is None
    assert jobs.spread(again, 2)


def test_a_child_that_was_deleted_is_not_made_again_by_a_late_submit(jobs):
    """It would be counted twice, and its parent would close too early."""
    parent, children = parent_of(jobs, 2)
    end(jobs, children[0])
    assert jobs.delete(children[0])
    submitted(jobs, id=children[0], parent=parent)
    assert jobs.get(children[0]) is None


def test_a_lost_closing_is_done_again(jobs, redis):
    parent, children = parent_of(jobs, 1)
    end(jobs, children[0])
    jobs.claim(parent, "closer")
    lapse(redis, parent)
    jobs.reconcile()
    assert jobs.claim(parent, "next").children == 1


def test_a_parent_whose_worker_was_lost_submits_no_child_twice(jobs, redis):
    parent, _ = claimed(jobs)
    submitted(jobs, id=child_id(parent, 0), parent=parent)
    lapse(redis, parent)
    jobs.reconcile()
    again = jobs.claim(parent, "second")
    for number in range(2):
        submitted(jobs, id=child_id(parent, number), parent=parent)
    assert jobs.spread(again, 2)
    assert redis.scard(f"mp:children:{parent}") == 2


def test_a_cancelled_parent_closes_after_its_children(jobs):
    parent, children = parent_of(jobs, 2)
    running = jobs.claim(children[1], "w")
    assert jobs.cancel(parent) is Status.CANCELLING
    assert jobs.get(children[0]).status is Status.CANCELLED
    assert jobs.claim(parent, "early") is None
    jobs.finish(running, Status.SUCCEEDED)
    assert (parent, Task.PREDICT) in jobs.reconcile().publish
    closing = jobs.claim(parent, "closer")
    assert closing.status is Status.CANCELLING
    assert jobs.claim(parent, "another") is None
    assert jobs.finish(closing, Status.SUCCEEDED)
    assert jobs.get(parent).status is Status.CANCELLED


def test_a_parent_cancelled_before_it_closes_closes_all_the_same(jobs):
    parent, children = parent_of(jobs, 1)
    end(jobs, children[0])
    assert jobs.cancel(parent) is Status.CANCELLING
    assert jobs.finish(jobs.claim(parent, "closer"), Status.SUCCEEDED)
    assert jobs.get(parent).status is Status.CANCELLED


def test_a_cancelled_closing_whose_workers_are_lost_is_done_again_but_not_for_ever(jobs, redis):
    parent, _ = parent_of(jobs, 1)
    jobs.cancel(parent)
    for closer in "abc":
        assert jobs.claim(parent, closer).status is Status.CANCELLING
        lapse(redis, parent)
        jobs.reconcile()
    assert jobs.get(parent).status is Status.CANCELLED


def test_a_cancelled_closing_that_takes_too_long_ends(jobs, redis):
    parent, _ = parent_of(jobs, 1)
    jobs.cancel(parent)
    jobs.claim(parent, "closer")
    redis.hset(f"mp:job:{parent}", "over", 1)
    lapse(redis, parent)
    jobs.reconcile()
    assert jobs.get(parent).status is Status.CANCELLED


def test_a_parent_whose_closing_was_lost_closes_also_when_it_is_cancelled_then(jobs, redis):
    parent, children = parent_of(jobs, 1)
    end(jobs, children[0])
    jobs.claim(parent, "closer")
    lapse(redis, parent)
    jobs.reconcile()
    assert jobs.cancel(parent) is Status.CANCELLING
    assert jobs.finish(jobs.claim(parent, "next"), Status.SUCCEEDED)
    assert jobs.get(parent).status is Status.CANCELLED


def test_children_that_were_purged_before_the_parent_spread_count_as_ended(jobs):
    parent, claim = claimed(jobs)
    child = submitted(jobs, id=child_id(parent, 0), parent=parent)
    end(jobs, child)
    assert jobs.delete(child)
    jobs.spread(claim, 1)
    assert jobs.claim(parent, "closer").failed == 1


def test_no_child_is_made_for_a_parent_that_has_ended(jobs):
    parent, claim = claimed(jobs)
    jobs.finish(claim, Status.FAILED)
    child = submitted(jobs, parent=parent)
    assert jobs.get(child) is None


@pytest.mark.parametrize("kind", [Task.DATASET, Task.TUNE, Task.EVALUATE])
def test_what_is_short_or_reads_a_file_waits_behind_no_message(jobs, redis, kind):
    redis.lpush("train", "another's message")
    redis.lpush("parse", "another's message")
    job = submitted(jobs, kind=kind)
    way = f"mp:wake:{WAY_OF[kind]}"
    assert redis.zrange(way, 0, -1) == [job.encode()]
    make_due(redis, job)
    assert jobs.reconcile().publish == []
    jobs.claim(job, "w")
    assert not redis.exists(way)


def kept(jobs: Jobs) -> tuple[str, Claim]:
    """A training that a successor would go on with."""
    job, claim = claimed(jobs, kind=Task.TRAIN)
    jobs.progress(claim, 5, 0, 100, kept=True)
    return job, claim


def test_a_waiting_training_that_has_got_somewhere_is_closed_when_it_is_cancelled(jobs, redis):
    job, claim = kept(jobs)
    jobs.release(claim)
    assert jobs.cancel(job) is Status.CANCELLING
    assert redis.zrange("mp:wake:short", 0, -1) == [job.encode()]
    closing = jobs.claim(job, "next")
    assert (closing.status, closing.done) == (Status.CANCELLING, 5)
    assert jobs.beat(closing) is Beat.CANCELLED
    jobs.finish(closing, Status.CANCELLED)
    assert jobs.get(job).status is Status.CANCELLED


@pytest.mark.parametrize("end_of_worker", ["lost", "told to stop"])
def test_a_cancelled_training_whose_worker_goes_is_closed_by_another(jobs, redis, end_of_worker):
    job, claim = kept(jobs)
    jobs.cancel(job)
    if end_of_worker == "lost":
        lapse(redis, job)
        jobs.reconcile()
    else:
        jobs.release(claim)
    assert jobs.get(job).status is Status.CANCELLING
    assert jobs.claim(job, "next").status is Status.CANCELLING


def test_events_go_on_after_a_broker_has_forgotten_what_it_was_told(jobs, redis):
    job, claim = claimed(jobs)
    jobs.tell(claim, [("log", '{"text":"a"}')], 0, 40)
    redis.hset(f"mp:job:{job}", "told", 20)
    jobs.tell(claim, [("log", '{"text":"b"}')], 40, 60)
    assert [event.data["text"] for event in jobs.events(job)[2:]] == ["a", "b"]


def test_what_a_retry_takes_over_is_kept_while_it_waits(jobs, redis):
    job, claim = claimed(jobs)
    jobs.finish(claim, Status.FAILED)
    redis.zadd("mp:ended", {job: 1})
    assert jobs.retry(job, new_id("job"))
    assert jobs.reconcile().forget == []


def test_a_parent_that_fails_leaves_no_children_at_work(jobs):
    parent, claim = claimed(jobs)
    waiting, running = (submitted(jobs, parent=parent) for _ in range(2))
    jobs.claim(running, "w")
    jobs.finish(claim, Status.FAILED)
    assert jobs.get(waiting).status is Status.CANCELLED
    assert jobs.get(running).status is Status.CANCELLING


def test_a_retry_is_a_new_job_with_the_same_order(jobs):
    job, claim = claimed(jobs, order='{"b":2}', models=("m@1",), label="x")
    again = new_id("job")
    assert not jobs.retry(job, again)
    jobs.finish(claim, Status.FAILED, {"code": "internal", "detail": "…"})
    assert jobs.retry(job, again)
    copy = jobs.get(again)
    assert (copy.order, copy.models, copy.label, copy.retry_of) == ('{"b":2}', ("m@1",), "x", job)
    assert jobs.claim(again, "w") is not None
    assert jobs.get(job).status is Status.FAILED


def test_a_job_is_not_retried_again_while_its_retry_has_not_ended(jobs):
    job, claim = claimed(jobs)
    jobs.finish(claim, Status.FAILED)
    first, second = new_id("job"), new_id("job")
    assert jobs.retry(job, first)
    assert jobs.retry(job, first)  # the same call again
    assert not jobs.retry(job, second)
    assert jobs.get(second) is None
    jobs.cancel(first)
    assert jobs.retry(job, second)


def test_a_job_is_not_deleted_while_another_one_does_it_again(jobs):
    job, claim = claimed(jobs)
    jobs.finish(claim, Status.FAILED)
    first, second = new_id("job"), new_id("job")
    assert jobs.retry(job, first)
    assert not jobs.delete(job)
    jobs.cancel(first)
    assert jobs.retry(first, second)
    assert not jobs.delete(job)
    jobs.cancel(second)
    assert jobs.delete(job)


def test_a_job_without_failures_is_not_retried(jobs):
    job, claim = claimed(jobs)
    jobs.finish(claim, Status.SUCCEEDED, None, (1, 0, 1))
    assert not jobs.retry(job, new_id("job"))


def test_only_an_ended_job_is_deleted_and_then_leaves_nothing(jobs, redis):
    job, claim = claimed(jobs)
    assert not jobs.delete(job)
    jobs.finish(claim, Status.SUCCEEDED)
    assert jobs.delete(job)
    assert jobs.get(job) is None
    assert set(redis.keys("mp:*")) - {b"mp:reconciled"} == {b"mp:metrics"}


def test_an_ended_job_goes_with_all_its_keys_when_its_time_is_over(jobs, redis):
    job, claim = claimed(jobs)
    jobs.finish(claim, Status.SUCCEEDED)
    redis.zadd("mp:ended", {job: 1})
    assert jobs.reconcile().forget == [job]
    assert set(redis.keys("mp:*")) - {b"mp:reconciled"} == {b"mp:metrics"}


def test_no_more_ended_jobs_are_kept_than_the_bound(redis):
    jobs = Jobs(redis, JobLimits(max_kept=2))
    ended = [claimed(jobs) for _ in range(4)]
    for _, claim in ended:
        jobs.finish(claim, Status.SUCCEEDED)
    assert set(jobs.reconcile().forget) <= {job for job, _ in ended}
    assert len(jobs.list().jobs) == 2


def test_lists_are_of_one_owner_newest_first_and_continue_at_the_cursor(jobs):
    mine = [submitted(jobs, owner="me") for _ in range(5)]
    submitted(jobs, owner="other")
    mine.sort(reverse=True)
    first = jobs.list("me", limit=3)
    rest = jobs.list("me", limit=3, cursor=first.cursor)
    assert [job.id for job in first.jobs + rest.jobs] == mine
    assert rest.cursor is None
    assert len(jobs.list(limit=50).jobs) == 6


@pytest.mark.parametrize(
    "filters",
    [
        {"status": Status.RUNNING},
        {"kind": Task.IMPORT},
        {"label": "x"},
        {"model": "m@2"},
        {"model": "m"},
    ],
)
def test_a_list_keeps_what_its_filter_names(jobs, filters):
    for _ in range(3):
        submitted(jobs, models=("other@1",))
    job, _ = claimed(jobs, kind=Task.IMPORT, label="x", models=("m@2",))
    assert [found.id for found in jobs.list(**filters).jobs] == [job]


def test_a_list_is_bounded_in_time(jobs):
    submitted(jobs)
    hour = 3600
    assert jobs.list(until=time.time() - hour).jobs == []
    assert jobs.list(since=time.time() + hour).jobs == []
    assert len(jobs.list(since=time.time() - hour, until=time.time() + hour).jobs) == 1


def test_a_foreign_name_builds_no_key(jobs):
    for evil in ("job_1", "job_*", "../x", "", "job_" + "0" * 26 + "\n"):
        with pytest.raises(ValueError, match="not a job id"):
            jobs.get(evil)
    with pytest.raises(ValueError, match="not a name"):
        jobs.list("a b")


def test_health_tells_workers_queues_and_the_disk(jobs):
    submitted(jobs)
    jobs.alive(Queue.PARSE, "host-1")
    health = jobs.health()
    assert health.workers == {"parse": 1, "infer": 0, "train": 0}
    assert (health.queued, health.running, health.full, health.persistent) == (1, 0, False, True)
    assert health.memory_bytes > 0


def test_ids_sort_by_time_and_children_have_fixed_ids():
    parent = new_id("job")
    assert child_id(parent, 1) == child_id(parent, 1) != child_id(parent, 2)
    assert len({new_id("job") for _ in range(1000)}) == 1000


def test_the_service_sees_what_the_worker_does(jobs, settings):
    async def story() -> None:
        async with connect_async(settings) as client:
            service = AsyncJobs(client)
            order = new(direct=True, answer_to="s1")
            assert await service.submit(order)
            waiting = asyncio.create_task(service.answers("s1"))
            claim = await asyncio.to_thread(jobs.claim, order.id, "w")
            await asyncio.to_thread(jobs.finish, claim, Status.SUCCEEDED)
            assert await waiting == [jobs.get(order.id)]
            assert await service.get(order.id) == jobs.get(order.id)
            assert await service.list() == jobs.list()
            assert await service.users("set_1") == set()
            assert [event.kind for event in await service.events(order.id)][-1] == "done"
            client_events = f"mp:events:{order.id}"
            await client.delete(client_events)
            assert [event.kind for event in await service.events(order.id)] == ["done"]
            assert (await service.health()).queued == 0
            assert not await service.retry(order.id, new_id("job"))
            assert await service.cancel(order.id) is Status.SUCCEEDED
            assert await service.delete(order.id)

    asyncio.run(story())


def test_a_broker_that_is_not_there_is_one_kind_of_error(tmp_path):
    settings = WorkerSettings(redis_url=f"unix://{tmp_path}/none.sock")
    from workers.broker import connect

    with connect(settings) as client, pytest.raises(BrokerAway):
        Jobs(client).get(new_id("job"))

    async def ask() -> None:
        async with connect_async(settings) as client:
            await AsyncJobs(client).submit(new())

    with pytest.raises(BrokerAway):
        asyncio.run(ask())


def test_leases_that_ran_out_while_the_broker_was_away_are_given_time(jobs, redis):
    job, claim = claimed(jobs)
    lapse(redis, job)
    redis.set("mp:reconciled", 1)
    jobs.reconcile()
    assert jobs.get(job).status is Status.RUNNING
    assert jobs.beat(claim) is Beat.OK


def test_an_attempt_handed_out_twice_by_a_forgetful_broker_is_told_apart(jobs):
    job, claim = claimed(jobs)
    forgotten = replace(claim, worker="another")
    assert jobs.beat(forgotten) is Beat.LOST
    assert not jobs.finish(forgotten, Status.SUCCEEDED)
    assert jobs.get(job).status is Status.RUNNING

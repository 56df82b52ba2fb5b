import pytest

from workers.contract import Queue
from workers.lanes import OwnerSide, WorkerSide, recover


@pytest.fixture
def owner(redis):
    return OwnerSide(redis, "job_a.1")


@pytest.fixture
def worker(redis):
    return WorkerSide(redis, "host.1")


def taken(worker, model="m@1", budget=1000):
    assert worker.wait(1) == model
    return worker.take(model, budget)


def lose(redis, worker):
    """The worker has long been silent."""
    redis.zadd("mp:alive:infer", {worker.worker: 1})
    return recover(redis)


def test_an_entry_goes_to_a_worker_and_its_reply_comes_back(owner, worker):
    seq = owner.push("m@1", 10, b"graphs")
    (entry,) = taken(worker)
    assert entry.content == b"graphs"
    assert worker.reply("m@1", [(entry, b"|answer|")]) == 1
    assert [(reply.seq, reply.content) for reply in owner.collect(1)] == [(seq, b"|answer|")]
    assert owner.waiting == {}


def test_a_take_is_cut_by_edges_but_never_empty(owner, worker):
    for edges in (900, 60, 60, 2000):
        owner.push("m@1", edges, b"x")
    assert [len(taken(worker)) for _ in range(3)] == [2, 1, 1]


def test_each_take_is_of_one_model_and_all_models_have_their_turn(owner, worker):
    for model in ("a@1", "b@1", "a@1"):
        owner.push(model, 1, model.encode())
    assert [entry.content for entry in taken(worker, "a@1")] == [b"a@1", b"a@1"]
    assert [entry.content for entry in taken(worker, "b@1")] == [b"b@1"]
    assert worker.wait(0.01) is None


def test_entries_of_a_lost_worker_return_in_order_and_then_go_alone(owner, worker, redis):
    for content in (b"1", b"2", b"3"):
        owner.push("m@1", 1, content, lives=3)
    assert len(taken(worker)) == 3
    assert lose(redis, worker) == (3, 0)
    owner.push("m@1", 1, b"4")
    second = WorkerSide(redis, "host.2")
    found = [taken(second) for _ in range(4)]
    assert [len(entries) for entries in found] == [1, 1, 1, 1]
    assert sorted(entries[0].content for entries in found) == [b"1", b"2", b"3", b"4"]


def test_an_entry_that_costs_all_its_workers_is_answered_so_and_its_neighbours_live(
    owner, worker, redis
):
    poison, neighbour = owner.push("m@1", 1, b"poison"), owner.push("m@1", 1, b"fine")
    while True:
        entries = taken(worker)
        if any(entry.content == b"poison" for entry in entries):
            if lose(redis, worker)[1]:
                break
            continue
        worker.reply("m@1", [(entry, b"ok") for entry in entries])
    for entry in worker.take("m@1", 10):
        worker.reply("m@1", [(entry, b"ok")])
    replies = {reply.seq: reply.content for reply in owner.collect(1)}
    assert replies == {poison: None, neighbour: b"ok"}


def test_a_living_worker_keeps_what_it_holds(owner, worker, redis, jobs):
    owner.push("m@1", 1, b"x")
    taken(worker)
    jobs.alive(Queue.INFER, worker.worker)
    assert recover(redis) == (0, 0)


def test_the_late_reply_of_a_worker_thought_lost_is_dropped(owner, worker, redis):
    owner.push("m@1", 1, b"x")
    (late,) = taken(worker)
    lose(redis, worker)
    second = WorkerSide(redis, "host.2")
    (entry,) = taken(second)
    assert worker.reply("m@1", [(late, b"late")]) == 0
    assert second.reply("m@1", [(entry, b"good")]) == 1
    assert [reply.content for reply in owner.collect(1)] == [b"good"]


def test_what_nobody_waits_for_is_not_computed(owner, worker):
    owner.push("m@1", 1, b"x")
    owner.forget()
    assert taken(worker) == []


def test_everything_of_an_owner_that_is_gone_expires(owner, worker, redis):
    owner.push("m@1", 1, b"x")
    assert 0 < redis.pttl("mp:entry:job_a.1|0") <= 60_000
    worker.reply("m@1", [(taken(worker)[0], b"y")])
    assert 0 < redis.pttl("mp:reply:job_a.1") <= 60_000


def test_an_entry_that_the_broker_lost_is_pushed_again(owner, worker, redis):
    seq = owner.push("m@1", 1, b"x")
    owner.keep()
    assert redis.llen("mp:lane:m@1") == 1
    redis.flushall()
    owner.keep()
    worker.reply("m@1", [(taken(worker)[0], b"y")])
    assert owner.collect(1)[0].seq == seq


def test_keeping_an_answered_entry_pushes_nothing(owner, worker, redis):
    owner.push("m@1", 1, b"x")
    worker.reply("m@1", [(taken(worker)[0], b"y")])
    owner.keep()
    assert redis.llen("mp:lane:m@1") == 0


def test_a_lane_whose_token_went_down_with_a_worker_is_served_again(owner, worker, redis):
    owner.push("m@1", 1, b"x")
    assert worker.wait(1) == "m@1"
    assert worker.wait(0.01) is None
    recover(redis)
    assert len(taken(worker)) == 1


def test_reply_and_wait_answers_even_when_the_broker_has_forgotten_its_scripts(
    owner, worker, redis
):
    owner.push("m@1", 1, b"x")
    (entry,) = taken(worker)
    redis.script_flush()
    assert worker.reply_and_wait("m@1", [(entry, b"y")], 0.01) is None
    assert [reply.content for reply in owner.collect(1)] == [b"y"]


def test_what_somebody_waits_for_overtakes_the_bulk_in_its_own_order(redis, worker):
    for owner in ("bulk.job_a", "job_b", "bulk.job_c", "job_d"):
        OwnerSide(redis, owner).push("m@1", 5, owner.encode())
    assert [entry.content for entry in taken(worker)] == [b"job_b", b"job_d"]
    assert [entry.content for entry in taken(worker)] == [b"bulk.job_a", b"bulk.job_c"]

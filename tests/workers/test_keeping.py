"""What workers keep beside their jobs: answers, parsed input, figures, files."""

import json
import logging
import os

from tests.workers.conftest import card
from workers import logs
from workers.answers import Answers, said_of
from workers.broker import make_celery
from workers.contract import Queue, Task
from workers.files import Files, written
from workers.jobs import Jobs, NewJob, Status, new_id
from workers.lanes import OwnerSide, WorkerSide
from workers.metrics import Tally
from workers.parsed import ParsedCache, source_key
from workers.parser import Parsed, Source
from workers.reconciler import Reconciler
from workers.said import Said, pack_said
from workers.stopping import Stopping
from workers.sweeping import sweep


def digest(number: int) -> str:
    return f"{number:032x}"


def known(redis, answers, of, digests):
    owner = OwnerSide(redis, "owner")
    found = said_of(owner.ask(answers.name(of), digests, of.id, 1, b"", lives=2)[1])
    return [one and one.values for one in found]


def kept(*values):
    return pack_said(Said(values))


def test_what_is_not_known_is_on_its_way_to_the_lane_in_the_same_step(redis):
    answers, owner = Answers(redis, 100, "float32"), OwnerSide(redis, "owner")
    of = card("a")
    pushed, _ = owner.ask(answers.name(of), [digest(1)], of.id, 1, b"work", lives=2)
    assert [entry.content for entry in WorkerSide(redis, "w").take(of.id, 100)] == [b"work"]
    assert list(owner.waiting) == [pushed]
    answers.keep(of, {digest(1): kept(1.5)})
    pushed, _ = owner.ask(answers.name(of), [digest(1), digest(2)], of.id, 1, b"work", lives=2)
    assert pushed is None
    assert WorkerSide(redis, "w").take(of.id, 100) == []


def test_answers_are_found_by_structure_model_weights_and_precision(redis):
    answers = Answers(redis, 100, "float32")
    answers.keep(card("a"), {digest(1): kept(1.5, -2.0)})
    assert known(redis, answers, card("a"), [digest(0), digest(1)]) == [None, (1.5, -2.0)]
    assert known(redis, answers, card("b"), [digest(1)]) == [None]
    assert known(redis, Answers(redis, 100, "bfloat16"), card("a"), [digest(1)]) == [None]


def test_what_was_judged_by_another_guide_is_judged_anew(redis):
    answers, of = Answers(redis, 100, "float32"), card("a")
    answers.keep(of, {digest(1): kept(1.5)})
    guided = of.model_copy(update={"guide_sha256": "1" * 64})
    assert known(redis, answers, guided, [digest(1)]) == [None]
    assert known(redis, answers, of, [digest(1)]) == [(1.5,)]


def test_what_another_version_kept_is_computed_anew(redis):
    answers, of = Answers(redis, 100, "float32"), card("a")
    answers.keep(of, {digest(1): b"\xffsome later layout", digest(2): kept(2.5)})
    assert known(redis, answers, of, [digest(1), digest(2)]) == [None, (2.5,)]


def test_answers_of_a_model_that_nobody_asks_any_more_go(redis):
    answers = Answers(redis, 100, "float32")
    answers.keep(card("a"), {digest(1): kept(1.5)})
    assert all(redis.ttl(key) > 0 for key in redis.keys("mp:cache:*"))


def test_answers_are_bounded_and_those_asked_for_stay(redis):
    answers = Answers(redis, 20, "float32")
    answers.keep(card("a"), {digest(0): kept(0.0)})
    for number in range(1, 200):
        answers.keep(card("a"), {digest(number): kept(1.0)})
        assert known(redis, answers, card("a"), [digest(0)]) == [(0.0,)]
    held = known(redis, answers, card("a"), [digest(number) for number in range(200)])
    assert sum(one is not None for one in held) <= 21


def test_no_answers_are_kept_when_none_are_wanted(redis):
    answers = Answers(redis, 0, "float32")
    answers.keep(card("a"), {digest(1): kept(1.0)})
    assert known(redis, answers, card("a"), [digest(1)]) == [None]


def parsed(size: int) -> Parsed:
    return Parsed(0, "a", "H", 1, "", (), b"", None, {"k": b"x" * size}, {}, None)


def test_parsed_input_is_bounded_in_bytes_and_the_oldest_goes():
    cache = ParsedCache(10_000)
    for number in range(20):
        cache.keep(number, (parsed(400),))
    assert cache.get(0) is None
    assert cache.get(19) is not None
    cache.keep("big", (parsed(5_000),))
    assert cache.get("big") is None


def test_sources_that_read_alike_have_one_key():
    def key(**parts):
        return source_key(
            Source(**{"index": 0, "name": "a", "format": None, "data": b"x", **parts}), "how"
        )

    assert key() == key(index=7)
    assert len({key(), key(name="b"), key(format="cif"), key(data=b"y")}) == 4


def test_figures_of_all_processes_add_up(redis, jobs):
    for tally in (Tally(), Tally()):
        tally.add("cache_hits:answers", 3)
        tally.spent("stage_seconds:infer", 0.004)
        tally.flush(redis)
        tally.flush(redis)
    counters = jobs.health().counters
    assert counters["cache_hits:answers"] == 6
    assert counters["stage_seconds:infer:count"] == 2
    assert counters["stage_seconds:infer:in:0.005"] == 2
    assert "stage_seconds:infer:in:0.002" not in counters
    assert abs(counters["stage_seconds:infer:sum"] - 0.008) < 1e-9


def old(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1, 1))
    return path


def test_a_sweep_removes_what_no_job_stands_behind(jobs, tmp_path):
    files = Files(tmp_path)
    here, gone = new_id("job"), new_id("job")
    jobs.submit(NewJob(id=here, kind=Task.PREDICT, order="{}"))
    kept = [
        old(files.upload(here)),
        old(files.result(here)),
        old(files.models() / "m" / "card.json"),
        old(tmp_path / "scratch" / f"{here}.1" / "set" / "refused.jsonl"),
    ]
    fresh = files.upload(new_id("job"))
    fresh.parent.mkdir(parents=True, exist_ok=True)
    fresh.write_text("being submitted")
    left = [old(files.upload(gone)), old(files.result(gone))]
    left.append(old(files.upload(here).with_name(f".{here}.pack.1.99")))
    assert sweep(files, jobs) == 3
    assert all(path.exists() for path in (*kept, fresh))
    assert not any(path.exists() for path in left)


def test_a_sweep_removes_folders_of_trainings_that_are_gone(jobs, tmp_path):
    files, known, gone = Files(tmp_path), new_id("job"), new_id("job")
    jobs.submit(NewJob(id=known, kind=Task.TRAIN, order="{}"))
    for job in (known, gone):
        files.trial(job, 0).mkdir(parents=True)
        os.utime(files.training(job), (1, 1))
    assert sweep(files, jobs) == 1
    assert [path.name for path in files.trainings().iterdir()] == [known]


def test_the_chores_remove_the_files_of_jobs_whose_time_is_over(jobs, settings, redis):
    files = Files(settings.state)
    job = new_id("job")
    jobs.submit(NewJob(id=job, kind=Task.PREDICT, order="{}"))
    jobs.finish(jobs.claim(job, "w"), Status.SUCCEEDED)
    old(files.result(job))
    redis.zadd("mp:ended", {job: 1})
    chores = Reconciler(jobs, make_celery(settings), files, settings, Stopping())
    chores.look()
    assert not files.result(job).exists()
    assert jobs.get(job) is None


def test_the_chores_are_done_by_one_process_at_a_time(jobs, settings, redis):
    chores = Reconciler(jobs, make_celery(settings), Files(settings.state), settings, Stopping())
    redis.set("mp:reconciling", 1)
    chores.look()
    assert redis.get("mp:reconciled") is None


def test_the_chores_publish_what_nobody_has_claimed(jobs, settings, redis):
    job = new_id("job")
    jobs.submit(NewJob(id=job, kind=Task.PREDICT, order="{}"))
    redis.zadd("mp:due", {job: 1})
    Reconciler(jobs, make_celery(settings), Files(settings.state), settings, Stopping()).look()
    (message,) = redis.lrange(Queue.PARSE, 0, -1)
    assert json.loads(message)["headers"]["task"] == "predict"


def test_nearly_full_memory_stops_new_jobs_only(jobs, settings, redis):
    small = settings.model_copy(update={"max_redis_bytes": 1})
    running = new_id("job")
    jobs.submit(NewJob(id=running, kind=Task.PREDICT, order="{}"))
    claim = jobs.claim(running, "w")
    Reconciler(jobs, make_celery(small), Files(small.state), small, Stopping()).look()
    assert jobs.health().full
    assert not jobs.submit(NewJob(id=new_id("job"), kind=Task.PREDICT, order="{}"))
    assert jobs.finish(claim, Status.SUCCEEDED)


def test_when_memory_runs_short_the_oldest_ended_jobs_make_room(jobs, settings, redis):
    ended = sorted(new_id("job") for _ in range(40))
    for job in ended:
        jobs.submit(NewJob(id=job, kind=Task.PREDICT, order="{}"))
        jobs.finish(jobs.claim(job, "w"), Status.SUCCEEDED)
    small = settings.model_copy(update={"max_redis_bytes": 1})
    Reconciler(jobs, make_celery(small), Files(small.state), small, Stopping()).look()
    assert [jobs.get(job) is None for job in ended] == [True] * 2 + [False] * 38


def test_a_full_broker_still_lets_jobs_end(redis, jobs: Jobs):
    job = new_id("job")
    jobs.submit(NewJob(id=job, kind=Task.PREDICT, order="{}"))
    claim = jobs.claim(job, "w")
    redis.config_set("maxmemory", 1)
    try:
        assert jobs.finish(claim, Status.SUCCEEDED)
    finally:
        redis.config_set("maxmemory", 0)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a" / "b"
    try:
        with written(path, "1") as file:
            file.write(b"half")
            raise KeyError
    except KeyError:
        pass
    assert list(path.parent.iterdir()) == []
    with written(path, "2", sync=False) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"


def line(formatter: logging.Formatter, text: str) -> str:
    return formatter.format(logging.LogRecord("n", logging.INFO, "p", 1, text, (), None))


def test_log_lines_carry_request_and_job_and_no_control_characters():
    with logs.about(request_id="req_1", job="job_1", attempt=2):
        readable = line(logs.Readable(), "evil\n\x1b[31m name\u2028")
        parts = json.loads(line(logs.JsonLine(), "evil\nname"))
    assert readable.isprintable()
    assert "[req_1] [job_1]" in readable
    assert (parts["request_id"], parts["job"]) == ("req_1", "job_1")
    assert "job_1" not in line(logs.Readable(), "after")

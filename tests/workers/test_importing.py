import errno
import json
import logging
import os

import pytest

from workers import limited
from workers.contract import ImportOrder, Queue, Task
from workers.files import Files
from workers.importing import Importer
from workers.jobs import NewJob, Status, new_id
from workers.limited import Bounds
from workers.metrics import Tally
from workers.owning import Hold, Holder, Outcome
from workers.pack import PackWriter
from workers.pulse import Pulse
from workers.stopping import Stopping


class Desk:
    """Imports jobs with a played conversion in a real limited process."""

    def __init__(self, jobs, state) -> None:
        self.jobs = jobs
        self.files = Files(state)
        self.importer = Importer(self.files, module="tests.workers.played_import")
        tally = Tally()
        self.holder = Holder(jobs, Pulse(jobs, Queue.TRAIN, "t.1", tally), Stopping(), 5, tally)

    def submit(self, *files: bytes, **order) -> str:
        job = new_id("job")
        path = self.files.upload(job)
        path.parent.mkdir(parents=True)
        with path.open("wb") as file:
            pack = PackWriter(file)
            for data in files:
                pack.begin("--odd name.pth.tar")
                pack.write(data)
                pack.end()
            pack.close()
        body = ImportOrder(**{"name": "mine", **order}).model_dump_json()
        assert self.jobs.submit(NewJob(id=job, kind=Task.IMPORT, order=body))
        return job

    def run(self, *files: bytes, **order):
        job = self.submit(*files, **order)
        assert self.holder.run(job, self.importer.run)
        return self.jobs.get(job)


@pytest.fixture
def desk(jobs, settings) -> Desk:
    return Desk(jobs, settings.state)


def test_a_checkpoint_becomes_the_next_version_and_leaves_nothing_behind(desk):
    first, second = desk.run(b"good"), desk.run(b"good")
    assert (first.status, second.status) == (Status.SUCCEEDED, Status.SUCCEEDED)
    lines = [json.loads(desk.files.result(job.id).read_text()) for job in (first, second)]
    assert [line["model"] for line in lines] == ["mine@1", "mine@2"]
    assert (desk.files.models() / "mine" / "2" / "card.json").exists()
    assert list((desk.files.state / "scratch").iterdir()) == []
    assert not desk.files.upload(first.id).exists()


def test_a_second_attempt_registers_no_second_version(desk):
    job = desk.submit(b"good")
    claim = desk.jobs.claim(job, "first")
    with desk.holder.pulse.holding(claim) as grip:
        desk.importer.run(Hold(desk.holder, grip))  # and is killed before it can finish
    desk.jobs.release(claim)
    assert desk.holder.run(job, desk.importer.run)
    assert json.loads(desk.files.result(job).read_text())["model"] == "mine@1"
    assert not (desk.files.models() / "mine" / "2").exists()


def test_an_end_that_the_broker_forgot_is_told_again(desk):
    job = desk.run(b"good")
    desk.jobs.redis.hset(f"mp:job:{job.id}", "status", "queued")
    assert desk.holder.run(job.id, desk.importer.run)
    assert desk.jobs.get(job.id).status is Status.SUCCEEDED
    assert not (desk.files.models() / "mine" / "2").exists()


def test_a_version_predicts_what_those_before_it_did(desk):
    desk.run(b"good")
    job = desk.run(b"other")
    assert (job.status, job.error["code"]) == (Status.FAILED, "invalid_input")
    assert job.error["got"] == "band-gap in eV"
    assert not (desk.files.models() / "mine" / "2").exists()
    assert desk.run(b"other", name="mine-too").status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ([b"bad"], "bad_checkpoint"),
        ([b"greedy"], "bad_checkpoint"),
        ([b"crash"], "bad_checkpoint"),
        ([], "empty_input"),
        ([b""], "empty_input"),
        ([b"good", b"good"], "invalid_input"),
    ],
)
def test_what_cannot_be_imported_fails_with_its_code(desk, files, code, caplog):
    caplog.set_level(logging.CRITICAL)
    job = desk.run(*files)
    assert (job.status, job.error["code"]) == (Status.FAILED, code)


def test_a_result_that_finds_no_room_says_so_and_can_be_made_again(desk, caplog):
    caplog.set_level(logging.CRITICAL)

    def work(_: Hold) -> Outcome:
        raise OSError(errno.ENOSPC, "No space left on device")

    job = desk.submit(b"good")
    assert desk.holder.run(job, work)
    ended = desk.jobs.get(job)
    assert (ended.status, ended.error["code"]) == (Status.FAILED, "internal")
    assert "room" in ended.error["detail"]
    assert desk.files.upload(job).exists()


def test_options_and_the_files_name_reach_the_conversion_as_values(desk):
    job = desk.run(b"bad", property="gap", title="--class=x", classes=("no", "yes"))
    assert job.error["file"] == "--odd name.pth.tar"
    assert job.error["hint"] == (
        "--name=mine --file-name=--odd name.pth.tar --property=gap --title=--class=x "
        "--class=no --class=yes"
    )


def snippet(code: str, bounds: Bounds) -> limited.Ended:
    return limited.run("timeit", ["-n1", "-r1", code], bounds)


def test_memory_time_and_disk_of_a_limited_process_are_bounded(tmp_path):
    greedy = snippet("bytearray(10**10)", Bounds(memory_bytes=10**9))
    assert (greedy.code, "MemoryError" in greedy.errors) == (1, True)
    assert snippet("while True: pass", Bounds(cpu_s=1)).code < 0
    assert snippet("import time; time.sleep(60)", Bounds(wall_s=0.3)).code is None
    big = f"open({str(tmp_path / 'big')!r}, 'wb').write(bytes(10**7))"
    assert snippet(big, Bounds(file_bytes=10**6)).code != 0


def test_a_limited_process_inherits_no_secret(monkeypatch):
    monkeypatch.setitem(os.environ, "MATPROP_ADMIN_KEY", "secret")
    ended = snippet("import os; print(dict(os.environ))", Bounds())
    assert ended.code == 0
    assert "secret" not in ended.output


def test_a_limited_process_ends_when_its_run_has_to_stop():
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        limited.run("timeit", ["-n1", "-r1", "import time; time.sleep(60)"], Bounds(), stop)

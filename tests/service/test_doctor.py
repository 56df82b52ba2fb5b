"""What the doctor finds, says and leaves behind."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from service.cli.doctor import as_text, contradictions, findings
from service.settings import ServiceSettings
from workers.checkup import broker, machine
from workers.checkup.finding import Finding, Verdict
from workers.contract import Queue
from workers.jobs import Jobs
from workers.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
Found = dict[str, list[Finding]]


def by_name(found: Iterator[Finding]) -> Found:
    named: Found = {}
    for one in found:
        named.setdefault(one.name, []).append(one)
    return named


def verdicts(found: list[Finding]) -> list[Verdict]:
    return [one.verdict for one in found]


@pytest.fixture
def looked(settings: WorkerSettings) -> Callable[[], Found]:
    return lambda: by_name(broker.of_broker(settings))


def test_a_good_broker_with_workers_is_fine(jobs: Jobs, looked: Callable[[], Found]) -> None:
    for queue in Queue:
        jobs.alive(queue, f"{queue}.1", {"versions": {}})
    found = looked()
    assert {one.verdict for each in found.values() for one in each} == {Verdict.OK}
    assert set(found) == {"broker", "rights", "durability", "memory", "clocks", "queue", "workers"}


def test_a_broker_that_forgets_or_drops_jobs_fails(
    broker: Any, redis: Redis, looked: Callable[[], Found]
) -> None:
    redis.config_set("appendonly", "no")
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = looked()
    finally:
        redis.config_set("appendonly", "yes")
        redis.config_set("maxmemory-policy", "noeviction")
    assert verdicts(found["durability"] + found["eviction"]) == [Verdict.FAIL] * 2
    assert "appendonly yes" in found["durability"][0].mend


def test_little_memory_warns_before_it_fails(settings: WorkerSettings, redis: Redis) -> None:
    about: dict[str, Any] = redis.info()
    told = {
        share: [one.verdict for one in broker.memory(settings, about | {"used_memory": used})]
        for share, used in (
            (share, int(share * settings.max_redis_bytes)) for share in (0.1, 0.75, 0.9)
        )
    }
    assert [each[0] for each in told.values()] == [Verdict.OK, Verdict.WARN, Verdict.FAIL]


def test_missing_workers_old_ones_and_wrong_clocks_are_told(
    jobs: Jobs, looked: Callable[[], Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.alive(Queue.PARSE, "parse.1", {"versions": {"matprop": "0.0.1"}})
    monkeypatch.setattr("workers.moves.time.time", lambda: 0.0)
    jobs.alive(Queue.TRAIN, "train.1", {"versions": {"matprop": "0.1.0"}})
    monkeypatch.undo()
    found = looked()
    assert verdicts(found["workers"]) == [Verdict.OK, Verdict.FAIL, Verdict.OK]
    assert "0.0.1 (1 workers)" in found["versions"][0].found
    assert "train.1" in found["clocks"][1].found


def test_an_old_waiting_job_is_told(redis: Redis, looked: Callable[[], Found]) -> None:
    redis.zadd("mp:waiting:parse", {"job_01JD3Q5T8Z6M4W2K7N9V1X3B5C": 1})
    assert verdicts(looked()["queue"]) == [Verdict.WARN]


def test_without_a_broker_there_is_one_finding_and_no_password_in_it() -> None:
    settings = WorkerSettings(redis_url="redis://me:secret@127.0.0.1:1/0")
    [one] = broker.of_broker(settings)
    assert one.verdict is Verdict.FAIL
    assert "secret" not in one.found


def test_a_state_folder_is_written_and_left_as_it_was(tmp_path: Path) -> None:
    found = by_name(machine.of_state(WorkerSettings(state=tmp_path), 1))
    assert found["state"][0].verdict is not Verdict.FAIL
    assert list(tmp_path.iterdir()) == []
    [missing] = machine.of_state(WorkerSettings(state=tmp_path / "none"), 1)
    assert missing.verdict is Verdict.FAIL
    full = by_name(machine.of_state(WorkerSettings(state=tmp_path), 10**18))
    assert verdicts(full["disk"]) == [Verdict.FAIL]


def test_a_store_in_a_folder_gives_back_what_it_was_given(tmp_path: Path) -> None:
    [one] = machine.of_store(WorkerSettings(store_url=f"file://{tmp_path}"))
    assert one.verdict is Verdict.OK, one
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_model_whose_weights_were_changed_is_told(tmp_path: Path, put_model: Any) -> None:
    put_model(tmp_path / "models", "tested", 1)
    (tmp_path / "models/tested/1/weights.safetensors").write_bytes(b"other")
    found = list(machine.of_models(WorkerSettings(state=tmp_path)))
    assert verdicts(found) == [Verdict.FAIL]
    assert "tested@1" in found[0].found


@pytest.mark.parametrize(
    ("told", "device", "verdict"),
    [
        ({"there": False}, "auto", Verdict.OK),
        ({"there": False}, "cuda", Verdict.FAIL),
        ({"there": True, "name": "H", "works": True, "free": 1e9}, "cuda:0", Verdict.OK),
        ({"there": True, "name": "H", "works": False, "free": 1e9}, "auto", Verdict.FAIL),
    ],
)
def test_the_device_is_judged_by_what_torch_tells(
    told: dict[str, Any], device: str, verdict: Verdict
) -> None:
    [one] = machine.judged(WorkerSettings(device=device), {"torch": "2.13", **told})
    assert one.verdict is verdict


def test_settings_that_nobody_reads_or_that_undo_each_other_are_told() -> None:
    environment = {"MATPROP_RDIS_URL": "x", "MATPROP_STATE": "y", "MATPROP_URL": "z"}
    told = [one.found for one in contradictions(ServiceSettings(lease_s=2), environment)]
    assert len(told) == 2
    assert "MATPROP_RDIS_URL" in told[0]
    assert "MATPROP_LEASE_S" in told[1]


def test_a_bad_setting_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATPROP_PORT", "secret")
    [one] = findings({}, None)
    assert one.verdict is Verdict.FAIL
    assert "MATPROP_PORT" in one.found
    assert "secret" not in as_text(one)


def test_it_looks_where_workers_run_without_what_only_the_service_has(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('fastapi', 'starlette', 'uvicorn', 'duckdb', 'prometheus_client'):\n"
        "    sys.modules[name] = None\n"
        "from service.cli.main import main\n"
        "main()"
    )
    environment = {
        "PATH": "",
        "PYTHONPATH": str(ROOT),
        "MATPROP_STATE": str(tmp_path),
        "MATPROP_REDIS_URL": "redis://127.0.0.1:1/0",
    }
    command = [sys.executable, "-c", program, "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stderr == ""
    found = {check["name"]: check["verdict"] for check in json.loads(done.stdout)["checks"]}
    assert found["broker"] == Verdict.FAIL
    assert found["models"] == Verdict.OK


def test_the_command_says_so_by_its_status_and_brings_no_numbers(
    broker: Any, tmp_path: Path
) -> None:
    program = (
        "import sys; sys.argv = ['matprop', 'doctor', '--json', '--state', sys.argv[1]]\n"
        "import atexit; from service.cli.main import main\n"
        "heavy = {'torch', 'numpy', 'pymatgen', 'scipy'}\n"
        "atexit.register(lambda: sys.stderr.write(repr(heavy & set(sys.modules))))\n"
        "main()"
    )
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "MATPROP_REDIS_URL": broker.url,
        "MATPROP_DEVICE": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    assert done.stderr == "set()"
    told = json.loads(done.stdout)
    assert (done.returncode, told["ok"]) == (1, False)  # nobody works there
    named = {one["name"] for one in told["checks"]}
    assert {"broker", "state", "software", "device", "models", "open files"} <= named
    assert all(one["mend"] for one in told["checks"] if one["verdict"] != "ok")

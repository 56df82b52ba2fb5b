"""Service and workers on machines of their own, played by state folders: only the broker and the store are shared."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError
from redis import Redis

from tests.conftest import Broker
from tests.journeys.conftest import ROOT, Running, kill
from tests.journeys.test_training import ended, first_structure, ordered, sent
from tests.object_store import BUCKET, ObjectStore
from tests.ports import free_port


class Machines:
    """Processes of matprop, each with a state folder of its own."""

    def __init__(self, broker: Broker, store: ObjectStore, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "MATPROP_REDIS_URL": broker.url,
            "MATPROP_STORE_URL": f"s3://{BUCKET}/journey",
            "MATPROP_STORE_ENDPOINT": store.url,
            "MATPROP_STORE_TIMEOUT_S": "2",
            "MATPROP_INPUT_ROOTS": f"s3://{BUCKET}/inputs",
            "MATPROP_LEASE_S": "3",
            "MATPROP_STORE_SNAPSHOT_S": "0.5",
            "OMP_NUM_THREADS": "1",
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str, **more: str) -> subprocess.Popen[bytes]:
        state = self.folder / name
        state.mkdir(exist_ok=True)
        with (state / "log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=self.environment | {"MATPROP_STATE": str(state)} | more,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.running[name]

    def worker(self, name: str, queue: str) -> subprocess.Popen[bytes]:
        options = ("worker", "-Q", queue, "-c", "1", "-n", f"{name}@%h", "--without-mingle")
        return self.start(name, "celery", "-A", "workers.app", *options, "--without-gossip")

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        kill(psutil.Process(process.pid).children(recursive=True))
        process.kill()
        process.wait()

    def end(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for name in list(self.running):
            try:
                self.running[name].wait(10)
            except subprocess.TimeoutExpired:
                self.kill(name)

    def logs(self) -> str:
        return "\n".join(path.read_text()[-3000:] for path in self.folder.glob("*/log"))


@pytest.fixture(scope="module")
def machines(
    shared_broker: Broker, shared_s3: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machines]:
    with Redis.from_url(shared_broker.url) as broker:
        broker.flushall()
    boto3.client("s3", endpoint_url=shared_s3.url).create_bucket(Bucket=BUCKET)
    machines = Machines(shared_broker, shared_s3, tmp_path_factory.mktemp("machines"))
    yield machines
    machines.end()


@pytest.fixture(scope="module")
def running(machines: Machines) -> Running:
    port = free_port()
    service = machines.start("service", "service", MATPROP_PORT=str(port))
    for queue in ("parse", "infer", "train"):
        machines.worker(queue, queue)
    running = Running(service, f"http://127.0.0.1:{port}", machines.folder / "service")  # type: ignore[arg-type]
    try:
        running.wait_ready()
    except AssertionError as error:
        raise AssertionError(machines.logs()) from error
    return running


def until(found: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.1)
    raise AssertionError("it did not come to that")


def test_structures_are_predicted_over_the_store(
    running: Running, machines: Machines, rock_salt: Callable[..., bytes]
) -> None:
    answer = running.predict(("POSCAR", rock_salt(5.6)))
    assert [record["status"] for record in answer["records"]] == ["succeeded"], machines.logs()
    kept = running.call("GET", f"/v1/predictions/{answer['job']}", Accept="application/jsonl")[2]
    assert kept["status"] == "succeeded"
    assert running.call("DELETE", f"/v1/jobs/{answer['job']}")[0] == 204
    assert not list(machines.folder.glob(f"*/cache/*/*/{answer['job']}*"))


def test_a_screening_leaves_its_table_on_the_store(
    running: Running, machines: Machines, rock_salt: Callable[..., bytes]
) -> None:
    files = [("files", f"{edge}", rock_salt(5 + edge / 100)) for edge in range(40)]
    model = ("model", None, b"formation-energy")
    code, _, answer = running.form("/v1/screenings", *files, model)
    assert code == 202, answer
    job = f"/v1/jobs/{answer['id']}"
    until(lambda: running.call("GET", job)[2]["status"] == "succeeded")
    rows = running.call("GET", f"/v1/screenings/{answer['id']}/results?limit=100")[2]["rows"]
    assert [row["index"] for row in rows] == list(range(40)), machines.logs()
    assert running.call("DELETE", job)[0] == 204


def test_a_place_in_the_bucket_is_screened(
    running: Running,
    machines: Machines,
    shared_s3: ObjectStore,
    rock_salt: Callable[..., bytes],
) -> None:
    bucket = boto3.resource("s3", endpoint_url=shared_s3.url).Bucket(BUCKET)
    for name, data in (("1.vasp", rock_salt(5.5)), ("2.vasp", b"bad"), ("3.vasp", rock_salt(5.6))):
        bucket.put_object(Key=f"inputs/some/{name}", Body=data)
    order = {"models": ["formation-energy"], "location": f"s3://{BUCKET}/inputs/some/"}
    body = json.dumps(order).encode()
    code, _, answer = running.call("POST", "/v1/screenings", body, Content_Type="application/json")
    assert code == 202, answer
    job = f"/v1/jobs/{answer['id']}"
    until(lambda: running.call("GET", job)[2]["status"] == "succeeded")
    rows = running.call("GET", f"/v1/screenings/{answer['id']}/results")[2]["rows"]
    found = [(row["name"], row["status"]) for row in rows]
    assert found == [("1.vasp", "ok"), ("2.vasp", "failed"), ("3.vasp", "ok")], machines.logs()
    assert running.call("DELETE", job)[0] == 204


def test_a_training_goes_on_elsewhere_from_its_last_snapshot(
    running: Running, machines: Machines, shared_s3: ObjectStore
) -> None:
    sent(running, "crystal")
    job = ordered(running, "crystal", settings={"epochs": 200}, register_as="elsewhere")["id"]
    bucket = boto3.resource("s3", endpoint_url=shared_s3.url).Bucket(BUCKET)

    def snapshots() -> list[str]:
        return [one.key for one in bucket.objects.filter(Prefix=f"journey/trainings/{job}/")]

    def has_learned(key: str) -> bool:
        with suppress(ClientError):  # a later one has taken its place
            content = io.BytesIO(bucket.Object(key).get()["Body"].read())
            with tarfile.open(fileobj=content) as archive:
                return any(name.endswith(".pt") for name in archive.getnames())
        return False

    until(lambda: any(has_learned(key) for key in snapshots() if key.endswith("/00000001.tar")))
    machines.kill("train")
    machines.worker("other", "train")
    found = ended(running, job)
    assert found["status"] == "succeeded", machines.logs()
    events = running.call("GET", f"/v1/jobs/{job}/events")[2].decode()
    epochs = [json.loads(line[5:])["epoch"] for line in events.splitlines() if '"epoch"' in line]
    assert epochs.count(1) == 1
    assert found["model"] == "elsewhere@1", found
    record = running.predict(first_structure("crystal"), model="elsewhere")["records"][0]
    assert record["status"] == "succeeded", record
    assert until(lambda: not snapshots(), 10)


def test_a_job_waits_for_a_store_that_is_away(
    running: Running,
    machines: Machines,
    shared_s3: ObjectStore,
    rock_salt: Callable[..., bytes],
) -> None:
    parts = (("files", "POSCAR", rock_salt(5.7)), ("model", None, b"formation-energy"))
    workers = [machines.running["parse"].pid]
    workers += [child.pid for child in psutil.Process(workers[0]).children(recursive=True)]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        code, _, answer = running.form("/v1/predictions", *parts, Prefer="respond-async")
        assert code == 202, answer
        with shared_s3.away():
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
            until(lambda: "Again in" in machines.logs())
            code, head, refused = running.form("/v1/predictions", *parts)
            assert (code, refused["code"]) == (503, "store_unavailable")
            assert head["retry-after"] == "5"
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    job = f"/v1/jobs/{answer['job']}"
    assert until(lambda: running.call("GET", job)[2]["status"] == "succeeded"), machines.logs()


def test_a_full_store_is_told(
    running: Running, shared_s3: ObjectStore, rock_salt: Callable[..., bytes]
) -> None:
    parts = (("files", "POSCAR", rock_salt(5.8)), ("model", None, b"formation-energy"))
    with shared_s3.refusing(507, "XMinioStorageFull"):
        code, _, answer = running.form("/v1/predictions", *parts)
    assert (code, answer["code"]) == (507, "storage_full")

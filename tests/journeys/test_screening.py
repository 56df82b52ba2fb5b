"""Screenings as a user sends them: with workers that die, cancelled, and done again."""

import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.journeys.conftest import kill

ENDED = ("succeeded", "failed", "cancelled")
PATIENCE_S = 90


def archive(rock_salt: Callable[..., bytes], count: int, bad: tuple[int, ...] = ()) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as packed:
        for place in range(count):
            text = b"no structure" if place in bad else rock_salt(4.8 + 2 * place / count)
            packed.writestr(f"{place}.vasp", text)
    return held.getvalue()


def send(running: Any, data: bytes, *models: str) -> str:
    parts = [("model", None, model.encode()) for model in models or ("formation-energy",)]
    status, _, body = running.form("/v1/screenings", *parts, ("files", "all.zip", data))
    assert status == 202, body
    return str(body["job"]["id"])


def told(running: Any, job: str) -> dict[str, Any]:
    return running.call("GET", f"/v1/jobs/{job}")[2]


def until(running: Any, job: str, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if fits(record := told(running, job)):
            return record
        time.sleep(0.1)
    raise AssertionError(f"never so: {told(running, job)}")


def ended(running: Any, job: str) -> dict[str, Any]:
    return until(running, job, lambda record: record["status"] in ENDED)


def rows(state: Path, job: str) -> list[dict[str, Any]]:
    shards = sorted((state / "screenings" / job / "shards").glob("*.parquet"))
    return [row for shard in shards for row in pq.read_table(shard).to_pylist()]


def test_every_structure_is_there_once_whatever_is_killed(start, rock_salt):
    running = start("--workers", "2")
    running.wait_ready()
    job = send(
        running, archive(rock_salt, 1_500, bad=(5, 1_000, 1_499)), "formation-energy", "is-metal"
    )
    for _ in range(2):  # a third loss might make one of its chunks poison
        done = told(running, job)["progress"]["done"]
        until(
            running,
            job,
            lambda now, than=done: now["progress"]["done"] > than or now["status"] in ENDED,
        )
        kill(running.at_work("-Q parse"))
    record = ended(running, job)
    found = rows(running.state, job)
    assert [row["index"] for row in found] == list(range(1_500))
    assert [row["index"] for row in found if row["status"] == "failed"] == [5, 1_000, 1_499]
    assert record["status"] == "succeeded", record
    assert (record["progress"]["done"], record["progress"]["failed"]) == (1_500, 3)
    retried = running.call("POST", f"/v1/jobs/{job}/retry")[2]
    again = ended(running, retried["id"])
    assert (again["progress"]["done"], again["progress"]["failed"]) == (3, 3)
    assert json.loads(rows(running.state, retried["id"])[0]["error"])["file"] == "all.zip/5.vasp"


def test_a_cancelled_screening_stays_readable_and_a_retry_does_the_rest(running, rock_salt):
    for count in (4_000, 20_000):  # fewer may be done before anyone looks
        job = send(running, archive(rock_salt, count))
        until(running, job, lambda record: record["progress"]["done"] > 0)
        running.call("POST", f"/v1/jobs/{job}/cancel")
        if (record := ended(running, job))["status"] == "cancelled":
            break
    first = rows(running.state, job)
    assert (record["status"], record["progress"]["done"]) == ("cancelled", len(first))
    assert 0 < len(first) < count
    retried = running.call("POST", f"/v1/jobs/{job}/retry")[2]
    assert ended(running, retried["id"])["status"] == "succeeded"
    names = [row["name"] for row in first + rows(running.state, retried["id"])]
    assert sorted(names) == sorted(f"all.zip/{place}.vasp" for place in range(count))


def test_a_prediction_is_answered_while_a_screening_runs(running, rock_salt):
    job = send(running, archive(rock_salt, 20_000))
    until(running, job, lambda record: record["progress"]["done"] > 0)
    running.predict(("one.vasp", rock_salt(5.55)))
    assert told(running, job)["status"] == "running"
    running.call("POST", f"/v1/jobs/{job}/cancel")
    ended(running, job)


def test_the_files_of_a_deleted_screening_are_gone(running, rock_salt):
    job = send(running, archive(rock_salt, 20))
    ended(running, job)
    assert running.call("DELETE", f"/v1/jobs/{job}")[0] == 204
    assert not (running.state / "screenings" / job).exists()

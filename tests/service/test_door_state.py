"""Health, figures, bounds, pages, and what happens when the broker or the workers are away."""

import asyncio
import re
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from models.errors import InputError, MatpropError, ModelError
from service import reach
from service.house import ended
from service.problems import CODES, STATUS, Problem
from service.settings import ServiceSettings
from service.upload import Uploads
from tests.service.conftest import seen_alive
from workers.contract import Queue
from workers.files import Files
from workers.jobs import new_id

GOOD = ("NaCl.cif", b"good")
BAD = ("broken.cif", b"bad")


def test_ready_when_everything_is_there(door: Any) -> None:
    answer = door.client.get("/health/ready")
    assert answer.status_code == 200, answer.text
    assert answer.json()["missing"] == []
    assert door.client.get("/health/live").json() == {"status": "alive"}


def test_not_ready_without_inference_and_no_prediction_is_taken(open_door: Any) -> None:
    with open_door((Queue.PARSE, Queue.TRAIN)) as door:
        body = door.client.get("/health/ready").json()
        assert "infer" in " ".join(body["missing"])
        answer = door.predict(GOOD)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_worker")
        assert answer.headers["retry-after"]


def test_full_queues_are_told(open_door: Any) -> None:
    with open_door(max_queued_jobs=2) as door:
        door.worker.sleep()
        for _ in range(2):
            assert door.predict(GOOD, Prefer="respond-async").status_code == 202
        answer = door.predict(GOOD, Prefer="respond-async")
        assert (answer.status_code, answer.json()["code"]) == (503, "queue_full")
        assert answer.headers["retry-after"]
        packs = list(door.settings.state.glob("uploads/*/*"))
        assert len(packs) == 2


def test_a_full_disk_is_told(open_door: Any) -> None:
    with open_door(min_free_bytes=10**18) as door:
        answer = door.predict(("big.cif", b"x" * 2_000_000))
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        assert door.predict(GOOD).status_code == 200


def test_a_disk_that_fills_up_with_the_last_bytes_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads = Uploads(Files(tmp_path), ServiceSettings(state=tmp_path))

    async def fill() -> None:
        async with uploads.open(new_id("job")) as upload:
            upload.pack.begin("a.cif")
            upload.pack.write(b"good")
            upload.pack.end()
            upload.keep(sync=False)

    opened = Path.open

    def full(path: Path, mode: str) -> Any:
        """The kernel's own full disk: it refuses every write, also the one at closing."""
        opened(path, mode).close()
        return opened(Path("/dev/full"), "wb")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(Problem) as caught:
        asyncio.run(fill())
    assert caught.value.code == "storage_full"
    assert not list(tmp_path.glob("uploads/*/.*"))


ROUTES = (
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/job_01JD3Q5T8Z6M4W2K7N9V1X3B5C"),
    ("DELETE", "/v1/jobs/job_01JD3Q5T8Z6M4W2K7N9V1X3B5C"),
    ("GET", "/v1/jobs/job_01JD3Q5T8Z6M4W2K7N9V1X3B5C/events"),
    ("GET", "/v1/predictions/job_01JD3Q5T8Z6M4W2K7N9V1X3B5C"),
)


def test_without_a_broker_every_route_says_so_and_recovers(own_broker: Any, open_door: Any) -> None:
    with open_door(redis_url=own_broker.url) as door:
        assert door.predict(GOOD).status_code == 200
        own_broker.kill()
        calls = [partial(door.client.request, *route) for route in ROUTES]
        for call in (partial(door.predict, GOOD), *calls, partial(door.predict, BAD)):
            answer = call()
            assert (answer.status_code, answer.json()["code"]) == (503, "broker_unavailable"), call
            assert answer.headers["retry-after"]
        assert door.client.get("/health/ready").status_code == 503
        assert door.client.get("/health/live").status_code == 200
        assert door.client.get("/v1/models").status_code == 200
        assert "matprop_broker_up 0" in door.client.get("/metrics").text
        own_broker.start()
        while door.client.get("/health/ready").status_code != 200:
            pass
        while door.predict(GOOD).status_code == 503:
            pass
        assert door.predict(GOOD, Prefer="wait=20").status_code == 200


def test_a_broker_that_hangs_is_given_up_within_five_seconds(
    own_broker: Any, open_door: Any
) -> None:
    assert reach.PATIENCE_S < 5
    with open_door(redis_url=own_broker.url) as door:
        assert door.predict(GOOD).status_code == 200
        own_broker.process.send_signal(signal.SIGSTOP)
        try:
            answer = door.client.get("/v1/jobs")
            assert (answer.status_code, answer.json()["code"]) == (503, "broker_unavailable")
        finally:
            own_broker.process.send_signal(signal.SIGCONT)
        while door.predict(GOOD).status_code == 503:
            pass


def test_who_waits_when_the_broker_hangs_gets_the_job_that_was_accepted(
    own_broker: Any, open_door: Any
) -> None:
    with open_door(redis_url=own_broker.url) as door:
        door.worker.sleep()
        answers: list[Any] = []
        waiting = threading.Thread(target=lambda: answers.append(door.predict(GOOD)))
        waiting.start()
        while not door.client.get("/v1/jobs").json()["jobs"]:
            pass
        own_broker.process.send_signal(signal.SIGSTOP)
        try:
            waiting.join(60)
            assert (answers[0].status_code, answers[0].json()["status"]) == (202, "queued")
        finally:
            own_broker.process.send_signal(signal.SIGCONT)
        door.worker.wake()
        while door.client.get(answers[0].headers["location"]).json()["status"] != "succeeded":
            pass


def test_a_job_survives_a_broker_that_dies_while_it_is_waited_for(
    own_broker: Any, open_door: Any
) -> None:
    with open_door(redis_url=own_broker.url) as door:
        door.worker.sleep()
        job = door.predict(GOOD, Prefer="respond-async").json()["job"]
        own_broker.sync()
        own_broker.kill()
        own_broker.start()
        door.worker.wake()
        while door.client.get(f"/v1/jobs/{job}").status_code == 503:
            pass
        with door.client.stream("GET", f"/v1/jobs/{job}/events") as events:
            assert "done" in "".join(events.iter_text())


def test_at_the_end_waiting_requests_get_their_job(open_door: Any) -> None:
    with open_door() as door:
        door.worker.sleep()
        answers: list[Any] = []
        waiting = threading.Thread(
            target=lambda: answers.append(door.predict(GOOD, Prefer="wait=30"))
        )
        waiting.start()
        while not len(door.server.house.answers):
            pass
        door.loop.call_soon_threadsafe(door.server.handle_exit, signal.SIGTERM, None)
        waiting.join(60)
        assert answers[0].status_code == 202
        assert answers[0].headers["connection"] == "close"


def test_readiness_turns_as_soon_as_a_stop_is_asked_for(open_door: Any) -> None:
    with open_door(drain_s=5) as door:
        door.server.handle_exit(signal.SIGTERM, None)
        answer = door.client.get("/health/ready")
        assert answer.status_code == 503
        assert "stop" in answer.json()["missing"][0]


def test_figures_are_readable_by_prometheus(door: Any) -> None:
    door.predict(GOOD)
    seen_alive(door.settings, tuple(Queue))  # within the last seconds, however slow the machine was
    text = door.client.get("/metrics").text
    assert 'matprop_http_requests_total{method="POST",route="/v1/predictions",status="200"}' in text
    assert "matprop_broker_up 1" in text
    assert 'matprop_workers_alive{queue="infer"} 1' in text
    line = re.compile(r"(#.*|[a-z_]+(\{([a-z]+=\"[^\"]*\",?)+\})? [-+.\deNaInf]+)")
    assert all(line.fullmatch(row) for row in text.splitlines())


def test_unknown_paths_make_no_new_figures(door: Any) -> None:
    for number in range(5):
        door.client.get(f"/nothing-{number}")
    assert "nothing-" not in door.client.get("/metrics").text


def test_every_bound_is_listed(door: Any) -> None:
    body = door.client.get("/v1/limits").json()
    assert body["structures"]["files_per_call"] == 1_000
    assert (body["structures"]["sites"], body["structures"]["archive_members"]) == (10_000, 10_000)
    assert {"cif", "gz", "zst"} <= set(body["formats"])


def test_the_pages_need_nothing_from_outside(door: Any) -> None:
    page = door.client.get("/docs")
    assert page.status_code == 200
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert parts
    for part in parts:
        assert not part.startswith(("http", "//"))
        assert door.client.get(f"/{part}").status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_every_collection_is_named_where_things_are(door: Any) -> None:
    paths = door.client.get("/openapi.json").json()["paths"]
    collections = {path for path in paths if path.count("/") == 2 and path.startswith("/v1/")}
    assert collections | {"/models"} <= set(door.client.get("/").json()["links"].values())


def test_a_browser_gets_a_page_and_a_program_json(door: Any) -> None:
    assert door.client.get("/").json()["links"]["docs"] == "/docs"
    page = door.client.get("/", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "tested@1" in page.text


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_error_has_a_page(door: Any, code: str) -> None:
    assert door.client.get(f"/problems/{code}").json()["status"] == CODES[code][0]


def descendants(cls: type[MatpropError]) -> set[type[MatpropError]]:
    return {cls}.union(*(descendants(child) for child in cls.__subclasses__()))


def test_every_error_of_ours_has_a_status() -> None:
    ours = descendants(InputError) | descendants(ModelError)
    assert ours <= set(STATUS)
    assert all(400 <= STATUS[cls] < 500 for cls in descendants(InputError))
    assert {cls.code for cls in ours} <= set(CODES)


def test_ended_jobs_are_counted_by_status(door: Any) -> None:
    door.predict(GOOD)
    while not re.search(
        r'matprop_jobs_ended_total{kind="predict",status="succeeded"} [1-9]',
        door.client.get("/metrics").text,
    ):
        pass


@pytest.mark.parametrize("code", sorted(cls.code for cls in STATUS))
def test_every_error_says_what_helps(code: str) -> None:
    assert CODES[code][2].endswith((".", "?"))
    assert "\n" not in CODES[code][1]


def test_a_task_that_swallows_a_cancel_is_ended_all_the_same() -> None:
    swallowed = []

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed.append(True)

    async def close() -> bool:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await asyncio.wait_for(ended([task]), 10)
        return task.cancelled()

    assert asyncio.run(close())
    assert swallowed

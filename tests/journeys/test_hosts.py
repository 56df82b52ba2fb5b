"""Several machines that share the broker and the object store, and nothing else; their cables are pulled."""

import csv
import io
import json
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest

from tests.conftest import server_binary
from tests.journeys.hosts import Host, machines, until
from tests.object_store import BUCKET, CREDENTIALS
from tests.ports import free_port

NAMES = ("shared", "service", "worker-1", "worker-2")
MODEL = "formation-energy"
SCREENED = 3_000
MOST_WAITING = 6  # more than the workers can do at once
BROKER = [
    "--bind",
    "0.0.0.0",
    "--protected-mode",
    "no",
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
    "--maxmemory-policy",
    "noeviction",
    "--save",
]
QUICK = {"MATPROP_LEASE_S": "3", "MATPROP_REDIS_TIMEOUT_S": "2", "MATPROP_GRACE_S": "2"}


class Line(HTTPConnection):
    """From a machine to the service on it, whatever happens to its cable."""

    def __init__(self, host: Host, port: int) -> None:
        super().__init__("127.0.0.1", port, timeout=30)
        self.dialled = host, port

    def connect(self) -> None:
        host, port = self.dialled
        self.sock = host.dial(port)


@dataclass
class Site:
    """The machines with what runs on them, and what was asked of the service."""

    hosts: dict[str, Host]
    port: int
    statuses: list[int] = field(default_factory=list)
    accepted: dict[str, list[str]] = field(default_factory=dict)  # job → formulas

    def call(self, method: str, path: str, order: Any = None, **headers: str) -> Any:
        """The status and the body; no answer is none."""
        line = Line(self.hosts["service"], self.port)
        head = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        body = order if isinstance(order, bytes | None) else json.dumps(order).encode()
        try:
            line.request(method, path, body, head)
            answer = line.getresponse()
            body = answer.read()
            self.statuses.append(answer.status)
            return answer.status, json.loads(body) if body[:1] in b"{[" else body.decode()
        except (OSError, HTTPException):
            return 0, None
        finally:
            line.close()

    def figure(self, name: str) -> float:
        """The samples of /metrics that begin so, together."""
        lines = self.call("GET", "/metrics")[1].splitlines()
        return sum(float(one.rsplit(" ", 1)[1]) for one in lines if one.startswith(name))

    def alive(self, queue: str) -> float:
        return self.figure(f'matprop_workers_alive{{queue="{queue}"}}')

    def submit(self, first: int, count: int = 4) -> bool:
        """Crystals that nobody has seen; whether they were taken in."""
        texts = [crystal(number) for number in range(first, first + count)]
        items = [{"name": f"{first + at}", "text": text} for at, text in enumerate(texts)]
        order = {"structures": items, "models": [MODEL]}
        status, body = self.call("POST", "/v1/predictions", order, Prefer="respond-async")
        if status == 202:
            self.accepted[body["job"]] = [item["name"] for item in items]
        return bool(status == 202)

    def screen_begun(self, first: int) -> str:
        """A screening of crystals that nobody has seen, with some rows; its job."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(SCREENED):
                archive.writestr(f"{number}.vasp", crystal(first + number))
        mark = "matprop-hosts"
        part = f"--{mark}\r\nContent-Disposition: form-data; name="
        form = f'{part}"model"\r\n\r\n{MODEL}\r\n{part}"files"; filename="s.zip"\r\n\r\n'
        body = form.encode() + content.getvalue() + f"\r\n--{mark}--\r\n".encode()
        kind = f"multipart/form-data; boundary={mark}"
        status, told = self.call("POST", "/v1/screenings", body, Content_Type=kind)
        assert status == 202, told
        job = str(told["id"])
        until(lambda: self.done_of(job), "first rows")
        return job

    def done_of(self, job: str) -> int:
        """How many structures of a screening have their rows."""
        status, body = self.call("GET", f"/v1/screenings/{job}")
        return int(body["job"]["progress"]["done"]) if status == 200 else 0

    def check_screened_once(self, job: str) -> None:
        ended = ("succeeded", "failed", "cancelled")
        until(lambda: self.call("GET", f"/v1/jobs/{job}")[1]["status"] in ended, "the screening")
        _, told = self.call("GET", f"/v1/screenings/{job}")
        assert told["status"] == "succeeded", json.dumps(told)
        assert (told["job"]["progress"]["done"], told["job"]["progress"]["failed"]) == (SCREENED, 0)
        _, table = self.call("GET", f"/v1/screenings/{job}/results?format=csv")
        rows = list(csv.DictReader(io.StringIO(table)))
        assert sorted(int(row["index"]) for row in rows) == list(range(SCREENED))
        assert all(float(row[MODEL]) for row in rows)

    def ended(self, number: int) -> bool:
        """Whether so many predictions have."""
        return self.figure('matprop_jobs_ended_total{kind="predict",') >= number

    def wait_for_more(self, what: str) -> None:
        """All that were sent so far, and some of those that come after."""
        number = len(self.accepted) + MOST_WAITING
        until(lambda: self.ended(number), what)

    def check_all_done_once(self) -> None:
        until(lambda: self.ended(len(self.accepted)), "the end of all jobs")
        for job, names in self.accepted.items():
            _, body = self.call("GET", f"/v1/predictions/{job}")
            assert body["status"] == "succeeded"
            assert [record["name"] for record in body["records"]] == names
            assert all(record["predictions"][0]["value"] for record in body["records"])
        done = self.figure('matprop_jobs_ended_total{kind="predict",status="succeeded"}')
        assert done == len(self.accepted)
        assert not {status for status in self.statuses if status >= 500} - {503}

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Meanwhile somebody goes on sending."""
        enough = threading.Event()

        def send() -> None:
            first = 1_000
            while not enough.wait(0.1):
                if not self.ended(len(self.accepted) - MOST_WAITING):
                    continue
                first += 4 * self.submit(first)

        sender = threading.Thread(target=send)
        sender.start()
        try:
            yield
        finally:
            enough.set()
            sender.join()


def crystal(number: int) -> str:
    edge = 5 + number / 10_000
    rows = [f"{edge} 0 0", f"0 {edge} 0", f"0 0 {edge}"]
    return "\n".join(["salt", "1.0", *rows, "Cs Cl", "1 1", "Direct", "0 0 0", "0.5 0.5 0.5", ""])


def started(hosts: dict[str, Host]) -> Site:
    """Broker and store on one machine, the service on another, workers on the rest."""
    shared, door = hosts["shared"], hosts["service"]
    broker, store, port = (free_port() for _ in range(3))
    redis = [server_binary(), "--port", str(broker), "--dir", str(shared.disk), *BROKER, ""]
    shared.start(redis)
    shared.start([sys.executable, "-m", "moto.server", "-H", "0.0.0.0", "-p", str(store)])
    until(lambda: made_bucket(shared, store), "a bucket")
    for name, host in hosts.items():
        settings = {
            **QUICK,
            **CREDENTIALS,
            "MATPROP_REDIS_URL": f"redis://{host.way_to(shared, broker)}/0",
            "MATPROP_STORE_URL": f"s3://{BUCKET}/of/hosts",
            "MATPROP_STORE_ENDPOINT": f"http://{host.way_to(shared, store)}",
            "MATPROP_STATE": str(host.disk),
        }
        if host is door:
            door.start([sys.executable, "-m", "service"], **settings, MATPROP_PORT=str(port))
        elif host is not shared:
            for queue in ("parse", "infer"):
                command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker"]
                host.start([*command, "-Q", queue, "-c", "1", "-n", f"{name}-{queue}"], **settings)
    return Site(hosts, port)


def made_bucket(shared: Host, port: int) -> bool:
    line = Line(shared, port)
    try:
        line.request("PUT", f"/{BUCKET}")
        return line.getresponse().status == 200
    except OSError:
        return False
    finally:
        line.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For all tests: machines take long to start. One of them is gone after the last test."""
    with machines(tmp_path_factory.mktemp("hosts"), NAMES) as hosts:
        site = started(dict(hosts))
        for queue in ("parse", "infer"):
            until(
                lambda queue=queue: site.call("GET", "/metrics")[0] and site.alive(queue) == 2,
                queue,
            )
        yield site


def test_a_service_that_is_cut_off_says_so_in_time_and_comes_back(site: Site) -> None:
    assert site.submit(1)
    site.hosts["service"].cut()
    before = len(site.statuses)
    for number in range(2, 5):
        assert not site.submit(100 * number)
    assert site.call("GET", f"/v1/jobs/{next(iter(site.accepted))}")[0] == 503
    assert site.call("GET", "/health/ready")[0] == 503
    assert set(site.statuses[before:]) == {503}
    site.hosts["service"].heal()
    until(lambda: site.call("GET", "/health/ready")[0] == 200, "readiness")
    assert site.submit(900)
    site.check_all_done_once()


def test_machines_that_are_cut_off_or_die_lose_and_double_nothing(site: Site) -> None:
    with site.busy():
        site.wait_for_more("first answers")
        first = site.screen_begun(10_000)
        site.hosts["worker-2"].cut()
        assert site.done_of(first) < SCREENED
        until(lambda: site.alive("parse") == 1, "its silence to be noticed")
        site.wait_for_more("the other to go on")
        site.hosts["worker-2"].heal()
        until(lambda: site.alive("parse") == site.alive("infer") == 2, "its return")

        second = site.screen_begun(20_000)
        site.hosts["worker-1"].power_off()
        assert site.done_of(second) < SCREENED
        until(lambda: site.alive("parse") == 1, "its end to be noticed")
        site.wait_for_more("the healed one to go on")
    site.check_all_done_once()
    for screening in (first, second):
        site.check_screened_once(screening)

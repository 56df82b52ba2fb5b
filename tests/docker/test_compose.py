"""The images, started by the real composition: predict, train, lose containers, and what they may not do."""

import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.client import Client
from service.client_errors import ServiceError
from tests.docker.engine import IMAGES, ROOT, Composition, Unavailable, podman_here, until
from tests.docker.manifests import FOLDER, built, sought
from tests.journeys import labelled
from tests.ports import free_port

pytestmark = pytest.mark.images
KEY = "a-key-for-the-time-of-this-test"
SERVICES = ("broker", "service", "parse", "infer", "train")
OURS = SERVICES[1:]
QUICK = {"width": 16, "convolutions": 2, "hidden_width": 16, "batch_size": 16}
LARGEST_MB = {"localhost/matprop-service": 350, "localhost/matprop-worker": 1_650}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composition]:
    try:
        podman = podman_here(tmp_path_factory.mktemp("podman"))
    except Unavailable as error:
        pytest.skip(str(error))
    composition = Composition(podman, free_port(), KEY)
    with composition.up():
        for service in SERVICES:
            until(lambda name=service: composition.healthy(name), 180, f"{service} is healthy")
        yield composition
    assert composition.left() == []


@pytest.fixture(scope="module")
def client(running: Composition) -> Iterator[Client]:
    with Client(running.url, KEY) as one:
        yield one


@pytest.fixture(scope="module")
def salts(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("data") / "salts.zip"
    file.write_bytes(labelled.crystals())
    return client.add_dataset(file).id


def ordered(client: Client, dataset: str, name: str, epochs: int) -> str:
    target: Any = {"column": "value", "property": "cell-size", "unit": "1"}
    settings = {**QUICK, "epochs": epochs}
    return client.submit_training(
        dataset, target, family="crystal", register_as=name, settings=settings
    )


def test_it_predicts(client: Client) -> None:
    record = client.predict([ROOT / "service/examples/NaCl.cif"], "formation-energy")[0]
    assert -3 < record.value() < -1
    assert record.interval() is not None


def test_nobody_predicts_without_a_key(running: Composition) -> None:
    with Client(running.url) as stranger, pytest.raises(ServiceError):
        stranger.predict([ROOT / "service/examples/NaCl.cif"], "formation-energy")


@pytest.mark.parametrize("service", OURS)
def test_the_doctor_finds_nothing_wrong(running: Composition, service: str) -> None:
    done = running.execute(service, "matprop", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("one", built(FOLDER / "keda"), ids=lambda one: one["metadata"]["name"])
def test_keda_finds_what_it_looks_for(running: Composition, one: dict[str, Any]) -> None:
    with urllib.request.urlopen(f"{running.url}/metrics") as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples]
    for figure, label, word in sought(one):
        [_] = [
            sample
            for sample in samples
            if (sample.name, sample.labels) == (f"matprop_{figure}", {label: word})
        ]


def test_it_trains_and_the_model_predicts(client: Client, salts: str) -> None:
    version = client.resume_training(ordered(client, salts, "salts", 3))
    record = client.predict([ROOT / "service/examples/NaCl.cif"], version.name)[0]
    assert record.value() == record.value()


def test_a_training_whose_container_is_killed_ends_once(
    running: Composition, client: Client, salts: str
) -> None:
    job = ordered(client, salts, "killed", 60)
    begun = threading.Event()

    def heard(event: Any) -> None:
        if event.kind == "metric":
            begun.set()

    following = threading.Thread(target=lambda: client.resume_training(job, heard), daemon=True)
    following.start()
    assert begun.wait(120), running.logs("train")
    old = running.kill("train")
    until(lambda: running.state("train")["Pid"] not in (0, old), 60, "the container came back")
    client.resume_training(job)
    following.join(60)
    view = client.job(job)
    assert view.status == "succeeded"
    assert view.attempt > 1
    assert client.model("killed").versions == [1]


def test_what_was_accepted_outlives_the_broker(running: Composition, client: Client) -> None:
    before = {job.id: job.status for job in client.jobs()}
    old = running.kill("broker")
    until(lambda: running.state("broker")["Pid"] not in (0, old), 60, "the broker came back")
    until(lambda: running.healthy("service"), 90, "the service is ready again")
    assert {job.id: job.status for job in client.jobs()} == before
    test_it_predicts(client)


@pytest.mark.parametrize("service", SERVICES)
def test_nobody_is_root_or_can_become_it(running: Composition, service: str) -> None:
    status = running.execute(service, "cat", "/proc/1/status").stdout
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in told["Uid"].split()
    assert int(told["CapEff"], 16) == int(told["CapBnd"], 16) == 0
    assert told["NoNewPrivs"] == "1"


@pytest.mark.parametrize("service", SERVICES)
def test_the_root_of_files_is_read_only(running: Composition, service: str) -> None:
    mounts = running.execute(service, "cat", "/proc/mounts").stdout.splitlines()
    [root] = [words for words in map(str.split, mounts) if words[1] == "/"]
    assert "ro" in root[3].split(",")
    folder = "/data" if service == "broker" else "/state"
    assert (
        running.execute(service, "sh", "-c", f"touch /tmp/x && touch {folder}/.x").returncode == 0
    )


@pytest.mark.parametrize("service", SERVICES[2:])
def test_workers_have_no_way_outside(running: Composition, service: str) -> None:
    routes = running.execute(service, "cat", "/proc/net/route").stdout.splitlines()[1:]
    assert routes
    assert "00000000" not in [route.split()[1] for route in routes]


@pytest.mark.parametrize(
    ("service", "module"),
    [
        ("service", "torch"),
        ("service", "numpy"),
        ("service", "pymatgen"),
        ("service", "pip"),
        ("train", "fastapi"),
        ("train", "uvicorn"),
        ("train", "pip"),
    ],
)
def test_an_image_lacks_what_is_not_its_own(
    running: Composition, service: str, module: str
) -> None:
    tried = running.execute(service, "python", "-c", f"import {module}")
    assert f"No module named '{module}'" in tried.stderr


@pytest.mark.parametrize("service", ["service", "train"])
def test_no_compiler_stays_behind(running: Composition, service: str) -> None:
    tried = running.execute(service, "sh", "-c", "command -v gcc cc as ld make")
    assert tried.stdout == ""


def test_workers_have_the_parts_in_c(running: Composition) -> None:
    command = "import models.structures._near, models.structures._cif, models.networks._edges"
    assert running.execute("parse", "python", "-c", command).returncode == 0


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_no_larger_than_it_was(running: Composition, image: str) -> None:
    assert running.podman.size_mb(image) < LARGEST_MB[image]


def test_the_memory_of_a_worker_is_bounded(running: Composition) -> None:
    v1 = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")
    read = f"cat {v1} 2>/dev/null || cat /sys/fs/cgroup/memory.max"
    assert running.execute("infer", "sh", "-c", read).stdout.strip() == str(8 * 2**30)

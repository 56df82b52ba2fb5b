"""The images and their composition, checked without building them."""

import importlib.resources
import json
import re
import runpy
import shlex
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from workers.contract import Queue

ROOT = Path(__file__).parents[2]
IMAGES = ("service", "worker")


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


SERVICES = compose()["services"]


def instructions(image: str) -> list[tuple[str, str]]:
    """Each instruction of a Dockerfile with its words, continued lines joined."""
    text = (ROOT / f"docker/{image}.Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def words(image: str, name: str) -> list[str]:
    return [rest for instruction, rest in instructions(image) if instruction == name]


def test_the_composition_is_valid_by_the_compose_specification() -> None:
    schemas = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text())
    jsonschema.validate(compose(), schema, cls=jsonschema.validators.validator_for(schema))


def test_every_queue_has_a_worker_that_takes_from_it() -> None:
    for queue in Queue:
        worker = SERVICES[queue]
        assert worker["command"][:2] == ["-Q", queue]
        assert worker["environment"]["MATPROP_QUEUE"] == queue


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_is_locked_down(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["tmpfs"]
    assert "privileged" not in service


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_tells_its_health_and_comes_back(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"broker"}))
def test_all_share_the_state_and_wait_for_the_broker(name: str) -> None:
    assert SERVICES[name]["volumes"] == ["state:/state"]
    assert SERVICES[name]["depends_on"]["broker"] == {"condition": "service_healthy"}
    assert SERVICES[name]["environment"]["MATPROP_REDIS_URL"] == "redis://broker:6379/0"


def test_the_broker_forgets_nothing_and_is_not_published() -> None:
    command = " ".join(map(str, SERVICES["broker"]["command"]))
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "ports" not in SERVICES["broker"]
    assert compose()["networks"]["inside"]["internal"] is True


def test_the_service_does_not_start_without_an_administrators_key() -> None:
    assert SERVICES["service"]["environment"]["MATPROP_ADMIN_KEY"].startswith(
        "${MATPROP_ADMIN_KEY:?"
    )


@pytest.mark.parametrize("image", IMAGES)
def test_what_an_image_copies_is_there_and_not_ignored(image: str) -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    for copy in words(image, "COPY"):
        if copy.startswith("--from"):
            continue
        for source in [word for word in shlex.split(copy)[:-1] if not word.startswith("--")]:
            assert (ROOT / source).exists(), source
            assert source in allowed, source


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_only_its_own_extras_in_the_tested_versions(image: str) -> None:
    [needs] = [run for run in words(image, "RUN") if "needs.py" in run]
    assert f"needs.py {image} client s3 > needs.txt" in needs
    assert "-c constraints.txt -r needs.txt" in needs
    [ours] = [run for run in words(image, "RUN") if "--no-deps" in run]
    assert "--target /opt/code ." in ours


@pytest.mark.parametrize("image", IMAGES)
def test_the_last_stage_runs_nothing_that_could_leave_traces(image: str) -> None:
    names = [instruction for instruction, _ in instructions(image)]
    last = len(names) - 1 - names[::-1].index("FROM")
    assert "RUN" not in names[last:]
    assert "RUN" in names[:last]


def test_needs_are_those_of_all_and_of_the_extras(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    found = runpy.run_path("docker/needs.py")["needs"](["service", "s3"])
    assert [need for need in found if need.startswith(("celery", "fastapi>", "s3fs"))] == [
        "celery>=5.6",
        "fastapi>=0.165",
        "s3fs>=2026.9",
    ]


def test_a_builds_pip_is_set_as_the_machines_and_sees_the_folders_it_names(tmp_path: Path) -> None:
    index = tmp_path / "index"
    (index / "simple").mkdir(parents=True)
    program = runpy.run_path(str(ROOT / "docker/pip_settings.py"))
    found = {"extra-index-url": f"file://{index}/simple", "cert": str(tmp_path / "none")}
    assert program["places"](found) == [str(index)]


@pytest.mark.parametrize(("image", "foreign"), [("service", "torch"), ("worker", "fastapi")])
def test_an_extra_does_not_bring_the_other_rooms_libraries(image: str, foreign: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = project["dependencies"] + project["optional-dependencies"][image]
    names = {re.split(r"[^\w-]", one, maxsplit=1)[0].lower() for one in needed}
    assert foreign not in names
    assert "matprop" not in names


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_nobody_special_in_an_empty_folder(image: str) -> None:
    assert words(image, "USER") == ["10001:10001"]
    assert words(image, "WORKDIR")[-1] == "/work"
    assert words(image, "HEALTHCHECK")
    assert len(words(image, "FROM")) == 2


def test_torch_is_of_the_tested_version() -> None:
    [pinned] = re.findall(r"^torch==\S+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert f"TORCH={pinned}" in words("worker", "ARG")
    assert f"TORCH   ?= {pinned}" in (ROOT / "Makefile").read_text()


def test_constraints_pin_everything_exactly() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", pin) for pin in pins)


def test_where_packages_come_from_is_the_users_choice() -> None:
    named = re.compile(r"(index-url|INDEX)\W*https?:", re.IGNORECASE)
    places = [ROOT / "Makefile", ROOT / "README.md", ROOT / "docker-compose.yml"]
    places += [*ROOT.glob("docker/**/*"), *ROOT.glob(".ci/*"), *ROOT.glob("docs/**/*.md")]
    files = [place for place in places if place.is_file()]
    assert [str(file) for file in files if named.search(file.read_text())] == []

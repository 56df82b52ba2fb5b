"""Data sets in, models out: each family from a file of labels to a prediction, and through a worker's death."""

import json
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.journeys import labelled
from tests.journeys.conftest import kill

SMALL = {"width": 16, "convolutions": 2}
STUDIES: dict[str, tuple[str, bytes, dict[str, Any], dict[str, Any]]] = {
    "crystal": (
        "volumes.zip",
        labelled.crystals(),
        {"target": {"column": "value", "property": "cell-size", "unit": "1"}},
        {**SMALL, "hidden_width": 16, "batch_size": 16},
    ),
    "site": (
        "charges.extxyz",
        labelled.charges(),
        {"target": {"column": "charge", "property": "charge", "unit": "e"}},
        {**SMALL, "site_width": 16, "batch_size": 16},
    ),
    "bond": (
        "slabs.jsonl",
        labelled.slabs(),
        {"target": {"column": "bond_distances", "property": "adsorbate-distances", "unit": "Å"}},
        {**SMALL, "hidden_width": 16, "batch_size": 8},
    ),
    "image": (
        "dimers.extxyz",
        labelled.dimers(),
        {"target": {"column": "distance", "property": "dimer-distance", "unit": "Å"}},
        {"pixels": 16, "batch_size": 16},
    ),
}


def sent(running: Any, family: str) -> str:
    """The id of the family's data set."""
    file, data, _, _ = STUDIES[family]
    status, _, body = running.form(
        "/v1/datasets", ("file", file, data), ("name", None, family.encode()), Prefer="wait=60"
    )
    assert status in (200, 201), body
    return str(body["dataset"]["id"] if "dataset" in body else body["id"])


def ordered(running: Any, family: str, **more: Any) -> dict[str, Any]:
    """A training as it was accepted."""
    _, _, what, settings = STUDIES[family]
    settings = {**settings, **more.pop("settings", {})}
    order = {"dataset": family, "family": family, **what, "settings": settings, **more}
    status, _, body = running.call(
        "POST", "/v1/trainings", json.dumps(order).encode(), Content_Type="application/json"
    )
    assert status == 202, body
    return body  # type: ignore[no-any-return]


def ended(running: Any, job: str, patience_s: float = 180) -> dict[str, Any]:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        body = running.call("GET", f"/v1/trainings/{job}")[2]
        if body["status"] in ("succeeded", "failed", "cancelled"):
            return body  # type: ignore[no-any-return]
        time.sleep(0.2)
    raise AssertionError(f"it never ended: {body}")


def first_structure(family: str) -> tuple[str, bytes]:
    """One structure as a user would send it."""
    atoms = next(labelled.salts())
    if family == "crystal":
        return "one.poscar", labelled.poscar(atoms).encode()
    lines = STUDIES[family][1].splitlines(keepends=True)
    if family == "bond":
        return "one.jsonl", lines[0]
    return "one.extxyz", b"".join(lines[:4])


ALWAYS = "crystal"  # the ways of the others through the rooms are the same


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name != ALWAYS)) for name in STUDIES],
)
def family(request: pytest.FixtureRequest, running: Any) -> str:
    sent(running, request.param)
    return request.param


def test_a_killed_training_goes_on_and_its_model_predicts_at_once(
    running: Any, family: str
) -> None:
    for epochs in (30, 300, 3_000):  # fewer may be over before anyone looks
        wanted = {"settings": {"epochs": epochs}, "register_as": f"my-{family}"}
        job = ordered(running, family, **wanted)["id"]
        kill_when_under_way(running, job)
        view = ended(running, job)
        if (attempts := running.call("GET", f"/v1/jobs/{job}")[2]["attempt"]) > 1:
            break
    [record] = running.predict(first_structure(family), model=f"my-{family}")["records"]

    assert view["status"] == "succeeded", view
    assert attempts > 1
    assert view["result"]["metrics"]["test"]
    assert view["result"]["baselines"]
    assert record["status"] == "succeeded", record
    assert len(answered(record, family)) == {"site": 2, "bond": 4}.get(family, 1)


def test_members_tell_how_far_to_trust_their_answer(running: Any, family: str) -> None:
    name, wanted = f"sure-{family}", {"epochs": 2}
    parts = {"val": 0.4, "test": 0.1}
    more = {"members": 2, "split": parts, "register_as": name}
    job = ordered(running, family, settings=wanted, **more)["id"]
    view = ended(running, job)
    assert view["status"] == "succeeded", view

    def ask(**options: str) -> dict[str, Any]:
        fields = {"model": name, "level": "0.5", **options}
        parts = [(key, None, value.encode()) for key, value in fields.items()]
        file = ("files", *first_structure(family))
        status, _, body = running.form("/v1/predictions", file, *parts, Prefer="wait=60")
        assert status == 200, body
        return body["records"][0]  # type: ignore[no-any-return]

    record = ask(include="neighbours")
    [told] = record["predictions"]

    assert record["warnings"] == []
    assert (told["level"], type(told["in_domain"])) == (0.5, bool)
    assert (told["domain_score"] > 1) == (not told["in_domain"]) == bool(told["reasons"])
    assert [near["formula"] for near in told.pop("neighbours")]
    for value, (low, high), std in trusted(told):
        assert low <= value <= high
        assert std > 0
    assert ask()["predictions"] == ask()["predictions"] == [told]  # fresh, kept, and fresh before


def trusted(told: dict[str, Any]) -> list[tuple[float, list[float], float]]:
    """Each number of an answer with its interval and deviation."""
    if "bonds" in told:
        return [(bond["distance"], bond["interval"], bond["std"]) for bond in told["bonds"]]
    if "values" in told:
        return list(zip(told["values"], told["intervals"], told["stds"], strict=True))
    return [(told["value"], told["interval"], told["std"])]


def answered(record: dict[str, Any], family: str) -> list[float]:
    """The numbers of the record's one answer."""
    [answer] = record["predictions"]
    if family == "bond":
        return [bond["distance"] for bond in answer["bonds"]]
    return list(answer["values"]) if family == "site" else [answer["value"]]


@pytest.mark.slow  # the fault tests kill trainings in every run
def test_a_killed_training_ends_as_an_unbroken_one(running: Any) -> None:
    sent(running, "crystal")
    wanted = {"epochs": 30, "average": 0.9}
    unbroken = ended(running, ordered(running, "crystal", settings=wanted)["id"])
    job = ordered(running, "crystal", settings=wanted)["id"]
    kill_when_under_way(running, job)

    broken = ended(running, job)

    assert broken["result"]["metrics"] == unbroken["result"]["metrics"]


def kill_when_under_way(running: Any, job: str) -> None:
    """SIGKILL for the program and its worker's children, once the first epochs are told."""
    deadline = time.monotonic() + 120
    while running.call("GET", f"/v1/jobs/{job}")[2]["progress"]["done"] < 3:
        assert time.monotonic() < deadline, "it never began"
        time.sleep(0.02)
    kill(killable(running.children))


def killable(children: Callable[[str], list[psutil.Process]]) -> list[psutil.Process]:
    """The train worker's own processes, not those that would start it anew."""
    parents = children("-Q train")
    return [child for parent in parents for child in parent.children(recursive=True)]

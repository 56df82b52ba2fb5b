"""`/v1/trainings` and `/v1/evaluations` as a caller meets them."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.service.labelled import SET

SMALLEST = {"dataset": SET, "target": "band_gap"}


@pytest.fixture
def desk(open_door: Any, put_set: Any, tmp_path: Any) -> Iterator[Any]:
    """A service with one data set."""
    put_set(tmp_path / "state")
    with open_door() as door:
        yield door


def code(answer: httpx2.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["code"])


def train(door: Any, wait_s: int = 20, key: str | None = None, **body: Any) -> httpx2.Response:
    headers = {"Prefer": f"wait={wait_s}"} | ({"Idempotency-Key": key} if key else {})
    answer: httpx2.Response = door.client.post(
        "/v1/trainings", json=SMALLEST | body, headers=headers
    )
    return answer


def events(door: Any, job: str) -> list[tuple[str, dict[str, Any]]]:
    """Events until the first metric, or the end."""
    found, kind = [], ""
    with door.client.stream("GET", f"/v1/jobs/{job}/events") as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                found.append((kind, json.loads(line[6:])))
                if kind in ("metric", "done"):
                    break
    return found


def test_the_smallest_call_makes_a_model(desk: Any) -> None:
    answer = train(desk)
    body = answer.json()
    assert answer.status_code == 201, body
    assert answer.headers["location"] == "/v1/models/hard-things-band-gap/versions/1"
    assert body["model"] == "hard-things-band-gap@1"
    assert body["result"]["metrics"]["test"] == {"mae": 0.1}
    assert desk.predict(("a.cif", b"good"), model="hard-things-band-gap").status_code == 200


def test_a_training_does_not_keep_its_caller_waiting(desk: Any) -> None:
    desk.worker.sleep()
    answer = desk.client.post("/v1/trainings", json=SMALLEST)
    body = answer.json()
    assert (answer.status_code, body["status"], body["model"]) == (202, "queued", None)
    assert answer.headers["location"] == f"/v1/jobs/{body['id']}"
    assert body["settings"]["epochs"] > 0
    assert body["links"]["dataset"] == f"/v1/datasets/{SET}"


def test_the_worker_gets_a_complete_order(desk: Any) -> None:
    job = train(desk, settings={"epochs": 3}, seeds=[0, 1]).json()["id"]
    order = desk.worker.orders[job]
    assert (order["dataset"], order["seeds"], order["training"]["epochs"]) == (SET, [0, 1], 3)
    assert desk.worker.claims[job].uses == (SET,)


def test_a_training_tells_what_was_ordered_and_what_came_of_it(desk: Any) -> None:
    job = train(desk, settings={"epochs": 3}, label="mine").json()["id"]
    body = desk.client.get(f"/v1/trainings/{job}").json()
    assert body["targets"] == [{"column": "band_gap", "property": "band-gap", "unit": "eV"}]
    assert (body["task"], body["split"]["by"]) == ("regression", "random")
    assert body["settings"]["epochs"] == 3
    assert "outputs" not in body["settings"]
    assert body["result"]["curves"] == [[1, 0.5]]
    assert body["job"]["models"] == ["hard-things-band-gap@1"]
    assert body["job"]["links"]["results"] == f"/v1/trainings/{job}"


def test_while_it_runs_each_epoch_is_an_event_and_the_latest_is_shown(desk: Any) -> None:
    job = train(desk, 0, label="endless").json()["id"]
    kind, epoch = events(desk, job)[-1]
    assert (kind, epoch["epoch"], epoch["loss"]) == ("metric", 1, 0.5)
    body = desk.client.get(f"/v1/trainings/{job}").json()
    assert body["latest"]["figures"] == {"mae": 0.2}
    assert body["result"] is None


def test_a_running_training_is_cancelled(desk: Any) -> None:
    job = train(desk, 0, label="endless").json()["id"]
    events(desk, job)
    desk.worker.sleep()  # or the end may come before the answer
    assert desk.client.post(f"/v1/jobs/{job}/cancel").json()["status"] == "cancelling"
    desk.worker.wake()
    told: list[str] = []
    while "event: done" not in told:  # a stream ends with its time as well
        with desk.client.stream("GET", f"/v1/jobs/{job}/events") as answer:
            told = list(answer.iter_lines())
    assert desk.client.get(f"/v1/trainings/{job}").json()["status"] == "cancelled"
    again = desk.client.post(f"/v1/jobs/{job}/retry")
    assert (again.status_code, again.json()["retry_of"]) == (202, job)


def test_a_training_that_fails_says_why(desk: Any) -> None:
    answer = train(desk, label="diverges")
    assert code(answer, 409) == "conflict"
    assert "no number any more" in answer.json()["detail"]
    assert "learning" in answer.json()["hint"].lower()
    view = desk.client.get(f"/v1/trainings/{answer.json()['job']}").json()
    assert view["job"]["error"]["code"] == "diverged"


def test_the_same_request_makes_one_training(desk: Any) -> None:
    first, again = train(desk, key="k"), train(desk, key="k")
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert code(train(desk, key="k", title="x"), 422) == "idempotency_mismatch"


def test_trainings_are_listed_and_filtered(desk: Any) -> None:
    first = train(desk, label="a").json()["id"]
    space = {"width": [8, 16]}
    second = train(desk, search={"space": space, "trials": 2}).json()["id"]
    desk.predict(("a.cif", b"good"))
    body = desk.client.get("/v1/trainings").json()
    assert [one["id"] for one in body["trainings"]] == [second, first]
    assert body["trainings"][0]["search"]["trials"] == 2
    assert "curves" not in body["trainings"][1]["result"]
    labelled = desk.client.get("/v1/trainings?label=a").json()["trainings"]
    assert [one["id"] for one in labelled] == [first]
    assert desk.client.get(f"/v1/trainings?search={second}").json()["trainings"] == []
    assert code(desk.client.get(f"/v1/trainings?search={first}"), 404) == "unknown_job"
    page = desk.client.get("/v1/trainings?limit=1").json()
    rest = desk.client.get(page["links"]["next"]).json()["trainings"]
    assert [one["id"] for one in rest] == [first]
    assert code(desk.client.get("/v1/trainings?cursor=x"), 400) == "invalid_cursor"


@pytest.mark.parametrize("path", ["trainings", "evaluations"])
def test_another_job_is_no_training(desk: Any, path: str) -> None:
    job = desk.predict(("a.cif", b"good")).json()["job"]
    assert code(desk.client.get(f"/v1/{path}/{job}"), 404) == "unknown_job"
    assert code(desk.client.get(f"/v1/{path}/nothing"), 404) == "unknown_job"


def test_a_data_set_is_found_by_its_name(desk: Any) -> None:
    assert train(desk, dataset="Hard things").json()["dataset"] == SET


def test_a_foreign_data_set_is_as_none(desk: Any, put_set: Any) -> None:
    foreign = put_set(desk.settings.state, "set_01JD3Q5T8Z6M4W2K7N9V1X3B5D", owner="other")
    answer = train(desk, dataset=foreign)
    assert code(answer, 404) == "unknown_dataset"
    assert answer.json()["errors"][0]["pointer"] == "/dataset"


@pytest.mark.parametrize(
    ("body", "status", "expected", "pointer"),
    [
        ({"target": "bandgap"}, 422, "unfit_dataset", "/target/column"),
        ({"settings": {"epochs": -1}}, 422, "bad_setting", "/settings/epochs"),
        ({"register_as": "tested"}, 409, "conflict", "/register_as"),
        ({"seeds": "0"}, 422, "invalid_field", "/seeds"),
        ({"split": {"buy": "x"}}, 422, "unknown_field", "/split/buy"),
        ({"start_from": "nobody"}, 404, "unknown_model", "/start_from"),
        ({"tagret": "x"}, 422, "unknown_field", "tagret"),
    ],
)
def test_what_is_wrong_is_a_problem_with_its_place(
    desk: Any, body: dict[str, Any], status: int, expected: str, pointer: str
) -> None:
    answer = train(desk, **body)
    assert code(answer, status) == expected
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert desk.client.get("/v1/jobs").json()["jobs"] == []


def test_a_body_that_is_no_json_is_refused(desk: Any) -> None:
    def sent(content: bytes, kind: str) -> httpx2.Response:
        answer: httpx2.Response = desk.client.post(
            "/v1/trainings", content=content, headers={"Content-Type": kind}
        )
        return answer

    assert code(sent(b"{", "application/json"), 400) == "malformed_json"
    assert code(sent(b"[]", "application/json"), 422) == "invalid_field"
    assert code(sent(b"{}", "text/plain"), 415) == "unsupported_media_type"


def test_a_key_needs_the_scope_to_train(open_door: Any, put_set: Any, tmp_path: Any) -> None:
    put_set(tmp_path / "state", owner="anna")
    with open_door(admin_key="a" * 20) as door:
        admin = {"Authorization": f"Bearer {'a' * 20}"}

        def key(*scopes: str) -> dict[str, str]:
            body = {"name": "n", "scopes": scopes, "owner": "anna", "structures_per_day": 100}
            made = door.client.post("/v1/keys", json=body, headers=admin).json()
            return {"Authorization": f"Bearer {made['key']}", "Prefer": "wait=20"}

        def ask(headers: dict[str, str], **body: Any) -> httpx2.Response:
            answer: httpx2.Response = door.client.post(
                "/v1/trainings", json=SMALLEST | body, headers=headers
            )
            return answer

        assert code(ask(key("predict")), 403) == "forbidden"
        trainer = key("train")
        made = ask(trainer)
        assert made.status_code == 201
        job = made.json()["links"]["job"]
        assert door.client.get(job, headers=trainer).json()["kind"] == "train"
        assert code(door.client.get(made.json()["links"]["self"], headers=admin), 404)
        assert code(ask(admin), 404) == "unknown_dataset"
        assert (
            code(ask(trainer, register_as="another"), 429) == "quota_exceeded"
        )  # 60 rows each of 100 a day


def test_a_model_of_others_gets_no_version_from_any_key(
    open_door: Any, put_set: Any, tmp_path: Any
) -> None:
    put_set(tmp_path / "state", owner="anna")
    body = SMALLEST | {
        "target": {"column": "band_gap", "property": "formation-energy-per-atom"},
        "register_as": "tested",
    }
    with open_door(admin_key="a" * 20) as door:
        door.worker.sleep()
        admin = {"Authorization": f"Bearer {'a' * 20}"}

        def ask(*scopes: str) -> httpx2.Response:
            key = {"name": "n", "scopes": scopes, "owner": "anna"}
            made = door.client.post("/v1/keys", json=key, headers=admin).json()
            headers = {"Authorization": f"Bearer {made['key']}"}
            answer: httpx2.Response = door.client.post("/v1/trainings", json=body, headers=headers)
            return answer

        assert code(ask("train"), 403) == "forbidden"
        assert ask("train", "models:write").status_code == 202


def evaluate(door: Any, **body: Any) -> httpx2.Response:
    answer: httpx2.Response = door.client.post(
        "/v1/evaluations", json=body, headers={"Prefer": "wait=20"}
    )
    return answer


def test_a_model_is_judged_by_a_data_set(desk: Any) -> None:
    answer = evaluate(
        desk, model="tested", dataset=SET, columns={"formation-energy-per-atom": "band_gap"}
    )
    body = answer.json()
    assert answer.status_code == 200, body
    assert (body["model"], body["result"]["metrics"]) == ("tested@1", {"mae": 0.1})
    assert desk.worker.orders[body["id"]]["columns"] == {"formation-energy-per-atom": "band_gap"}
    assert desk.client.get(body["links"]["self"]).json()["id"] == body["id"]
    jobs = desk.client.get("/v1/jobs?kind=evaluate&model=tested").json()["jobs"]
    assert [job["id"] for job in jobs] == [body["id"]]


def test_a_learning_curve_is_several_trainings(desk: Any) -> None:
    body = evaluate(desk, train=SMALLEST, sizes=[30, 10]).json()
    order = desk.worker.orders[body["id"]]
    assert (order["sizes"], order["train"]["register_as"]) == ([10, 30], None)
    assert body["sizes"] == [10, 30]


@pytest.mark.parametrize(
    ("body", "status", "expected", "pointer"),
    [
        ({}, 422, "missing_field", "/model"),
        ({"train": SMALLEST, "sizes": [0]}, 422, "invalid_field", "/sizes/0"),
        ({"dataset": SET}, 422, "missing_field", "/model"),
        ({"model": "nobody", "dataset": SET}, 404, "unknown_model", "/model"),
        ({"model": "tested", "dataset": "none"}, 404, "unknown_dataset", "/dataset"),
        ({"model": "tested", "dataset": SET}, 422, "unfit_dataset", "/columns"),
        ({"model": "tested", "dataset": SET, "columns": {"x": "band_gap"}}, 422, "invalid_field", "/columns/x"),
        (
            {"model": "tested", "dataset": SET, "columns": {"formation-energy-per-atom": "phase"}},
            422,
            "unfit_dataset",
            "/columns/formation-energy-per-atom",
        ),
        ({"model": "tested", "sizes": [10]}, 422, "missing_field", "/dataset"),
        ({"model": "tested", "dataset": SET, "sizes": [10]}, 422, "invalid_field", "/model"),
        ({"train": SMALLEST}, 422, "missing_field", "/sizes"),
        ({"train": SMALLEST, "sizes": [10, 9999]}, 422, "unfit_dataset", "/sizes"),
        ({"train": SMALLEST | {"target": "x"}, "sizes": [10]}, 422, "unfit_dataset", "/train/target/column"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_evaluation_is_named(
    desk: Any, body: dict[str, Any], status: int, expected: str, pointer: str
) -> None:
    answer = evaluate(desk, **body)
    assert code(answer, status) == expected
    assert answer.json()["errors"][0]["pointer"] == pointer

"""`/v1/datasets` as a caller meets it."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.client import Client
from service.client_errors import JobFailed, Problem
from service.routes.datasets import name_of
from workers.broker import connect
from workers.contract import Task
from workers.jobs import Jobs, NewJob, new_id


def code(answer: httpx2.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["code"])


def add(
    door: Any, data: bytes = b"rows", file: str = "my set.zip", **fields: Any
) -> httpx2.Response:
    answer: httpx2.Response = door.client.post(
        "/v1/datasets",
        files={"file": (file, data)},
        data=fields,
        headers={"Prefer": "wait=20", **fields.pop("headers", {})},
    )
    return answer


def test_a_data_set_is_kept_and_looked_at(open_door: Any) -> None:
    with open_door() as door:
        answer = add(door, good_share="0.5", columns="band_gap,phase", coordinates="start")
        body = answer.json()
        assert answer.status_code == 201, body
        assert body["dataset"]["name"] == "my-set"
        assert answer.headers["location"] == f"/v1/datasets/{body['dataset']['id']}"
        order = door.worker.orders[body["job"]]
        assert (order["good_share"], order["columns"]) == (0.5, ["band_gap", "phase"])
        assert door.worker.seen[body["job"]][0].data == b"rows"
        for known in ("my-set", body["dataset"]["id"]):
            assert door.client.get(f"/v1/datasets/{known}").json() == body["dataset"]
        job = door.client.get(f"/v1/jobs/{body['job']}").json()
        assert job["links"]["results"] == answer.headers["location"]
        assert job["models"] == []


def test_the_same_set_again_is_no_second_one(open_door: Any) -> None:
    with open_door() as door:
        first, again = add(door), add(door)
        assert (first.status_code, again.status_code) == (201, 200)
        assert again.headers["location"] == first.headers["location"]


def test_a_set_that_was_refused_says_why_and_leaves_its_report(open_door: Any) -> None:
    with open_door() as door:
        answer = add(door, b"bad")
        assert code(answer, 422) == "bad_dataset"
        assert answer.json()["errors"] == [{"code": "empty_input", "detail": "Nothing."}]
        report = door.client.get(answer.json()["links"]["report"]).json()
        assert report["rows"][0]["row"] == 1
        assert door.client.get("/v1/datasets").json()["datasets"] == []


def test_the_report_has_pages_and_lines(open_door: Any) -> None:
    with open_door() as door:
        known = add(door).json()["dataset"]["links"]["report"]
        first = door.client.get(known, params={"limit": 2}).json()
        assert len(first["rows"]) == 2
        assert len(door.client.get(first["links"]["next"]).json()["rows"]) == 1
        lines = door.client.get(known, headers={"Accept": "application/jsonl"}).text
        assert len(lines.splitlines()) == 3


def test_sets_are_listed_newest_first_in_pages(open_door: Any) -> None:
    with open_door() as door:
        for name in ("a", "b", "c"):
            add(door, name=name)
        page = door.client.get("/v1/datasets", params={"limit": 2}).json()
        assert [one["name"] for one in page["datasets"]] == ["c", "b"]
        rest = door.client.get(page["links"]["next"]).json()
        assert [one["name"] for one in rest["datasets"]] == ["a"]
        only = door.client.get("/v1/datasets", params={"name": "b"}).json()["datasets"]
        assert [one["name"] for one in only] == ["b"]


@pytest.mark.parametrize(
    ("fields", "status", "expected"),
    [
        ({"name": "../x"}, 422, "invalid_field"),
        ({"name": "set_01M7YD9JFHAQSA7QTN4FH30WW2"}, 422, "invalid_field"),
        ({"good_share": "2"}, 422, "invalid_field"),
        ({"good_share": "much"}, 422, "invalid_field"),
        ({"nane": "x"}, 422, "unknown_field"),
    ],
)
def test_fields_that_make_no_sense_are_refused(
    door: Any, fields: dict[str, str], status: int, expected: str
) -> None:
    assert code(add(door, **fields), status) == expected


def test_a_call_without_a_file_or_with_two_is_refused(door: Any) -> None:
    assert (
        code(door.client.post("/v1/datasets", files={"name": (None, "x")}), 422) == "missing_field"
    )
    two = [("file", ("a.zip", b"x")), ("file", ("b.zip", b"x"))]
    assert code(door.client.post("/v1/datasets", files=two), 413) == "too_many_files"
    assert code(door.client.post("/v1/datasets", json={}), 415) == "unsupported_media_type"


def test_a_data_set_may_be_larger_than_other_requests(open_door: Any) -> None:
    with open_door(max_body_bytes=10_000, max_dataset_bytes=50_000) as door:
        assert add(door, b"x" * 30_000).status_code == 201
        assert code(add(door, b"x" * 60_000), 413) == "body_too_large"
        assert code(door.predict(("a.cif", b"x" * 30_000)), 413) == "body_too_large"


@pytest.mark.parametrize("known", ["nothing", "set_01JD3Q5T8Z6M4W2K7N9V1X3B5C", "..", "a%00b"])
def test_what_is_not_there_is_unknown(door: Any, known: str) -> None:
    for method, path in (("GET", ""), ("GET", "/report"), ("DELETE", "")):
        answer = door.client.request(method, f"/v1/datasets/{known}{path}")
        assert code(answer, 404) in ("unknown_dataset", "not_found")


def test_a_set_in_use_stays_and_one_that_is_not_goes(open_door: Any) -> None:
    with open_door() as door:
        known = add(door).json()["dataset"]["id"]
        jobs = Jobs(connect(door.settings))
        user = NewJob(id=new_id("job"), kind=Task.TRAIN, order="{}", owner="local", uses=(known,))
        assert jobs.submit(user)
        assert code(door.client.delete(f"/v1/datasets/{known}"), 409) == "conflict"
        jobs.cancel(user.id)
        assert door.client.delete(f"/v1/datasets/{known}").status_code == 204
        assert code(door.client.get(f"/v1/datasets/{known}"), 404) == "unknown_dataset"
        jobs.redis.close()


def test_sets_belong_to_their_owner_and_need_the_scope(open_door: Any) -> None:
    with open_door(admin_key="a" * 20) as door, Client(door.url, "a" * 20) as admin:
        made = {
            name: admin.create_key(name, scopes=scopes, owner=name).key
            for name, scopes in (("one", ["train"]), ("two", ["train"]), ("three", ["predict"]))
        }
        headers = {name: {"Authorization": f"Bearer {key}"} for name, key in made.items()}
        known = add(door, headers=headers["one"]).json()["dataset"]["id"]
        for who in ("two", "three"):
            for path in ("", "/report"):
                answer = door.client.get(f"/v1/datasets/{known}{path}", headers=headers[who])
                assert code(answer, 404) == "unknown_dataset"
        assert code(door.client.delete(f"/v1/datasets/{known}", headers=headers["two"]), 404)
        assert code(add(door, headers=headers["three"]), 403) == "forbidden"


def test_the_client_adds_lists_shows_and_deletes(open_door: Any, tmp_path: Path) -> None:
    file = tmp_path / "moduli.zip"
    file.write_bytes(b"rows")
    told: list[int] = []
    with open_door() as door, Client(door.url) as client:
        made = client.add_dataset(file, good_share=0.5, progress=lambda now: told.append(now.done))
        assert (made.name, made.rows) == ("moduli", 60)
        assert client.dataset("moduli").id == made.id == client.datasets()[0].id
        assert [bad.row for bad in client.dataset_report(made.id)] == [1, 1, 1]
        client.delete_dataset("moduli")
        assert client.datasets() == []
        file.write_bytes(b"bad")
        with pytest.raises((Problem, JobFailed), match="cannot be used"):
            client.add_dataset(file)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.zip", "a"),
        ("dir/some set (1).tar.gz", "some-set-1"),
        ("x.jsonl.zst", "x"),
        ("mp-20.v2.parquet", "mp-20.v2"),
        ("äöü.csv", "dataset"),
        (".zip", "dataset"),
    ],
)
def test_a_set_is_named_after_its_file(file: str, name: str) -> None:
    assert name_of(file) == name

"""Screenings at the door: what is taken, what is refused, and the table as it goes out."""

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest

from service.locations import resolved, roots_of
from service.problems import Problem
from tests.service.conftest import Door, Opener, put_dataset

CIF = b"data_x\n"
KEYS = {"admin_key": "an-administrators-key-of-tests"}


def screened(door: Door, count: int = 25, **more: Any) -> httpx2.Response:
    """A screening of so many files."""
    files = [("files", (f"s-{index}.cif", CIF)) for index in range(count)]
    fields = [(name, (None, value)) for name, value in ({"model": "tested"} | more).items()]
    return door.client.post("/v1/screenings", files=[*fields, *files])


def ended(door: Door, job: str) -> dict[str, Any]:
    deadline = time.monotonic() + 10
    while True:
        view: dict[str, Any] = door.client.get(f"/v1/screenings/{job}").json()
        if view["complete"]:
            return view
        assert time.monotonic() < deadline, view
        time.sleep(0.005)


@pytest.fixture(scope="module")
def job(door: Door) -> str:
    """A screening that has ended."""
    made = str(screened(door, label="the first").json()["id"])
    ended(door, made)
    return made


def rows(door: Door, job: str, **question: Any) -> httpx2.Response:
    return door.client.get(f"/v1/screenings/{job}/results", params=question)


def test_a_screening_is_accepted_at_once_with_where_to_go_on(door: Door) -> None:
    answer = screened(door, 3, label="mine", format="cif", level="0.8")
    assert answer.status_code == 202
    view = answer.json()
    assert answer.headers["location"] == f"/v1/screenings/{view['id']}" == view["links"]["self"]
    assert (view["source"], view["models"], view["level"]) == ("files", ["tested@1"], 0.8)
    assert view["job"]["kind"] == "screen"
    assert view["job"]["links"]["results"] == view["links"]["self"]
    ended(door, view["id"])
    for name, link in view["links"].items():
        if name not in ("cancel", "retry"):
            with door.client.stream("GET", link) as found:
                assert found.status_code == 200, link
    order = door.worker.orders[view["id"]]
    assert (order["format"], order["level"], order["models"]) == ("cif", 0.8, ["tested@1"])
    assert [entry.name for entry in door.worker.seen[view["id"]]] == [
        "s-0.cif",
        "s-1.cif",
        "s-2.cif",
    ]


def test_rows_come_in_pages_with_filter_order_and_columns(door: Door, job: str) -> None:
    page = rows(door, job, where="tested < -1 and in_domain", sort="-tested", columns="name,tested",
                limit=2, count=True).json()  # fmt: skip
    found = page["rows"]
    assert page["complete"] is True
    assert (page["status"], page["progress"]["done"]) == ("succeeded", 25)
    while page["links"]["next"]:
        page = door.client.get(page["links"]["next"]).json()
        found += page["rows"]
    assert len(found) == page["count"] > 2
    values = [row["tested"] for row in found]
    assert values == sorted(values, reverse=True)
    assert max(values) < -1
    assert list(found[0]) == ["name", "tested"]


def test_top_bounds_all_pages_together(door: Door, job: str) -> None:
    page = rows(door, job, sort="tested", top=5, limit=3).json()
    following = door.client.get(page["links"]["next"]).json()
    assert (len(page["rows"]), len(following["rows"])) == (3, 2)
    assert following["links"]["next"] is None


@pytest.mark.parametrize(
    ("accept", "form"),
    [("text/csv", "csv"), ("application/jsonl", "jsonl"), ("application/x-ndjson", "jsonl"),
     ("application/vnd.apache.parquet", "parquet"), ("text/html, */*", "json"), ("", "json")],
)  # fmt: skip
def test_the_form_is_chosen_by_accept_too(door: Door, job: str, accept: str, form: str) -> None:
    address = f"/v1/screenings/{job}/results"
    by_header = door.client.get(address, headers={"Accept": accept}).content
    by_query = door.client.get(address, params={"format": form}).content
    if form == "json":
        assert json.loads(by_header)["rows"] == json.loads(by_query)["rows"]
    else:
        assert by_header == by_query


def test_the_whole_table_comes_as_a_file(door: Door, job: str) -> None:
    lines = rows(door, job, format="jsonl", where="status = 'failed'").text.splitlines()
    assert [json.loads(line)["index"] for line in lines] == [9, 19]
    assert json.loads(lines[0])["error"]["code"] == "unreadable_structure"
    table = rows(door, job, format="csv", columns="name,tested", top=2)
    assert table.text.splitlines()[0] == "name,tested"
    assert len(table.text.splitlines()) == 3
    assert table.headers["content-type"].startswith("text/csv")
    assert f"{job}.csv" in table.headers["content-disposition"]
    assert table.headers["x-matprop-complete"] == "true"
    kept = pq.read_table(io.BytesIO(rows(door, job, format="parquet").content))
    assert kept.num_rows == 25


def test_a_broken_download_goes_on(door: Door, job: str) -> None:
    address = f"/v1/screenings/{job}/results?format=csv"
    complete = door.client.get(address)
    rest = door.client.get(
        address, headers={"Range": "bytes=100-", "If-Range": complete.headers["etag"]}
    )
    assert rest.status_code == 206
    assert complete.content[100:] == rest.content
    other = door.client.get(address, headers={"Range": "bytes=100-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, complete.content)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_what_has_not_changed_is_not_sent_again(door: Door, job: str, form: str) -> None:
    tag = rows(door, job, format=form, sort="tested").headers["etag"]
    address = f"/v1/screenings/{job}/results"
    same = door.client.get(
        address, params={"format": form, "sort": "tested"}, headers={"If-None-Match": tag}
    )
    assert (same.status_code, same.content) == (304, b"")
    other = door.client.get(
        address, params={"format": form, "sort": "-tested"}, headers={"If-None-Match": tag}
    )
    assert other.status_code == 200


def test_rows_can_be_read_while_the_screening_runs(door: Door) -> None:
    made = screened(door, 20, label="halfway").json()["id"]
    deadline = time.monotonic() + 10
    while len((page := rows(door, made).json())["rows"]) < 20:
        assert time.monotonic() < deadline
    while not (page := rows(door, made).json())["progress"]["done"]:
        assert time.monotonic() < deadline
    assert page["complete"] is False
    assert (page["progress"]["total"], page["progress"]["failed"]) == (40, 2)
    assert page["progress"]["eta_s"] is not None
    assert door.client.get(f"/v1/screenings/{made}/errors").json()["complete"] is False
    assert rows(door, made, format="csv").headers["x-matprop-complete"] == "false"
    assert door.client.delete(f"/v1/jobs/{made}").status_code == 409
    door.client.post(f"/v1/jobs/{made}/cancel")
    assert ended(door, made)["status"] == "cancelled"
    assert len(rows(door, made).json()["rows"]) == 20


def test_failed_structures_are_listed_with_their_problem(door: Door, job: str) -> None:
    page = door.client.get(f"/v1/screenings/{job}/errors", params={"limit": 1}).json()
    following = door.client.get(page["links"]["next"]).json()
    assert [one["index"] for one in page["errors"] + following["errors"]] == [9, 19]
    assert page["errors"][0]["error"]["detail"] == "It is bad."
    assert following["links"]["next"] is None


def test_columns_are_told_with_their_meaning(door: Door, job: str) -> None:
    told = door.client.get(f"/v1/screenings/{job}/columns").json()["columns"]
    assert list(rows(door, job).json()["rows"][0]) == [one["name"] for one in told]
    assert "eV/atom" in next(one["about"] for one in told if one["name"] == "tested")


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ({"where": "tested >> 1"}, (422, "invalid_filter", "where")),
        ({"where": "tasted > 1"}, (422, "unknown_column", "where")),
        ({"sort": "-tasted"}, (422, "unknown_column", "sort")),
        ({"columns": "tasted"}, (422, "unknown_column", "columns")),
        ({"top": 0}, (422, "invalid_field", "/top")),
        ({"limit": 1001}, (422, "invalid_field", "/limit")),
        ({"format": "xlsx"}, (422, "invalid_field", "/format")),
        ({"wher": "x"}, (422, "unknown_field", "wher")),
        ({"cursor": "nonsense"}, (400, "invalid_cursor", None)),
    ],
)
def test_a_question_that_cannot_be_asked_is_a_problem_that_names_its_place(
    door: Door, job: str, question: dict[str, Any], told: tuple[int, str, str | None]
) -> None:
    status, code, pointer = told
    answer = rows(door, job, **question)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    if pointer:
        assert problem["errors"][0]["pointer"] == pointer
    if code == "unknown_column":
        assert "tested" in problem["columns"]
        assert problem["hint"] == "Did you mean `tested`?"


@pytest.mark.parametrize(
    ("fields", "status", "code", "words"),
    [
        ({}, 422, "missing_field", "`files`, `dataset` or `location`"),
        ({"dataset": "nothing"}, 404, "unknown_dataset", "nothing"),
        ({"location": "/etc/passwd"}, 403, "location_not_allowed", "/etc/passwd"),
        ({"location": "data.zip"}, 422, "invalid_field", "absolute"),
        ({"location": "https://example.org/a.zip"}, 422, "invalid_field", "https"),
        ({"dataset": "a", "location": "/b"}, 422, "invalid_field", "one source"),
        ({"dataset": "a", "format": "cfi"}, 422, "invalid_field", "cif"),
        ({"dataset": "a", "models": "x"}, 422, "unknown_field", "model"),
        ({"dataset": "a", "model": "testde"}, 404, "unknown_model", "tested"),
        ({"dataset": "a", "model": ""}, 422, "missing_field", "model"),
        ({"dataset": "a", "level": "1.5"}, 422, "invalid_field", "level"),
    ],
)
def test_what_cannot_be_screened_is_refused_in_words(
    door: Door, fields: dict[str, str], status: int, code: str, words: str
) -> None:
    answer = screened(door, 0, **fields)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert words in answer.text


def test_a_data_set_is_screened_by_its_name(door: Door) -> None:
    made = put_dataset(door.settings.state, name="candidates")
    door.worker.sleep()
    answer = door.client.post(
        "/v1/screenings", json={"models": ["tested"], "dataset": "candidates", "level": None}
    )
    view = answer.json()
    assert answer.status_code == 202, view
    assert (view["source"], view["dataset"], view["level"]) == ("dataset", made, 0.9)
    assert view["links"]["dataset"] == f"/v1/datasets/{made}"
    assert view["job"]["progress"]["total"] == 60
    door.worker.wake()
    ended(door, view["id"])


def test_the_same_request_sent_again_makes_one_screening(door: Door) -> None:
    files = [("files", ("a.cif", CIF))]
    headers = {"Idempotency-Key": "screening-1"}
    once, again = (
        door.client.post("/v1/screenings", files=files, data={"model": "tested"}, headers=headers)
        for _ in range(2)
    )
    assert once.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert again.status_code == 202


def test_screenings_are_listed_alone_and_among_jobs(door: Door, job: str) -> None:
    listed = door.client.get("/v1/screenings", params={"label": "the first"}).json()
    assert [one["id"] for one in listed["screenings"]] == [job]
    jobs = door.client.get("/v1/jobs", params={"kind": "screen", "label": "the first"}).json()
    assert [one["id"] for one in jobs["jobs"]] == [job]


def test_a_purged_screening_is_gone_with_its_table(door: Door) -> None:
    made = screened(door, 2).json()["id"]
    ended(door, made)
    assert door.client.delete(f"/v1/jobs/{made}").status_code == 204
    assert rows(door, made).status_code == 404
    assert not (door.settings.state / "screenings" / made).exists()


def test_other_jobs_are_no_screenings(door: Door) -> None:
    made = door.predict(("a.cif", CIF)).json()["job"]
    for address in ("", "/results", "/errors", "/columns"):
        answer = door.client.get(f"/v1/screenings/{made}{address}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job")


def test_a_screening_of_somebody_else_is_as_none(open_door: Opener) -> None:
    with open_door(**KEYS) as door:
        admin = {"Authorization": f"Bearer {KEYS['admin_key']}"}
        secrets = [
            door.client.post("/v1/keys", json={"name": name, "scopes": ["predict"]}, headers=admin).json()["key"]
            for name in ("one", "two")
        ]  # fmt: skip
        mine, other = ({"Authorization": f"Bearer {secret}"} for secret in secrets)
        made = door.client.post(
            "/v1/screenings", files=[("files", ("a.cif", CIF))], data={"model": "tested"}, headers=mine
        ).json()["id"]  # fmt: skip
        for address in ("", "/results", "/results?format=csv", "/errors", "/columns"):
            path = f"/v1/screenings/{made}{address}"
            assert door.client.get(path, headers=mine).status_code == 200
            foreign = door.client.get(path, headers=other)
            assert (foreign.status_code, foreign.json()["code"]) == (404, "unknown_job")
            assert door.client.get(path).status_code == 401
        assert door.client.get("/v1/screenings", headers=other).json()["screenings"] == []


def test_a_data_set_is_charged_by_its_rows(open_door: Opener) -> None:
    with open_door(**KEYS) as door:
        admin = {"Authorization": f"Bearer {KEYS['admin_key']}"}
        order = {"name": "one", "scopes": ["predict", "train"], "structures_per_day": 50}
        key = door.client.post("/v1/keys", json=order, headers=admin).json()
        put_dataset(
            door.settings.state, name="many", owner=key["owner"] if "owner" in key else key["id"]
        )
        answer = door.client.post(
            "/v1/screenings",
            json={"models": ["tested"], "dataset": "many"},
            headers={"Authorization": f"Bearer {key['key']}"},
        )
        assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")


def test_an_upload_may_be_larger_than_that_of_a_prediction(open_door: Opener) -> None:
    with open_door(
        max_body_bytes=2_000, max_structure_bytes=1_000, max_screening_bytes=5_000
    ) as door:
        for size, status in ((4_000, 202), (6_000, 413)):
            answer = door.client.post(
                "/v1/screenings", files=[("files", ("a.jsonl", b"x" * size))], data={"model": "tested"}
            )  # fmt: skip
            assert answer.status_code == status


# Locations


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A root with a file, and things beside it."""
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    (root / "inner" / "a.zip").write_bytes(b"")
    (tmp_path / "root-other").mkdir()
    (tmp_path / "root-other" / "b.zip").write_bytes(b"")
    (root / "out").symlink_to(tmp_path / "root-other")
    (root / "in").symlink_to(root / "inner" / "a.zip")
    (tmp_path / "link-to-root").symlink_to(root)
    os.mkfifo(root / "pipe")
    return root


def test_what_lies_below_a_root_is_found_by_every_name(shelf: Path) -> None:
    roots = roots_of(f" {shelf} ,s3://bucket/prefix")
    real = str((shelf / "inner" / "a.zip").resolve())
    for name in ("inner/a.zip", "inner/../inner/a.zip", "in", "./inner//a.zip"):
        assert resolved(f"{shelf}/{name}", roots) == real
    assert resolved(f"{shelf.parent}/link-to-root/inner/a.zip", roots) == real
    assert resolved(f"file://{shelf}/inner/a.zip", roots) == real
    assert resolved(str(shelf), roots) == str(shelf.resolve())


@pytest.mark.parametrize("root", ["s3://bucket/prefix", "s3://bucket/prefix/", "s3://bucket"])
@pytest.mark.parametrize("key", ["", "/", "/a.zip", "/a/b/", "/50%2F/..a/b c#1"])
def test_what_a_bucket_has_below_a_root_is_handed_on_as_it_is(root: str, key: str) -> None:
    address = f"s3://bucket/prefix{key}"
    assert resolved(address, roots_of(f"/elsewhere,{root}")) == address


@pytest.mark.parametrize(
    "location",
    ["{root}/../root-other/b.zip", "{root}/out/b.zip", "{root}/out/no.zip", "{root}-other/b.zip",
     "{root}-other/no.zip", "/etc/passwd", "/", "/nothing/there", "file:///etc/passwd",
     "s3://bucket/prefixed/a", "s3://bucket/prefix2/", "s3://bucket", "s3://bucket/", "s3://other/prefix/a",
     "s3://bucket/prefix/../other", "s3://bucket/prefix/./a", "s3://bucket//prefix/a", "s3://bucket/prefix//",
     "s3://bucket/prefi%78/a", "s3://bucket2/prefix/a", "s3://bucket/Prefix/a", "s3://bucket/other/prefix/a"],
)  # fmt: skip
def test_what_lies_elsewhere_is_refused_alike_whether_it_is_there_or_not(
    shelf: Path, location: str
) -> None:
    roots = roots_of(f"{shelf},s3://bucket/prefix")
    named = location.format(root=shelf)
    with pytest.raises(Problem) as caught:
        resolved(named, roots)
    shown = named.removeprefix("file://")
    assert caught.value.code == "location_not_allowed"
    assert caught.value.status == 403
    assert caught.value.detail == f"Nothing is read from {shown!r}."


@pytest.mark.parametrize(
    "location",
    [
        *(
            "{root}/no.zip",
            "{root}/pipe",
            "{root}/\0",
            "",
            "relative",
            "ftp://a/b",
            "S3://bucket/a",
        ),
        *("s3://", "s3://b/a", "s3://key:word@bucket/a", "s3://bucket:90/a", "s3://Bucket/a"),
        *("s3://bucket/a?versionId=1", "s3://bucket/\n"),
        *("{root}/" + 300 * "a", "{root}/\ud800", "file://{root}/%00", "file://[::1", "file://a/b"),
    ],
)
def test_what_cannot_be_read_is_refused(shelf: Path, location: str) -> None:
    with pytest.raises(Problem) as caught:
        resolved(location.format(root=shelf), (str(shelf), "s3://bucket"))
    assert caught.value.code == "invalid_field"


def test_a_location_is_handed_to_the_workers_as_what_it_is(open_door: Opener, shelf: Path) -> None:
    with open_door(input_roots=str(shelf)) as door:
        answer = screened(door, 0, location=f"{shelf}/in")
        assert answer.status_code == 202
        ended(door, answer.json()["id"])
        order = door.worker.orders[answer.json()["id"]]
        assert order["location"] == str((shelf / "inner" / "a.zip").resolve())


def test_an_address_in_a_bucket_is_handed_to_the_workers(open_door: Opener) -> None:
    with open_door(input_roots="s3://bucket/prefix") as door:
        answer = screened(door, 0, location="s3://bucket/prefix/a/")
        assert answer.status_code == 202
        ended(door, answer.json()["id"])
        assert door.worker.orders[answer.json()["id"]]["location"] == "s3://bucket/prefix/a/"
        refused = screened(door, 0, location="s3://bucket/prefix2/a.zip")
        assert (refused.status_code, refused.json()["code"]) == (403, "location_not_allowed")


def test_roots_that_are_none_refuse_the_start() -> None:
    for wrong in (
        "data",
        "https://a/b",
        "s3:/a",
        "s3://",
        "s3://a/b",
        "s3://bucket//a",
        "s3://k:w@bucket",
    ):
        with pytest.raises(ValueError, match="neither"):
            roots_of(wrong)

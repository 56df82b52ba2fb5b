"""`/v1/predictions` as a caller meets it."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.schemas.prediction import PredictionAnswer, PredictionView

GOOD = ("NaCl.cif", b"data_NaCl good\n")
BAD = ("broken.cif", b"data_x bad\n")


def is_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"/problems/{code}")
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["title"]
    assert body["detail"]
    return body


def test_files_come_back_as_records_in_their_order(door: Any) -> None:
    answer = door.predict(GOOD, BAD, ("c.vasp", b"good"))
    assert answer.status_code == 200
    body = answer.json()
    assert [record["name"] for record in body["records"]] == ["NaCl.cif", "broken.cif", "c.vasp"]
    assert [record["status"] for record in body["records"]] == ["succeeded", "failed", "succeeded"]
    assert body["records"][0]["predictions"][0]["model"] == "tested@1"
    assert body["links"]["job"] == f"/v1/jobs/{body['job']}"


def test_json_does_what_a_form_does(door: Any) -> None:
    structures = [{"name": "a", "text": "good"}, {"text": "also good", "format": "cif"}]
    answer = door.client.post(
        "/v1/predictions",
        json={"structures": structures, "models": ["tested"], "include": ["sites"]},
    )
    body = answer.json()
    assert answer.status_code == 200, body
    assert [record["name"] for record in body["records"]] == ["a", "structure-2"]
    assert [entry.format for entry in door.worker.seen[body["job"]]] == [None, "cif"]
    assert door.worker.orders[body["job"]]["sites"] is True


def test_the_level_of_intervals_is_that_of_the_request(door: Any) -> None:
    def told(**body: Any) -> Any:
        order = {"structures": [{"text": "x"}], "models": ["tested"]} | body
        answer = door.client.post("/v1/predictions", json=order).json()
        return answer["records"][0]["predictions"][0]["level"], door.worker.orders[answer["job"]]

    assert told()[0] == 0.9
    assert told(level=0.5)[0] == 0.5
    assert told(level=None) == told()  # as an empty field of a form
    # As it is when nobody asks for more, workers of the version before can read it.
    assert not {"level", "neighbours"} & told()[1].keys()
    by_form = door.predict(GOOD, data={"level": "0.8"}).json()
    assert by_form["records"][0]["predictions"][0]["level"] == 0.8


def test_neighbours_are_asked_of_the_worker(door: Any) -> None:
    fields = {"include": "neighbours,features"}
    record = door.predict(GOOD, data=fields).json()["records"][0]
    assert record["predictions"][0]["neighbours"][0]["name"] == "mp-1"


def test_what_goes_out_is_as_the_contract_has_it(door: Any) -> None:
    answer = door.predict(GOOD, data={"include": "neighbours"}).json()
    view = PredictionAnswer.model_validate(answer)
    told = answer["records"][0]["predictions"][0]
    assert told.keys() <= PredictionView.model_fields.keys()
    assert view.records[0].predictions[0].interval == [-1.6, -1.4]


def test_a_format_after_the_files_counts_for_them(door: Any) -> None:
    parts = [("files", ("x", b"good")), ("format", (None, "poscar")), ("model", (None, "tested"))]
    body = door.client.post("/v1/predictions", files=parts).json()
    assert [entry.format for entry in door.worker.seen[body["job"]]] == ["poscar"]


def test_when_every_structure_is_bad_the_answer_is_a_problem(door: Any) -> None:
    body = is_problem(door.predict(BAD, BAD), 422, "unreadable_structure")
    assert [error["file"] for error in body["errors"]] == ["broken.cif", "broken.cif"]
    assert len(body["records"]) == 2
    assert body["job"].startswith("job_")


def test_different_errors_share_a_name(open_door: Any) -> None:
    with open_door(max_structure_bytes=1_000) as door:
        body = is_problem(
            door.predict(BAD, ("big.cif", b"x" * 1_001)), 422, "no_structure_predicted"
        )
    assert {error["code"] for error in body["errors"]} == {"unreadable_structure", "too_large"}


def test_a_file_that_is_too_large_leaves_the_others_alone(open_door: Any) -> None:
    with open_door(max_structure_bytes=1_000) as door:
        body = door.predict(GOOD, ("big.cif", b"x" * 1_001), GOOD).json()
        assert [record["status"] for record in body["records"]] == [
            "succeeded",
            "failed",
            "succeeded",
        ]
        assert body["records"][1]["error"]["code"] == "too_large"
        assert [len(entry.data) for entry in door.worker.seen[body["job"]]] == [15, 0, 15]


def test_an_archive_may_be_larger_than_a_structure(open_door: Any) -> None:
    with open_door(max_structure_bytes=1_000) as door:
        body = door.predict(("many.zip", b"PK\x03\x04" + b"x" * 5_000)).json()
        assert [len(entry.data) for entry in door.worker.seen[body["job"]]] == [5_004]


def test_a_body_over_the_bound_is_refused_at_once(open_door: Any) -> None:
    with open_door(max_body_bytes=100_000) as door:
        is_problem(door.predict(("big.cif", b"x" * 200_000)), 413, "body_too_large")
        chunks = (b"x" * 50_000 for _ in range(4))
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        chunked = door.client.post("/v1/predictions", content=chunks, headers=headers)
        assert chunked.status_code in (400, 413)
        assert nothing_left(door)


def nothing_left(door: Any) -> bool:
    return not list(Path(door.settings.state).glob("uploads/*/.*"))


def test_too_many_files_are_refused(open_door: Any) -> None:
    with open_door(max_files=3) as door:
        is_problem(door.predict(*[GOOD] * 4), 413, "too_many_files")
        many = [{"text": "good"}] * 4
        answer = door.client.post(
            "/v1/predictions", json={"structures": many, "models": ["tested"]}
        )
        is_problem(answer, 413, "too_many_files")
        assert door.predict(*[GOOD] * 3).status_code == 200
        assert nothing_left(door)


def test_no_model_named_tells_which_there_are(door: Any) -> None:
    body = is_problem(door.predict(GOOD, model=None), 422, "missing_field")
    assert "tested" in body["detail"]


def test_an_unknown_model_suggests_the_near_one(door: Any) -> None:
    body = is_problem(door.predict(GOOD, model="testde"), 404, "unknown_model")
    assert "tested" in body["hint"]


def test_an_unknown_field_names_those_there_are(door: Any) -> None:
    body = is_problem(door.predict(GOOD, data={"modle": "tested"}), 422, "unknown_field")
    assert body["errors"][0]["hint"] == "Did you mean `model`?"
    assert "disorder" in body["detail"]


@pytest.mark.parametrize(
    "data",
    [
        {"disorder": "ignore"},
        {"primitive": "perhaps"},
        {"include": "everything"},
        {"level": "90"},
        {"level": "0"},
        {"level": "nan"},
        {"level": "high"},
        {"format": "pdb"},
        {"label": "x" * 201},
        {"label": "x" * 5_000},
        {"model": ",".join(["tested@1"] * 17)},
    ],
)
def test_a_field_with_a_wrong_value_is_named(door: Any, data: dict[str, str]) -> None:
    body = is_problem(door.predict(GOOD, data={"model": "tested"} | data), 422, "invalid_field")
    assert next(iter(data)) in str(body)


def test_a_forgotten_at_sign_is_recognised(door: Any) -> None:
    parts = [("files", (None, "NaCl.cif")), ("model", (None, "tested"))]
    body = is_problem(door.client.post("/v1/predictions", files=parts), 422, "invalid_field")
    assert "@NaCl.cif" in body["hint"]


def test_a_form_without_files_asks_for_them(door: Any) -> None:
    parts = [("model", (None, "tested"))]
    is_problem(door.client.post("/v1/predictions", files=parts), 422, "missing_field")


@pytest.mark.parametrize(
    ("kind", "content", "status", "code"),
    [
        ("application/json", b"{", 400, "malformed_json"),
        ("application/json", b'{"structures": NaN}', 400, "malformed_json"),
        ("application/json", b"\xff\xfe", 400, "malformed_json"),
        ("application/json", b"[" * 100_000, 400, "malformed_json"),
        ("application/json", b"[]", 422, "invalid_field"),
        ("application/json", b"", 422, "invalid_field"),
        ("application/json", b'{"structures": []}', 422, "invalid_field"),
        (
            "application/json",
            b'{"structures": [{"text": "x"}], "modles": []}',
            422,
            "unknown_field",
        ),
        (
            "application/json",
            b'{"structures": [{"text": 1}], "models": ["tested"]}',
            422,
            "invalid_field",
        ),
        ("multipart/form-data", b"--x\r\n", 400, "malformed_multipart"),
        ("multipart/form-data; boundary=x", b"nonsense", 400, "malformed_multipart"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\n\r\nno name\r\n--x--",
            400,
            "malformed_multipart",
        ),
        ("multipart/form-data; boundary=" + "x" * 500, b"--x\r\n", 400, "malformed_multipart"),
        ("text/plain", b"data_NaCl", 415, "unsupported_media_type"),
        ("application/x-www-form-urlencoded", b"model=tested", 415, "unsupported_media_type"),
    ],
)
def test_a_broken_body_is_a_clear_problem(
    door: Any, kind: str, content: bytes, status: int, code: str
) -> None:
    answer = door.client.post("/v1/predictions", content=content, headers={"Content-Type": kind})
    is_problem(answer, status, code)


def test_a_form_cut_short_leaves_nothing_behind(door: Any) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.cif"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = door.client.post("/v1/predictions", content=head + b"data_" * 1_000, headers=headers)
    is_problem(answer, 400, "malformed_multipart")
    assert nothing_left(door)


def test_names_are_for_display_only(door: Any) -> None:
    names = [
        "../../etc/passwd",
        "C:\\secret\\a.cif",
        "a\u202egpj.cif",
        "..",
        "x" * 400 + ".cif",
        "Sí.cif",
    ]
    body = door.predict(*[(name, b"good") for name in names]).json()
    shown = [record["name"] for record in body["records"]]
    assert shown == ["passwd", "a.cif", "agpj.cif", "structure-4", "x" * 255, "Sí.cif"]


def test_respond_async_answers_at_once_with_the_job(door: Any) -> None:
    answer = door.predict(GOOD, Prefer="respond-async")
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["location"] == answer.json()["links"]["job"]


def test_respond_async_gets_a_job_even_if_it_has_ended(door: Any) -> None:
    house = door.server.house
    wait = house.answers.wait

    async def patient(job: str, future: Any, _: float) -> Any:
        return await wait(job, future, 20)

    house.answers.wait = patient
    answer = door.predict(BAD, Prefer="respond-async")
    house.answers.wait = wait
    assert (answer.status_code, answer.json()["status"]) == (202, "succeeded")
    assert answer.json()["records"][0]["status"] == "failed"


def test_a_compressed_body_is_refused_by_its_name(door: Any) -> None:
    answer = door.predict(GOOD, Content_Encoding="gzip")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "gzip" in answer.json()["detail"]


@pytest.mark.parametrize("body", ["[]", "null", "1", '"x"', ""])
def test_json_that_is_no_object_is_told_what_it_is(door: Any, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = door.client.post("/v1/predictions", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")
    assert "not a JSON object" in answer.json()["detail"]


def test_a_wait_that_is_too_short_ends_in_202(open_door: Any) -> None:
    with open_door() as door:
        door.worker.sleep()
        answer = door.predict(GOOD, Prefer="wait=0")
        assert answer.status_code == 202
        assert answer.json()["status"] == "queued"
        assert answer.json()["records"] == []


def test_an_upload_that_is_not_small_goes_through_celery(door: Any) -> None:
    body = door.predict(*[GOOD] * 9, Prefer="wait=30").json()
    assert len(body["records"]) == 9


def test_a_bulk_upload_is_stored_whole(door: Any) -> None:
    files = [(f"{number}.cif", bytes([65 + number]) * 400_000) for number in range(10)]
    body = door.predict(*files, Prefer="wait=30").json()
    entries = door.worker.seen[body["job"]]
    assert [(entry.name, entry.data) for entry in entries] == files


def test_records_are_paged(door: Any) -> None:
    job = door.predict(*[(f"{number}.cif", b"good") for number in range(5)]).json()["job"]
    names: list[str] = []
    path: str | None = f"/v1/predictions/{job}?limit=2"
    while path:
        body = door.client.get(path).json()
        names += [record["name"] for record in body["records"]]
        path = body["links"].get("next")
    assert names == [f"{number}.cif" for number in range(5)]


def test_a_made_up_cursor_is_refused(door: Any) -> None:
    job = door.predict(GOOD).json()["job"]
    for cursor in ("x", "cjU", "cjk5OTk5OTk5OQ", "é"):
        answer = door.client.get(f"/v1/predictions/{job}", params={"cursor": cursor})
        is_problem(answer, 400, "invalid_cursor")


def test_records_come_as_json_lines_too(door: Any) -> None:
    job = door.predict(GOOD, BAD).json()["job"]
    answer = door.client.get(f"/v1/predictions/{job}", headers={"Accept": "application/jsonl"})
    assert answer.headers["content-type"].startswith("application/jsonl")
    assert len(answer.text.splitlines()) == 2


def test_an_unknown_job_has_no_records(door: Any) -> None:
    for job in ("job_01JD3Q5T8Z6M4W2K7N9V1X3B5C", "job_x", "%00", "a%20b"):
        is_problem(door.client.get(f"/v1/predictions/{job}"), 404, "unknown_job")


def test_the_upload_is_handed_over_when_the_job_is_known(door: Any) -> None:
    job = door.predict(GOOD, Prefer="wait=10").json()["job"]
    assert door.worker.seen[job][0].data == GOOD[1]

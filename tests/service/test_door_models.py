"""`/v1/models` as a caller meets it."""

from typing import Any

import httpx2
import pytest

from models.families.kinds import KINDS
from models.families.recipes import NOT_TUNED


def code(answer: httpx2.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["code"])


def bring(
    door: Any, data: bytes = b"weights", name: str = "brought", **fields: str
) -> httpx2.Response:
    answer: httpx2.Response = door.client.post(
        "/v1/models",
        files={"file": ("model.pth.tar", data)},
        data={"name": name} | fields,
        headers={"Prefer": "wait=20"},
    )
    return answer


def test_models_are_listed_with_what_they_predict(door: Any) -> None:
    models = door.client.get("/v1/models").json()["models"]
    tested = next(model for model in models if model["name"] == "tested")
    assert tested["properties"] == [{"property": "formation-energy-per-atom", "unit": "eV/atom"}]
    assert tested["versions"] == [1]


def test_a_version_has_its_card(door: Any) -> None:
    for path in ("/v1/models/tested/versions/1", "/v1/models/tested@1"):
        body = door.client.get(path).json()
        assert (body["id"], body["card"]["origin"]) == ("tested@1", "imported")
    assert door.client.get("/v1/models/tested").json()["items"][0]["id"] == "tested@1"


@pytest.mark.parametrize(
    "path",
    ["nobody", "tested@2", "tested@prod", "tested/versions/2", "..", "a%00b", "tested@" + "9" * 50],
)
def test_what_is_not_there_is_unknown(door: Any, path: str) -> None:
    assert code(door.client.get(f"/v1/models/{path}"), 404) in ("unknown_model", "not_found")


def test_a_version_that_is_no_number_is_refused(door: Any) -> None:
    for version in ("x", "0", "-1", "9" * 40):
        assert (
            code(door.client.get(f"/v1/models/tested/versions/{version}"), 422) == "invalid_field"
        )


def test_an_alias_is_set_used_and_dropped(door: Any) -> None:
    path = "/v1/models/tested/aliases/prod"
    assert door.client.put(path, json={"version": 1}).json()["version"] == 1
    answer = door.predict(("a.cif", b"good"), model="tested@prod").json()
    assert answer["records"][0]["predictions"][0]["model"] == "tested@1"
    assert door.client.get("/v1/models/tested").json()["aliases"] == {"prod": 1}
    assert door.client.delete(path).status_code == 204
    assert code(door.client.delete(path), 404) == "unknown_model"


@pytest.mark.parametrize(
    ("alias", "body", "status"),
    [
        ("prod", {"version": 2}, 404),
        ("prod", {"version": 0}, 422),
        ("prod", {"version": "x"}, 422),
        ("prod", {}, 422),
        ("prod", {"version": 1, "more": 1}, 422),
        ("latest", {"version": 1}, 422),
        ("Pröd", {"version": 1}, 422),
        ("prod", {"version": True}, 422),
    ],
)
def test_an_alias_that_makes_no_sense_is_refused(
    door: Any, alias: str, body: dict[str, Any], status: int
) -> None:
    code(door.client.put(f"/v1/models/tested/aliases/{alias}", json=body), status)


def test_what_an_alias_may_be_is_said_in_words(door: Any) -> None:
    answer = door.client.put("/v1/models/tested/aliases/Prod", json={"version": 1})
    assert code(answer, 422) == "invalid_field"
    [error] = answer.json()["errors"]
    assert error["expected"].startswith("a letter, then")
    assert "^" not in answer.text


def test_a_version_that_was_made_here_is_deleted(open_door: Any) -> None:
    with open_door() as door:
        for _ in range(2):
            bring(door)
        assert door.client.delete("/v1/models/brought/versions/2").status_code == 204
        assert door.client.get("/v1/models/brought").json()["versions"] == [1]
        assert code(door.client.delete("/v1/models/brought/versions/2"), 404) == "unknown_model"
        assert door.client.delete("/v1/models/brought").status_code == 204
        assert code(door.client.get("/v1/models/brought"), 404) == "unknown_model"
        assert code(door.predict(("a.cif", b"good"), model="brought"), 404) == "unknown_model"


def test_a_version_that_an_alias_means_is_not_deleted(open_door: Any) -> None:
    with open_door() as door:
        bring(door)
        alias = "/v1/models/brought/aliases/prod"
        door.client.put(alias, json={"version": 1})
        for path in ("brought", "brought/versions/1"):
            answer = door.client.delete(f"/v1/models/{path}")
            assert code(answer, 409) == "conflict"
            assert answer.json()["links"]["aliases"] == [alias]
        door.client.delete(alias)
        assert door.client.delete("/v1/models/brought/versions/1").status_code == 204


def test_a_version_that_a_job_needs_is_not_deleted(open_door: Any) -> None:
    with open_door() as door:
        bring(door)
        door.worker.sleep()
        sent = door.predict(("a.cif", b"good"), model="brought", Prefer="respond-async")
        job = sent.json()["job"]
        answer = door.client.delete("/v1/models/brought")
        assert (code(answer, 409), job in answer.json()["detail"]) == ("conflict", True)
        door.client.post(f"/v1/jobs/{job}/cancel")
        assert door.client.delete("/v1/models/brought").status_code == 204


def test_what_came_with_the_program_is_not_deleted(open_door: Any) -> None:
    with open_door() as door:
        for path in ("formation-energy", "formation-energy/versions/1"):
            assert code(door.client.delete(f"/v1/models/{path}"), 409) == "conflict"
        assert code(door.client.delete("/v1/models/nobody"), 404) == "unknown_model"


def test_a_family_has_the_schema_of_its_settings(door: Any) -> None:
    body = door.client.get("/v1/models/families/crystal").json()
    assert body["settings"]["network"]["properties"]["convolutions"]["description"]
    assert door.client.get("/v1/models/families").json()["families"][0]["family"] == "crystal"
    assert code(door.client.get("/v1/models/families/bread"), 404) == "unknown_family"


def test_a_checkpoint_becomes_a_model_that_predicts(open_door: Any) -> None:
    with open_door() as door:
        answer = bring(door, property="band-gap")
        body = answer.json()
        assert answer.status_code == 201, body
        assert body["model"]["id"] == "brought@1"
        assert answer.headers["location"] == "/v1/models/brought/versions/1"
        assert door.worker.orders[body["job"]]["unit"] == "eV"
        assert door.predict(("a.cif", b"good"), model="brought").status_code == 200
        results = door.client.get(f"/v1/jobs/{body['job']}").json()["links"]["results"]
        assert results == "/v1/models/brought/versions/1"


def test_a_checkpoint_that_is_none_is_a_problem(door: Any) -> None:
    assert code(bring(door, b"bad"), 422) == "bad_checkpoint"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "Not A Name"}, "invalid_input"),
        ({"property": "not/a/property"}, "invalid_input"),
        ({"property": "my-own"}, "missing_field"),
        ({"property": "band-gap", "unit": "GPa"}, "wrong_unit"),
        ({"classes": "one"}, "invalid_field"),
        ({"titel": "x"}, "unknown_field"),
    ],
)
def test_wrong_fields_of_an_import_are_named(
    door: Any, fields: dict[str, str], expected: str
) -> None:
    assert code(bring(door, **fields), 422) == expected


def test_an_import_without_its_file_or_name_asks_for_it(door: Any) -> None:
    answer = door.client.post("/v1/models", files={"name": (None, "x")})
    assert code(answer, 422) == "missing_field"
    answer = door.client.post("/v1/models", files={"file": ("a", b"x")})
    assert code(answer, 422) == "missing_field"
    assert code(door.client.post("/v1/models", json={"name": "x"}), 415) == "unsupported_media_type"


def test_one_import_takes_one_file(door: Any) -> None:
    files = [("file", ("a", b"x")), ("file", ("b", b"y")), ("name", (None, "x"))]
    assert code(door.client.post("/v1/models", files=files), 413) == "too_many_files"


def test_a_name_that_is_an_address_already_is_no_models_name(door: Any) -> None:
    assert code(bring(door, name="families"), 422) == "invalid_input"


@pytest.mark.parametrize("family", sorted(KINDS))
def test_every_setting_of_a_family_has_a_value_in_each_recipe(door: Any, family: str) -> None:
    body = door.client.get(f"/v1/models/families/{family}").json()
    parts = body["settings"].values()
    names = [name for part in parts for name in part["properties"] if name not in NOT_TUNED]
    assert sorted(body["recipes"]) == ["best", "paper"]
    for recipe in body["recipes"].values():
        assert sorted(recipe) == sorted(names)  # no two parts share a name

"""API keys, scopes, quotas and owners."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.keys import NoKeys, refuse_open
from service.settings import ServiceSettings

ROOT = Path(__file__).parents[2]
ADMIN = "an-admin-key-of-some-length"
GOOD = {"files": ("NaCl.cif", b"good"), "model": (None, "tested")}


@pytest.fixture
def kept(open_door: Any) -> Iterator[Any]:
    with open_door(admin_key=ADMIN) as door:
        yield door


def auth(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def made(door: Any, **wanted: Any) -> dict[str, Any]:
    answer = door.client.post("/v1/keys", json={"name": "mine"} | wanted, headers=auth(ADMIN))
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def refused(answer: httpx2.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def predict(door: Any, key: str, **headers: str) -> httpx2.Response:
    answer: httpx2.Response = door.client.post(
        "/v1/predictions", files=GOOD, headers=auth(key) | headers
    )
    return answer


def test_without_a_key_nothing_is_told(kept: Any) -> None:
    for method, path in (
        ("GET", "/v1/models"),
        ("GET", "/v1/jobs"),
        ("POST", "/v1/predictions"),
        ("GET", "/v1/keys"),
    ):
        answer = kept.client.request(method, path)
        refused(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert kept.client.get("/health/live").status_code == 200


@pytest.mark.parametrize("header", ["Bearer wrong", "Basic eDp5", "Bearer", "Bearer \u00e9"])
def test_a_wrong_key_is_refused(kept: Any, header: str) -> None:
    answer = kept.client.get("/v1/models", headers={"Authorization": header.encode("latin-1")})
    refused(answer, 401, "unauthorized")


def test_a_key_is_shown_once_and_kept_as_a_hash(kept: Any, redis: Any) -> None:
    key = made(kept)
    assert key["key"].startswith("mp_")
    assert len(key["key"]) >= 43
    listed = kept.client.get("/v1/keys", headers=auth(ADMIN)).json()["keys"]
    assert [one["key"] for one in listed] == [None]
    for name in redis.keys("mp:key*"):
        assert key["key"].encode() not in redis.dump(name)


def test_a_key_predicts_and_tells_what_is_left(kept: Any) -> None:
    answer = predict(kept, made(kept, requests_per_minute=5)["key"])
    assert answer.status_code == 200
    assert answer.headers["ratelimit-limit"] == "5"
    assert answer.headers["ratelimit-remaining"] == "4"
    assert 0 < int(answer.headers["ratelimit-reset"]) <= 60


def test_requests_beyond_the_quota_are_refused(kept: Any) -> None:
    key = made(kept, requests_per_minute=2)["key"]
    for _ in range(2):
        assert kept.client.get("/v1/models", headers=auth(key)).status_code == 200
    answer = kept.client.get("/v1/models", headers=auth(key))
    refused(answer, 429, "quota_exceeded")
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert answer.headers["ratelimit-remaining"] == "0"


def test_structures_beyond_the_quota_are_refused(kept: Any) -> None:
    key = made(kept, structures_per_day=2)["key"]
    for _ in range(2):
        assert predict(kept, key).status_code == 200
    answer = predict(kept, key)
    refused(answer, 429, "quota_exceeded")
    assert int(answer.headers["retry-after"]) > 3_600
    assert not list(kept.settings.state.glob("uploads/*/.*"))


def test_more_structures_than_a_days_quota_are_told_so(kept: Any) -> None:
    key = made(kept, structures_per_day=1)["key"]
    two = [("files", ("a.cif", b"good"))] * 2
    answer = kept.client.post(
        "/v1/predictions", files=two, data={"model": "tested"}, headers=auth(key)
    )
    refused(answer, 429, "quota_exceeded")
    assert answer.headers["ratelimit-limit"] == "1"
    assert int(answer.headers["retry-after"]) > 3_600
    assert "at most 1" in answer.json()["hint"]
    assert predict(kept, key).status_code == 200


def test_what_was_not_taken_on_costs_no_quota(open_door: Any) -> None:
    with open_door(admin_key=ADMIN, max_queued_jobs=1) as door:
        key = made(door, structures_per_day=2)["key"]
        door.worker.sleep()
        assert predict(door, key, Prefer="respond-async").status_code == 202
        refused(predict(door, key), 503, "queue_full")
        door.worker.wake()
        while predict(door, key).status_code == 503:
            pass
        refused(predict(door, key), 429, "quota_exceeded")


def test_a_scope_is_needed(kept: Any) -> None:
    key = made(kept, scopes=["predict"])["key"]
    refused(kept.client.get("/v1/keys", headers=auth(key)), 403, "forbidden")
    answer = kept.client.put(
        "/v1/models/tested/aliases/prod", json={"version": 1}, headers=auth(key)
    )
    refused(answer, 403, "forbidden")
    writer = made(kept, scopes=["models:write"])["key"]
    refused(predict(kept, writer), 403, "forbidden")


def test_a_foreign_job_is_as_unknown_as_none(kept: Any) -> None:
    job = predict(kept, made(kept)["key"]).json()["job"]
    other = auth(made(kept)["key"])
    for path in (f"/v1/jobs/{job}", f"/v1/predictions/{job}", f"/v1/jobs/{job}/events"):
        refused(kept.client.get(path, headers=other), 404, "unknown_job")
    refused(kept.client.post(f"/v1/jobs/{job}/cancel", headers=other), 404, "unknown_job")
    refused(kept.client.delete(f"/v1/jobs/{job}", headers=other), 404, "unknown_job")
    assert kept.client.get("/v1/jobs", headers=other).json()["jobs"] == []


def test_keys_of_one_owner_see_the_same_jobs(kept: Any) -> None:
    job = predict(kept, made(kept, owner="lab")["key"]).json()["job"]
    other = auth(made(kept, owner="lab")["key"])
    assert kept.client.get(f"/v1/jobs/{job}", headers=other).status_code == 200


def test_a_revoked_key_is_refused_at_once(kept: Any) -> None:
    key = made(kept)
    assert kept.client.delete(f"/v1/keys/{key['id']}", headers=auth(ADMIN)).status_code == 204
    refused(predict(kept, key["key"]), 401, "unauthorized")
    refused(kept.client.delete(f"/v1/keys/{key['id']}", headers=auth(ADMIN)), 404, "unknown_key")


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": ""},
        {"scopes": ["everything"]},
        {"scopes": []},
        {"owner": "a b"},
        {"requests_per_minute": 0},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(kept: Any, wanted: dict[str, Any]) -> None:
    answer = kept.client.post("/v1/keys", json={"name": "x"} | wanted, headers=auth(ADMIN))
    refused(answer, 422, "invalid_field")


def test_a_service_without_keys_makes_none(door: Any) -> None:
    refused(door.client.post("/v1/keys", json={"name": "x"}), 409, "conflict")


def test_stored_keys_stay_in_force_on_loopback(open_door: Any) -> None:
    with open_door(admin_key=ADMIN) as door:
        key = made(door)["key"]
    with open_door() as door:
        refused(door.client.get("/v1/models"), 401, "unauthorized")
        assert door.client.get("/v1/models", headers=auth(key)).status_code == 200


def test_listening_to_strangers_without_keys_is_refused(broker: Any, tmp_path: Path) -> None:
    settings = ServiceSettings(redis_url=broker.url, state=tmp_path, host="0.0.0.0")
    with pytest.raises(NoKeys, match="MATPROP_ADMIN_KEY"):
        refuse_open(settings)
    refuse_open(settings.model_copy(update={"host": "::1"}))


def run(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "service"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )  # fmt: skip


def test_the_process_refuses_to_start_open(broker: Any, tmp_path: Path) -> None:
    done = run(MATPROP_HOST="0.0.0.0", MATPROP_REDIS_URL=broker.url, MATPROP_STATE=str(tmp_path))
    assert done.returncode == 2
    assert "MATPROP_ADMIN_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_named() -> None:
    done = run(MATPROP_PORT="many")
    assert done.returncode == 2
    assert done.stderr.startswith("MATPROP_PORT: ")

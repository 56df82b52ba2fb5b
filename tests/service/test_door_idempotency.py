"""`Idempotency-Key`: sent twice, done once."""

import threading
from typing import Any

import httpx2
import pytest

from workers.jobs import BrokerAway

GOOD = ("NaCl.cif", b"good")
BAD = ("broken.cif", b"bad")
ADMIN = "an-admin-key-of-some-length"


def test_the_same_request_gets_the_same_answer(door: Any) -> None:
    first, second = (door.predict(GOOD, BAD, Idempotency_Key="same-1") for _ in range(2))
    assert second.json() == first.json()
    assert second.status_code == first.status_code == 200
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"


def test_another_body_is_refused(door: Any) -> None:
    door.predict(GOOD, Idempotency_Key="same-2")
    for answer in (
        door.predict(BAD, Idempotency_Key="same-2"),
        door.predict(GOOD, data={"primitive": "true"}, Idempotency_Key="same-2"),
        door.predict(("other.cif", b"good"), Idempotency_Key="same-2"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")


def test_an_error_of_the_structures_is_repeated(door: Any) -> None:
    first, second = (door.predict(BAD, Idempotency_Key="same-3") for _ in range(2))
    assert (first.status_code, second.status_code) == (422, 422)
    assert first.json()["job"] == second.json()["job"]


def test_a_request_that_was_refused_frees_its_key(door: Any) -> None:
    assert door.predict(GOOD, model="nobody", Idempotency_Key="same-4").status_code == 404
    assert door.predict(GOOD, Idempotency_Key="same-4").status_code == 200


def test_json_bodies_count_too(door: Any) -> None:
    body = {"structures": [{"text": "good"}], "models": ["tested"]}
    answers = [
        door.client.post("/v1/predictions", json=body, headers={"Idempotency-Key": "same-5"})
        for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()


def test_a_retry_that_is_sent_twice_is_one(open_door: Any) -> None:
    with open_door() as door:
        job = door.predict(GOOD, BAD).json()["job"]
        door.worker.sleep()
        again = {"url": f"/v1/jobs/{job}/retry", "headers": {"Idempotency-Key": "again"}}
        first, second = (door.client.post(**again) for _ in range(2))
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json()["id"] == second.json()["id"]
        assert second.headers["idempotent-replayed"] == "true"
        door.client.post(f"/v1/jobs/{first.json()['id']}/cancel")
        third = door.client.post(**again).json()
        assert (third["id"], third["status"]) == (first.json()["id"], "cancelled")


def test_a_retry_that_was_refused_frees_its_key(open_door: Any) -> None:
    with open_door() as door:
        job = door.predict(GOOD, BAD).json()["job"]
        door.worker.sleep()
        first = door.client.post(f"/v1/jobs/{job}/retry").json()["id"]
        again = {"url": f"/v1/jobs/{job}/retry", "headers": {"Idempotency-Key": "again"}}
        assert door.client.post(**again).status_code == 409
        door.client.post(f"/v1/jobs/{first}/cancel")
        assert door.client.post(**again).status_code == 202


def test_while_the_first_is_waiting_the_second_is_told_so(open_door: Any) -> None:
    with open_door() as door:
        door.worker.sleep()
        answers: list[httpx2.Response] = []
        first = threading.Thread(
            target=lambda: answers.append(door.predict(GOOD, Idempotency_Key="k", Prefer="wait=20"))
        )
        first.start()
        while not len(door.server.house.answers):
            pass
        second = door.predict(GOOD, Idempotency_Key="k")
        assert (second.status_code, second.json()["code"]) == (409, "idempotency_running")
        assert int(second.headers["retry-after"]) >= 1
        door.worker.wake()
        first.join()
        assert answers[0].status_code == 200


def test_after_a_202_the_key_leads_to_the_same_job(open_door: Any) -> None:
    with open_door() as door:
        door.worker.sleep()
        first = door.predict(GOOD, Idempotency_Key="k", Prefer="respond-async")
        second = door.predict(GOOD, Idempotency_Key="k", Prefer="respond-async")
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json() == second.json()


def test_after_the_job_was_purged_the_key_is_free(door: Any) -> None:
    job = door.predict(GOOD, Idempotency_Key="same-6").json()["job"]
    door.client.delete(f"/v1/jobs/{job}")
    again = door.predict(GOOD, Idempotency_Key="same-6")
    assert again.status_code == 200
    assert again.json()["job"] != job


@pytest.mark.parametrize("key", ["", "with space", "x" * 256])
def test_a_key_that_is_none_is_refused(door: Any, key: str) -> None:
    answer = door.predict(GOOD, Idempotency_Key=key)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")


def test_keys_belong_to_their_owner(open_door: Any) -> None:
    with open_door(admin_key=ADMIN) as door:
        jobs = []
        for name in ("a", "b"):
            order = {"name": name}
            admin = {"Authorization": f"Bearer {ADMIN}"}
            key = door.client.post("/v1/keys", json=order, headers=admin).json()["key"]
            answer = door.predict(GOOD, Idempotency_Key="k", Authorization=f"Bearer {key}")
            jobs.append(answer.json()["job"])
        assert jobs[0] != jobs[1]


def test_a_key_is_made_once_and_its_secret_shown_once(open_door: Any) -> None:
    with open_door(admin_key=ADMIN) as door:
        headers = {"Authorization": f"Bearer {ADMIN}", "Idempotency-Key": "k"}
        first, second = (
            door.client.post("/v1/keys", json={"name": "x"}, headers=headers).json()
            for _ in range(2)
        )
        assert first["id"] == second["id"]
        assert second["key"] is None


def test_a_request_that_found_no_place_frees_its_key(open_door: Any) -> None:
    with open_door(max_queued_jobs=1) as door:
        door.worker.sleep()
        door.predict(GOOD, Prefer="respond-async")
        full = door.predict(GOOD, Idempotency_Key="k")
        assert full.json()["code"] == "queue_full"
        door.worker.wake()
        assert door.predict(BAD, Idempotency_Key="k").json()["code"] != "idempotency_mismatch"


def test_in_doubt_the_key_leads_to_the_job_that_was_made(own_broker: Any, open_door: Any) -> None:
    with open_door(redis_url=own_broker.url) as door:
        door.predict(GOOD)
        house = door.server.house
        submit = house.jobs.submit

        async def half_done(new: Any) -> bool:
            await submit(new)
            raise BrokerAway("the answer got lost")

        house.jobs.submit = half_done
        lost = door.predict(GOOD, Idempotency_Key="k")
        assert (lost.status_code, lost.json()["code"]) == (503, "broker_unavailable")
        house.jobs.submit = submit
        again = door.predict(GOOD, Idempotency_Key="k")
        assert again.headers["idempotent-replayed"] == "true"
        with door.client.stream("GET", f"/v1/jobs/{again.json()['job']}/events") as events:
            assert "done" in "".join(events.iter_text())
        assert len(door.worker.seen) == 2


def test_an_import_whose_job_was_deleted_is_done_anew(door: Any) -> None:
    def post() -> httpx2.Response:
        form = {"file": ("x.pth.tar", b"bad"), "name": (None, "again")}
        answer: httpx2.Response = door.client.post(
            "/v1/models", files=form, headers={"Idempotency-Key": "same-7"}
        )
        return answer

    first = post().json()["job"]
    assert post().json()["job"] == first
    door.client.delete(f"/v1/jobs/{first}")
    assert post().json()["job"] != first

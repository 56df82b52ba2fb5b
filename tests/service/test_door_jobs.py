"""`/v1/jobs` as a caller meets it."""

import threading
from typing import Any

import httpx2

from service.routes.jobs import again
from workers.broker import connect
from workers.contract import Task
from workers.jobs import Jobs, NewJob, Status, child_id, new_id

GOOD = ("NaCl.cif", b"good")
BAD = ("broken.cif", b"bad")
NOBODY = "job_01JD3Q5T8Z6M4W2K7N9V1X3B5C"


def code(answer: httpx2.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["code"])


def test_a_job_tells_its_state_and_progress(door: Any) -> None:
    job = door.predict(GOOD, BAD, data={"label": "mine"}).json()["job"]
    body = door.client.get(f"/v1/jobs/{job}").json()
    assert (body["kind"], body["status"], body["label"]) == ("predict", "succeeded", "mine")
    assert body["models"] == ["tested@1"]
    assert (body["progress"]["done"], body["progress"]["failed"]) == (2, 1)
    assert body["created_at"].endswith("Z")
    assert body["attempt"] == 1


def test_an_unchanged_job_is_not_sent_again(door: Any) -> None:
    job = door.predict(GOOD).json()["job"]
    tag = door.client.get(f"/v1/jobs/{job}").headers["etag"]
    again = door.client.get(f"/v1/jobs/{job}", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    strong = tag.removeprefix("W/")
    assert (
        door.client.get(f"/v1/jobs/{job}", headers={"If-None-Match": f'"x", {strong}'}).status_code
        == 304
    )
    other = door.client.get(f"/v1/jobs/{job}", headers={"If-None-Match": 'W/"other"'})
    assert other.status_code == 200


def test_jobs_are_listed_newest_first_in_pages(open_door: Any) -> None:
    with open_door() as door:
        made = [door.predict(GOOD).json()["job"] for _ in range(5)]
        found, path = [], "/v1/jobs?limit=2"
        while path:
            body = door.client.get(path).json()
            found += [job["id"] for job in body["jobs"]]
            path = body["links"]["next"]
        assert found == made[::-1]


def test_jobs_are_filtered(open_door: Any) -> None:
    with open_door() as door:
        door.predict(GOOD, data={"label": "a"})
        second = door.predict(GOOD, data={"label": "b"}).json()["job"]

        def ids(**query: str) -> list[str]:
            return [job["id"] for job in door.client.get("/v1/jobs", params=query).json()["jobs"]]

        assert ids(label="b") == [second]
        assert ids(status="failed") == []
        assert ids(model="tested", kind="predict", status="succeeded", limit="1") == [second]
        assert ids(since="2100-01-01T00:00:00Z") == []
        assert len(ids(until="2100-01-01T00:00:00Z")) == 2


def test_wrong_filters_are_named(door: Any) -> None:
    for query in ("status=done", "limit=0", "limit=x", "since=yesterday", "kind=bake"):
        assert code(door.client.get(f"/v1/jobs?{query}"), 422) == "invalid_field"
    assert code(door.client.get("/v1/jobs?stats=failed"), 422) == "unknown_field"
    for cursor in ("x", "am9iX3g", "%00", "é"):
        assert code(door.client.get(f"/v1/jobs?cursor={cursor}"), 400) == "invalid_cursor"
    assert door.client.get("/v1/jobs?since=0001-01-01T00:00:00%2B14:00").status_code in (200, 422)


def test_a_queued_job_is_cancelled_at_once_and_again(open_door: Any) -> None:
    with open_door() as door:
        door.worker.sleep()
        job = door.predict(GOOD, Prefer="respond-async").json()["job"]
        for _ in range(2):
            answer = door.client.post(f"/v1/jobs/{job}/cancel")
            assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")


def test_a_job_that_is_asked_for_as_another_kind_is_told_to_be_one(door: Any) -> None:
    job = door.predict(GOOD).json()["job"]
    answer = door.client.get(f"/v1/screenings/{job}")
    assert code(answer, 404) == "unknown_job"
    assert answer.json()["detail"] == f"{job} is a prediction, and asked for as a screening."
    assert answer.json()["links"]["job"] == f"/v1/jobs/{job}"


def test_a_job_with_failures_can_be_done_again(door: Any) -> None:
    job = door.predict(GOOD, BAD).json()["job"]
    answer = door.client.post(f"/v1/jobs/{job}/retry")
    new = answer.json()
    assert (answer.status_code, new["retry_of"]) == (202, job)
    with door.client.stream("GET", f"/v1/jobs/{new['id']}/events") as events:
        assert "done" in "".join(events.iter_text())
    assert len(door.client.get(f"/v1/predictions/{new['id']}").json()["records"]) == 2


def test_a_job_that_is_being_done_again_is_not_so_twice(open_door: Any) -> None:
    with open_door() as door:
        job = door.predict(GOOD, BAD).json()["job"]
        door.worker.sleep()
        first = door.client.post(f"/v1/jobs/{job}/retry").json()["id"]
        answer = door.client.post(f"/v1/jobs/{job}/retry")
        assert code(answer, 409) == "conflict"
        assert answer.json()["links"]["retry"] == f"/v1/jobs/{first}"
        kept = door.client.delete(f"/v1/jobs/{job}")
        assert code(kept, 409) == "conflict"
        assert kept.json()["links"]["retry"] == f"/v1/jobs/{first}"
        door.client.post(f"/v1/jobs/{first}/cancel")
        assert door.client.post(f"/v1/jobs/{job}/retry").status_code == 202


def test_a_retry_costs_what_was_sent_however_much_was_in_it(open_door: Any) -> None:
    with open_door() as door:
        door.worker.sleep()
        job = door.predict(GOOD, BAD, Prefer="respond-async").json()["job"]
        jobs = Jobs(connect(door.settings))
        claim = jobs.claim(job, "unpacks")
        assert claim is not None
        assert jobs.finish(claim, Status.FAILED, None, (500, 500, 900))
        record = jobs.get(job)
        jobs.redis.close()
        assert record is not None
        assert (record.total, again(record)) == (900, 2)


def test_a_job_without_failures_is_not_done_again(door: Any) -> None:
    job = door.predict(GOOD).json()["job"]
    assert code(door.client.post(f"/v1/jobs/{job}/retry"), 409) == "conflict"


def test_one_of_several_trainings_is_not_done_again_alone(open_door: Any) -> None:
    with open_door() as door:
        door.worker.sleep()
        jobs = Jobs(connect(door.settings))
        parent = NewJob(id=new_id("job"), kind=Task.TUNE, order="{}", owner="local")
        child = NewJob(
            id=child_id(parent.id, 0), kind=Task.TRAIN, order="{}", owner="local", parent=parent.id
        )
        assert jobs.submit(parent)
        assert jobs.submit(child)
        jobs.cancel(child.id)
        answer = door.client.post(f"/v1/jobs/{child.id}/retry")
        assert code(answer, 409) == "conflict"
        assert parent.id in answer.json()["hint"]
        jobs.redis.close()


def test_an_ended_job_is_purged_with_its_files(door: Any) -> None:
    job = door.predict(GOOD).json()["job"]
    assert list(door.settings.state.glob(f"*/*/{job}*"))
    assert door.client.delete(f"/v1/jobs/{job}").status_code == 204
    assert not list(door.settings.state.glob(f"*/*/{job}*"))
    assert code(door.client.get(f"/v1/jobs/{job}"), 404) == "unknown_job"


def test_a_job_that_has_not_ended_is_not_purged(open_door: Any) -> None:
    with open_door() as door:
        door.worker.sleep()
        job = door.predict(GOOD, Prefer="respond-async").json()["job"]
        assert code(door.client.delete(f"/v1/jobs/{job}"), 409) == "conflict"
        assert code(door.client.post(f"/v1/jobs/{job}/retry"), 409) == "conflict"


def test_unknown_jobs_are_404_everywhere(door: Any) -> None:
    for job in (NOBODY, "x", "job_" + "Z" * 26, "a%0ab"):
        for method, path in (
            ("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry"), ("GET", "/events"),
        ):  # fmt: skip
            assert code(door.client.request(method, f"/v1/jobs/{job}{path}"), 404) == "unknown_job"


def test_a_part_of_a_screening_is_no_job_of_anybody(open_door: Any) -> None:
    with open_door() as door:
        door.worker.sleep()
        jobs = Jobs(connect(door.settings))
        chunk = NewJob(id=new_id("job"), kind=Task.CHUNK, order="{}", owner="local", parent=NOBODY)
        jobs.redis.hset(f"mp:job:{NOBODY}", "status", "running")
        assert jobs.submit(chunk)
        assert code(door.client.post(f"/v1/jobs/{chunk.id}/cancel"), 404) == "unknown_job"
        found = jobs.get(chunk.id)
        jobs.redis.close()
    assert found is not None
    assert found.status is Status.QUEUED


def big(door: Any) -> str:
    """A job that tells each of its states; small ones tell their end only."""
    return str(door.predict(*[GOOD] * 9, Prefer="wait=20").json()["job"])


def events_of(text: str) -> list[tuple[str, str]]:
    blocks = [block for block in text.split("\n\n") if "event: " in block]
    rows = [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]
    return [(row["id"], row["event"]) for row in rows]


def test_events_end_with_done(door: Any) -> None:
    job = big(door)
    answer = door.client.get(f"/v1/jobs/{job}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    kinds = [kind for _, kind in events_of(answer.text)]
    assert kinds[0] == "status"
    assert kinds[-1] == "done"


def test_events_go_on_after_the_last_one_seen(door: Any) -> None:
    job = big(door)
    everything = events_of(door.client.get(f"/v1/jobs/{job}/events").text)
    rest = door.client.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": everything[0][0]})
    assert events_of(rest.text) == everything[1:]
    nothing = door.client.get(
        f"/v1/jobs/{job}/events", headers={"Last-Event-ID": everything[-1][0]}
    )
    assert nothing.status_code == 204


def test_a_strange_last_event_counts_as_none(door: Any) -> None:
    job = big(door)
    for last in ("x", "99999999999999999999999-1", "$", "0-0 MAXLEN"):
        answer = door.client.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": last})
        assert events_of(answer.text)[-1][1] == "done"


def test_events_come_while_the_job_runs(open_door: Any) -> None:
    with open_door() as door:
        door.worker.sleep()
        job = door.predict(GOOD, Prefer="respond-async").json()["job"]
        seen = []
        with door.client.stream("GET", f"/v1/jobs/{job}/events") as answer:
            for line in answer.iter_lines():
                seen.append(line)
                if line == "event: status":
                    door.worker.wake()
        assert "event: done" in seen


def test_streams_are_bounded_and_leave_no_trace(open_door: Any) -> None:
    with open_door(max_streams=1) as door:
        door.worker.sleep()
        job = door.predict(GOOD, Prefer="respond-async").json()["job"]
        path = f"/v1/jobs/{job}/events"
        with door.client.stream("GET", path) as first:
            lines = first.iter_lines()
            next(lines)
            assert code(door.client.get(path), 503) == "busy"
        closed = threading.Event()

        def look() -> None:
            if door.server.house.streams:
                door.loop.call_later(0.01, look)
            else:
                closed.set()

        door.loop.call_soon_threadsafe(look)
        assert closed.wait(30)


def test_a_head_request_to_a_stream_ends(door: Any) -> None:
    job = door.predict(GOOD).json()["job"]
    answer = door.client.head(f"/v1/jobs/{job}/events")
    assert (answer.status_code, answer.content) == (200, b"")

"""The client against a service that is played by a function."""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.client import Client, Progress
from service.client_errors import (
    InvalidRequest,
    JobCancelled,
    JobFailed,
    NotAllowed,
    NotFound,
    Problem,
    QuotaExceeded,
    ServerFault,
    ServiceError,
    Unavailable,
    Unreachable,
)

JOB = "job_01JD3Q5T8Z6M4W2K7N9V1X3B5C"
Handler = Callable[[httpx2.Request], httpx2.Response]


def client_of(handler: Handler, **options: Any) -> tuple[Client, list[float]]:
    """A client of the handler, on a clock that only its own sleeping moves."""
    slept: list[float] = []
    client = Client(
        "http://matprop.test",
        transport=httpx2.MockTransport(handler),
        sleep=slept.append,
        clock=lambda: sum(slept),
        **options,
    )
    return client, slept


def record(name: str, value: float | None = -2.05, index: int = 0) -> dict[str, Any]:
    error = {"code": "unreadable_structure", "detail": "no cell"} if value is None else None
    prediction = {
        "model": "formation-energy@1",
        "property": "formation-energy-per-atom",
        "value": value,
        "unit": "eV/atom",
    }
    return {
        "index": index,
        "name": name,
        "formula": None if error else "NaCl",
        "n_sites": None if error else 8,
        "status": "failed" if error else "succeeded",
        "predictions": [] if error else [prediction],
        "error": error,
    }


def answer(records: list[dict[str, Any]], following: str | None = None) -> httpx2.Response:
    links = {"self": "", "job": "", "results": "", "events": "", "next": following}
    body = {"job": JOB, "status": "succeeded", "records": records, "links": links}
    return httpx2.Response(200, json=body)


def problem(status: int, code: str, **more: Any) -> httpx2.Response:
    headers = more.pop("headers", None)
    body = {"detail": "in words", "title": "kind", "code": code, "status": status} | more
    return httpx2.Response(status, json=body, headers=headers)


def names_in(request: httpx2.Request) -> list[str]:
    return re.findall(r'name="files"; filename="([^"]*)"', request.content.decode())


def predicting(request: httpx2.Request) -> httpx2.Response:
    return answer([record(name, index=i) for i, name in enumerate(names_in(request))])


def job_view(status: str, done: int = 0, **more: Any) -> httpx2.Response:
    body = {
        "id": JOB,
        "kind": "predict",
        "status": status,
        "created_at": "2026-11-21T02:14:07Z",
        "attempt": 1,
        "progress": {"done": done, "total": 2, "failed": 0},
        "links": {"self": "", "events": ""},
    }
    return httpx2.Response(200, json=body | more)


def test_one_record_a_structure_in_their_order() -> None:
    client, _ = client_of(predicting)
    records = client.predict([("b", "text\n"), ("a", "text\n")], "formation-energy")
    assert [one.name for one in records] == ["b", "a"]
    assert records[0].value("formation-energy") == -2.05
    assert records[0].unit() == "eV/atom"


def test_a_call_names_models_and_options() -> None:
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.content.decode())
        return predicting(request)

    client, _ = client_of(handler)
    client.predict(
        "a\n", ["one", "two@3"], include=["sites", "features"], disorder="majority", primitive=True,
        level=0.8,
    )  # fmt: skip
    fields = re.findall(r'name="(\w+)"\r\n\r\n([^\r]*)', seen[0])
    assert sorted(fields) == [
        ("disorder", "majority"),
        ("include", "features"),
        ("include", "sites"),
        ("level", "0.8"),
        ("model", "one"),
        ("model", "two@3"),
        ("primitive", "true"),
    ]


def test_one_thing_to_include_needs_no_list() -> None:
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.extend(re.findall(r'name="include"\r\n\r\n([^\r]*)', request.content.decode()))
        return predicting(request)

    client, _ = client_of(handler)
    client.predict("a\n", "m", include="sites")
    assert seen == ["sites"]


def test_an_error_names_the_file_by_the_callers_path(tmp_path: Path) -> None:
    bad = record("x.cif", None)
    bad["error"]["file"] = "x.cif"
    client, _ = client_of(lambda _: answer([bad]))
    path = tmp_path / "x.cif"
    path.write_text("data_x\n")
    [one] = client.predict(path, "m")
    assert one.error is not None
    assert one.error.file == one.name == path.as_posix()


def test_many_structures_go_in_several_calls_and_keep_their_order() -> None:
    calls: list[int] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        calls.append(len(names_in(request)))
        return predicting(request)

    client, _ = client_of(handler)
    records = client.predict([(f"s{i}", "text\n") for i in range(1203)], "m")
    assert [one.name for one in records] == [f"s{i}" for i in range(1203)]
    assert [one.index for one in records] == list(range(1203))
    assert max(calls) <= 500


def test_a_busy_service_is_asked_again_when_it_says_and_with_the_same_key() -> None:
    keys: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) < 3:
            return problem(503, "queue_full", headers={"Retry-After": "7"})
        return predicting(request)

    client, slept = client_of(handler)
    assert len(client.predict("a\n", "m")) == 1
    assert len(set(keys)) == 1
    assert len(keys) == 3
    assert min(slept) >= 7


def test_a_cut_reply_is_asked_for_again_with_the_same_key() -> None:
    keys: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1:
            raise httpx2.ReadError("cut")
        if len(keys) == 2:
            return problem(409, "idempotency_running")
        return predicting(request)

    client, _ = client_of(handler)
    client.predict("a\n", "m")
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_service_that_stays_busy_is_given_up_with_its_own_word() -> None:
    client, slept = client_of(lambda _: problem(503, "no_worker"), patience_s=30)
    with pytest.raises(Unavailable, match="in words") as caught:
        client.predict("a\n", "m")
    assert caught.value.code == "no_worker"
    assert sum(slept) <= 30


def test_a_quota_that_is_used_up_until_tomorrow_is_told_at_once() -> None:
    refusal = problem(429, "quota_exceeded", headers={"Retry-After": "40000"})
    client, slept = client_of(lambda _: refusal)
    with pytest.raises(QuotaExceeded):
        client.predict("a\n", "m")
    assert slept == []


def refused(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("Connection refused")


def test_without_a_service_the_cure_is_told_soon() -> None:
    slept: list[float] = []
    transport = httpx2.MockTransport(refused)
    client = Client("127.0.0.1:9", transport=transport, sleep=slept.append)
    with pytest.raises(Unreachable, match=r"(?s)http://127.0.0.1:9.*matprop up"):
        client.models()
    assert len(slept) == 1


@pytest.mark.parametrize("url", ["http://[::1", "http://", "foo://x", "http://host:port"])
def test_what_is_no_address_is_told_at_once(url: str) -> None:
    with pytest.raises(ServiceError, match="is no address of a service"):
        Client(url)


def test_a_key_that_fits_in_no_header_is_told_at_once() -> None:
    with pytest.raises(ServiceError, match="MATPROP_KEY"):
        Client("http://matprop.test", "schlüssel")


def test_another_server_at_the_address_is_told() -> None:
    client, _ = client_of(lambda _: httpx2.Response(200, text="<html>"))
    with pytest.raises(Exception, match="not a matprop service"):
        client.models()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, NotAllowed), (404, NotFound), (422, InvalidRequest), (500, ServerFault)],
)
def test_a_refusal_is_an_exception_with_code_hint_and_errors(
    status: int, kind: type[Exception]
) -> None:
    errors = [{"code": "x", "detail": "d"}]
    refusal = problem(status, "some_code", hint="do this", errors=errors)
    client, _ = client_of(lambda _: refusal)
    with pytest.raises(kind) as caught:
        client.model("m")
    told = caught.value
    assert isinstance(told, InvalidRequest | NotAllowed | NotFound | ServerFault)
    assert (told.code, told.hint, told.errors) == ("some_code", "do this", errors)


def test_structures_that_all_failed_are_records_and_no_exception() -> None:
    refusal = problem(422, "no_structure_predicted", job=JOB, records=[record("a", None)])
    client, _ = client_of(lambda _: refusal)
    [one] = client.predict([("a", "text\n")], "m")
    assert one.status == "failed"
    assert one.error is not None
    assert one.error.code == "unreadable_structure"


def test_what_is_not_done_in_time_is_waited_for_and_read_page_by_page() -> None:
    views = iter([job_view("queued"), job_view("running", 1), job_view("succeeded", 2)])

    def handler(request: httpx2.Request) -> httpx2.Response:
        match request.method, request.url.path, request.url.params.get("cursor"):
            case "POST", _, _:
                return httpx2.Response(202, json={"job": JOB, "status": "queued", "records": []})
            case _, "/v1/jobs/" | "/v1/jobs/job_01JD3Q5T8Z6M4W2K7N9V1X3B5C", _:
                return next(views)
            case _, _, None:
                return answer([record("a")], f"/v1/predictions/{JOB}?cursor=2")
            case _:
                return answer([record("b", index=1)])

    seen: list[Progress] = []
    client, _ = client_of(handler)
    records = client.predict([("a", "t\n"), ("b", "t\n")], "m", progress=seen.append)
    assert [one.name for one in records] == ["a", "b"]
    assert [now.done for now in seen] == [0, 0, 1, 2, 2]
    assert {now.total for now in seen} == {2}


def test_a_failed_job_is_an_exception_with_its_reason() -> None:
    error = {"code": "worker_lost", "detail": "worker lost 3 times"}
    client, _ = client_of(lambda _: job_view("failed", error=error))
    with pytest.raises(JobFailed, match="worker lost 3 times") as caught:
        client.resume(JOB)
    assert caught.value.code == "worker_lost"


def test_a_line_that_stays_broken_tells_which_jobs_go_on() -> None:
    posted: list[int] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            posted.append(1)
            return httpx2.Response(202, json={"job": JOB, "status": "queued", "records": []})
        raise httpx2.ConnectError("no route")

    client, _ = client_of(handler, patience_s=5)
    with pytest.raises(Unreachable) as caught:
        client.predict([(str(i), "t\n") for i in range(40)], "m")
    assert caught.value.jobs
    assert set(caught.value.jobs) == {JOB}


def test_after_a_fault_nobody_waits_for_a_line_that_is_broken() -> None:
    tried: list[int] = []
    broken = threading.Event()

    def handler(request: httpx2.Request) -> httpx2.Response:
        if "0" in names_in(request):
            broken.wait(10)
            return problem(404, "unknown_model")
        tried.append(1)
        broken.set()
        raise httpx2.ReadError("cut")

    client = Client("http://matprop.test", transport=httpx2.MockTransport(handler), patience_s=600)
    with pytest.raises(Problem) as caught:
        client.predict([(str(i), "t\n") for i in range(40)], "m")
    assert caught.value.code == "unknown_model"
    assert len(tried) < 20  # in 600 s there would be more than a hundred


def test_a_part_of_the_records_is_no_answer() -> None:
    """Somebody cancelled the job while its request was waiting."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return job_view("cancelled", 2)
        body = json.loads(answer([record("a", index=0), record("c", index=2)]).content)
        return httpx2.Response(200, json=body | {"status": "cancelled"})

    client, _ = client_of(handler)
    with pytest.raises(JobCancelled):
        client.predict([("a", "t\n"), ("b", "t\n"), ("c", "t\n")], "m")


def test_after_a_fault_what_still_runs_is_cancelled() -> None:
    cancelled: list[str] = []
    accepted = threading.Event()

    def handler(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/cancel"):
            cancelled.append(request.url.path)
            return job_view("cancelling")
        if request.url.path == "/v1/predictions" and "0" in names_in(request):
            accepted.wait(10)
            return problem(404, "unknown_model")
        if request.method == "POST":
            accepted.set()
            return httpx2.Response(202, json={"job": JOB, "status": "queued", "records": []})
        return job_view("cancelled" if cancelled else "running")

    client, _ = client_of(handler)
    with pytest.raises(NotFound):
        client.predict([(str(i), "t\n") for i in range(40)], "m")
    assert set(cancelled) == {f"/v1/jobs/{JOB}/cancel"}


def stream(*events: str) -> httpx2.Response:
    return httpx2.Response(200, text="".join(events), headers={"Content-Type": "text/event-stream"})


def test_events_go_on_after_the_last_one_seen() -> None:
    asked: list[str | None] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        if len(asked) == 1:
            return stream(': ping\n\nid: 1\nevent: status\ndata: {"status": "running"}\n\n')
        return stream('id: 2\nevent: done\ndata: {"status":\ndata: "succeeded"}\n\n')

    client, _ = client_of(handler)
    events = list(client.events(JOB))
    assert [one.kind for one in events] == ["status", "done"]
    assert events[1].data == {"status": "succeeded"}
    assert asked == [None, "1"]


def test_the_key_travels_as_a_bearer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATPROP_KEY", "mp_secret")
    seen: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["Authorization"])
        return httpx2.Response(200, json={"models": []})

    client_of(handler)[0].models()
    assert seen == ["Bearer mp_secret"]


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATPROP_URL", "matprop.lab:9000/")
    with Client() as client:
        assert client.url == "http://matprop.lab:9000"


def test_an_import_waits_for_its_job(tmp_path: Path) -> None:
    checkpoint = tmp_path / "band-gap.pth.tar"
    checkpoint.write_bytes(b"weights")

    def handler(request: httpx2.Request) -> httpx2.Response:
        body = request.content.decode()
        assert 'filename="band-gap.pth.tar"' in body
        assert 'name="unit"\r\n\r\neV\r\n' in body
        return problem(422, "bad_checkpoint")

    client, _ = client_of(handler)
    with pytest.raises(InvalidRequest, match="bad_checkpoint"):
        client.import_model(checkpoint, name="gap", property="band-gap", unit="eV")


def test_rows_are_flat_and_tell_what_failed() -> None:
    client, _ = client_of(lambda _: answer([record("a"), record("b", None, 1)]))
    good, bad = client.predict([("a", "t\n"), ("b", "t\n")], "m").rows()
    assert (good["name"], good["value"], good["error"]) == ("a", -2.05, None)
    assert (bad["name"], bad["value"], bad["error"]) == ("b", None, "unreadable_structure")


def trusted(name: str, inside: bool) -> dict[str, Any]:
    """A record that tells how far to trust it."""
    told = record(name)
    told["predictions"][0] |= {
        "interval": [-2.14, -1.96], "level": 0.9, "std": 0.02, "in_domain": inside,
        "domain_score": 0.5, "reasons": [] if inside else ["It is far.", "2 sites of Tc."],
        "neighbours": [{"name": "mp-1", "formula": "KCl", "distance": 0.5, "value": -2.0}],
    }  # fmt: skip
    return told


def test_a_record_tells_how_far_to_trust_it() -> None:
    client, _ = client_of(lambda _: answer([trusted("a", True), trusted("b", False), record("c")]))
    near, far, unknown = client.predict([(name, "t\n") for name in "abc"], "m")
    assert near.interval() == far.interval("formation-energy") == (-2.14, -1.96)
    assert (near.in_domain, far.in_domain, unknown.in_domain) == (True, False, None)
    assert (near.reasons, far.reasons) == ([], ["It is far.", "2 sites of Tc."])
    assert (unknown.interval(), unknown.prediction().std) == (None, None)
    assert near.prediction().neighbours[0].formula == "KCl"


@pytest.mark.parametrize(
    ("said", "domain"),
    [
        ((True, True), True),
        ((True, False), False),
        ((False, None), False),
        ((True, None), None),
        ((None, None), None),
        ((), None),
    ],
)
def test_of_several_models_the_domain_is_that_of_a_table(
    said: tuple[bool | None, ...], domain: bool | None
) -> None:
    told = record("a")
    [one] = told["predictions"]
    told["predictions"] = [one | {"in_domain": known} for known in said]
    [found] = client_of(lambda _: answer([told]))[0].predict([("a", "t\n")], "m")
    assert found.in_domain is domain


def test_rows_hold_bounds_deviation_and_domain() -> None:
    client, _ = client_of(lambda _: answer([trusted("a", False), record("b")]))
    sure, plain = client.predict([("a", "t\n"), ("b", "t\n")], "m").rows()
    assert (sure["low"], sure["high"], sure["std"], sure["in_domain"]) == (
        -2.14,
        -1.96,
        0.02,
        False,
    )
    assert sure["reasons"] == "It is far. 2 sites of Tc."
    assert (plain["low"], plain["in_domain"], plain["reasons"]) == (None, None, None)
    assert sure.keys() == plain.keys()


def test_rows_of_sites_and_bonds_have_bounds_of_their_own() -> None:
    told = record("a")
    told["sites"] = [{"index": at, "element": "Na"} for at in range(2)]
    charge, bond = (dict(told["predictions"][0]) for _ in range(2))
    charge |= {
        "property": "charge", "value": None, "values": [0.9, 0.8], "stds": [0.1, 0.2],
        "intervals": [[0.5, 1.3], None],
    }  # fmt: skip
    bond |= {
        "property": "bonds", "value": None, "adsorbate": 1,
        "bonds": [{"rank": 1, "site": 0, "element": "Na", "distance": 2.0, "interval": [1.9, 2.1]}],
    }  # fmt: skip
    told["predictions"] = [charge, bond]
    client, _ = client_of(lambda _: answer([told]))
    rows = client.predict("t\n", "m").rows()
    assert [(one["property"], one["low"], one["high"], one["std"]) for one in rows] == [
        ("charge[0:Na]", 0.5, 1.3, 0.1), ("charge[1:Na]", None, None, 0.2),
        ("bonds[1-0:Na]", 1.9, 2.1, None),
    ]  # fmt: skip


def test_a_value_of_a_model_that_was_not_asked_names_those_there_are() -> None:
    client, _ = client_of(predicting)
    [one] = client.predict("a\n", "formation-energy")
    with pytest.raises(LookupError, match="there are: formation-energy@1"):
        one.value("band-gap")


def test_nothing_to_predict_asks_nobody() -> None:
    client, _ = client_of(refused)
    assert client.predict([], "m") == []


def test_a_record_is_json_again() -> None:
    client, _ = client_of(predicting)
    [one] = client.predict("a\n", "m")
    assert json.loads(json.dumps(one.to_dict()))["predictions"][0]["value"] == -2.05

"""HTTP itself: names, hosts, deadlines, methods, broken requests."""

import re
import socket
from typing import Any

import httpx2
import pytest

FORM = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.cif"\r\n\r\ngood'
HEAD = (
    b"POST /v1/predictions HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n"
)


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    return body


def said(port: int, *parts: bytes, timeout: float = 15) -> bytes:
    """All that comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while data := connection.recv(65_536):
            answer += data
        return answer


def test_a_sane_request_id_is_kept_and_a_strange_one_is_not(door: Any) -> None:
    kept = door.client.get("/", headers={"X-Request-ID": "abc-123"})
    assert kept.headers["x-request-id"] == "abc-123"
    for strange in ("x" * 200, "a b", "<script>"):
        answer = door.client.get("/", headers={"X-Request-ID": strange})
        assert re.fullmatch(r"req_[0-9A-Z]{26}", answer.headers["x-request-id"])


def test_the_callers_trace_and_request_id_go_with_the_job(door: Any) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    job = door.predict(("a.cif", b"good"), traceparent=trace, X_Request_ID="mine").json()["job"]
    assert door.worker.claims[job].traceparent == trace
    assert door.worker.claims[job].request_id == "mine"
    job = door.predict(("a.cif", b"good"), traceparent="00-nonsense").json()["job"]
    assert door.worker.claims[job].traceparent is None


def test_unknown_paths_and_methods_are_problems(door: Any) -> None:
    problem(door.client.get("/nothing"), 404, "not_found")
    problem(door.client.get("/v1/jobs/"), 404, "not_found")
    for method, path in (("PUT", "/v1/predictions"), ("OPTIONS", "/v1/jobs"), ("TRACE", "/")):
        answer = door.client.request(method, path)
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"]


def test_head_is_get_without_a_body(door: Any) -> None:
    answer = door.client.head("/v1/models")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0
    assert door.client.head("/nothing").status_code == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil:80"]
)
def test_a_name_that_was_rebound_to_loopback_is_refused(door: Any, host: str) -> None:
    problem(door.client.get("/v1/jobs", headers={"Host": host}), 403, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "[::1]:8000", "127.0.0.1"])
def test_loopback_names_are_served(door: Any, host: str) -> None:
    assert door.client.get("/v1/jobs", headers={"Host": host}).status_code == 200


def test_further_names_can_be_allowed(open_door: Any) -> None:
    with open_door(allowed_hosts="matprop.lab, other") as door:
        assert door.client.get("/", headers={"Host": "matprop.lab:80"}).status_code == 200


def test_a_page_of_another_site_changes_nothing(door: Any) -> None:
    files = {"files": ("a.cif", b"good"), "model": (None, "tested")}
    for origin in ("https://evil.example", "null", "http://[bad"):
        answer = door.client.post("/v1/predictions", files=files, headers={"Origin": origin})
        problem(answer, 403, "cross_site")
    own = {"Origin": door.url}
    assert door.client.post("/v1/predictions", files=files, headers=own).status_code == 200
    answer = door.client.get("/v1/jobs", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_a_body_that_trickles_is_refused(open_door: Any) -> None:
    with open_door(receive_s=0.2) as door:
        answer = said(door.port, HEAD + b"Content-Length: 5000\r\n\r\n", FORM)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"receive_timeout"' in answer
        assert not list(door.settings.state.glob("uploads/*/.*"))


def test_a_head_that_trickles_is_refused(open_door: Any) -> None:
    with open_door(head_s=1) as door:
        assert said(door.port, b"GET / HTTP/1.1\r\nHost: loc").startswith(b"HTTP/1.1 408")
        assert said(door.port) == b""
        kept_alive = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /heal"
        assert b"HTTP/1.1 408" in said(door.port, kept_alive)


def test_what_is_not_http_is_a_problem(door: Any) -> None:
    for nonsense in (b"\x16\x03\x01 hello\r\n\r\n", b"GET / HTTP/1.1\r\nBad Header\r\n\r\n"):
        answer = said(door.port, nonsense)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"application/problem+json" in answer


def test_an_endless_head_is_refused(door: Any) -> None:
    answer = said(door.port, b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 100_000)
    assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))


def test_a_length_over_the_bound_is_refused_before_the_body_comes(open_door: Any) -> None:
    with open_door(max_body_bytes=1_000) as door:
        with socket.create_connection(("127.0.0.1", door.port), timeout=15) as connection:
            connection.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
            answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 413")


def test_chunks_over_the_bound_are_refused(open_door: Any) -> None:
    with open_door(max_body_bytes=1_000) as door:
        with socket.create_connection(("127.0.0.1", door.port), timeout=15) as connection:
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            connection.sendall(b"7d0\r\n" + FORM + b"x" * (2_000 - len(FORM)) + b"\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"body_too_large" in answer


def test_a_client_that_leaves_in_the_middle_leaves_nothing(open_door: Any) -> None:
    with open_door() as door:
        with socket.create_connection(("127.0.0.1", door.port), timeout=15) as connection:
            connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n" + FORM)
            while not door.server.house.traffic.in_flight:
                pass
        while door.server.house.traffic.in_flight:
            pass
        assert not list(door.settings.state.glob("uploads/*/.*"))


def test_a_connection_serves_one_request_after_another(door: Any) -> None:
    one = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert said(door.port, one + one, last).count(b"HTTP/1.1 200") == 3


def test_too_many_requests_at_once_are_told_to_come_back(open_door: Any) -> None:
    with (
        open_door(max_requests=1) as door,
        socket.create_connection(("127.0.0.1", door.port), timeout=15) as connection,
    ):
        connection.sendall(HEAD + b"Content-Length: 5000\r\n\r\n" + FORM)
        while not door.server.house.traffic.in_flight:
            pass
        answer = door.client.get("/v1/models")
        problem(answer, 503, "busy")
        assert answer.headers["retry-after"]
        assert door.client.get("/health/live").status_code == 200


def test_names_from_outside_do_not_break_the_log(
    door: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "matprop.service")
    door.client.get("/a%0aINFO forged%1b[31m")
    door.client.get("/")
    lines = [record.getMessage() for record in caplog.records]
    assert any("forged" in line for line in lines)
    assert not any("\n" in line or "\x1b" in line for line in lines)


def test_the_query_is_checked_on_every_route(door: Any) -> None:
    for path in ("/", "/health/live", "/v1/models", "/v1/limits", "/metrics", "/docs"):
        problem(door.client.get(f"{path}?x=1"), 422, "unknown_field")


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"models": ["a"], "structures": [{"text": "x"}], "models": ["tested"]}', "models"),
        ('{"models": ["tested"], "structures": [{"text": "x", "name": "a", "name": "b"}]}', "name"),
    ],
)
def test_a_field_of_a_json_body_comes_once(door: Any, body: str, name: str) -> None:
    head = {"Content-Type": "application/json"}
    answer = door.client.post("/v1/predictions", content=body, headers=head)
    problem(answer, 422, "invalid_field")
    assert answer.json()["detail"] == f"{name!r} came twice."


@pytest.mark.parametrize("depth", [500, 900, 1_010, 5_000])
def test_a_body_nested_too_deeply_is_refused(door: Any, depth: int) -> None:
    body = '{"models":' + "[" * depth + "]" * depth + "}"
    head = {"Content-Type": "application/json"}
    answer = door.client.post("/v1/predictions", content=body, headers=head)
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] in ("malformed_json", "invalid_field", "missing_field")


def test_a_query_parameter_comes_once(door: Any) -> None:
    problem(door.client.get("/v1/jobs?limit=1&limit=2"), 422, "invalid_field")
    assert door.client.get("/v1/jobs?limit=1&limit=1").status_code == 200


def test_one_connection_too_many_is_told_at_once_to_come_again(
    door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.client.get("/health/live")  # its connection stays
    monkeypatch.setattr("service.protocol.MOST_CONNECTIONS", 1)
    head, _, body = said(door.port, HEAD + b"Content-Length: 80\r\n\r\n", FORM).partition(
        b"\r\n\r\n"
    )
    assert head.startswith(b"HTTP/1.1 503")
    assert b"\r\nretry-after: 2" in head.lower()
    assert b'"code":"busy"' in body
    assert door.client.get("/health/live").status_code == 200

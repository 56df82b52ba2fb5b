"""Forms, JSON and raw bytes as no honest client sends them: a clear 4xx, never a 5xx, and quickly."""

import json
import os
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.multipart import FormReader, shown_name
from service.problems import Problem

CASES = int(os.environ.get("MATPROP_FUZZ_CASES", "12")) * 10
KIND = "multipart/form-data; boundary=frontier"
GOOD_FORM = (
    b'--frontier\r\nContent-Disposition: form-data; name="files"; filename="NaCl.cif"\r\n'
    b"Content-Type: chemical/x-cif\r\n\r\ndata_NaCl good\r\n"
    b'--frontier\r\nContent-Disposition: form-data; name="model"\r\n\r\ntested\r\n'
    b'--frontier\r\nContent-Disposition: form-data; name="primitive"\r\n\r\ntrue\r\n--frontier--\r\n'
)
GOOD_JSON = json.dumps(
    {
        "structures": [{"name": "a", "text": "good", "format": "cif"}],
        "models": ["tested"],
        "include": [],
    }
).encode()
GOOD_HEAD = (
    b"POST /v1/predictions?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
    + KIND.encode()
    + b"\r\n"
    b"Content-Length: 20\r\nPrefer: wait=1\r\nConnection: close\r\n\r\n" + GOOD_FORM[:20]
)
door_settings = settings(
    max_examples=CASES, suppress_health_check=list(HealthCheck), derandomize=False
)


def mutated(original: bytes) -> st.SearchStrategy[bytes]:
    """The original with some pieces cut out, doubled, or replaced."""

    @st.composite
    def one(draw: st.DrawFn) -> bytes:
        data = original
        for _ in range(draw(st.integers(1, 4))):
            start = draw(st.integers(0, len(data)))
            end = draw(st.integers(start, min(len(data), start + 40)))
            what = draw(st.sampled_from(["cut", "double", "noise", "swap"]))
            if what == "cut":
                data = data[:start] + data[end:]
            elif what == "double":
                data = data[:end] + data[start:end] + data[end:]
            elif what == "noise":
                data = data[:start] + draw(st.binary(max_size=20)) + data[end:]
            else:
                data = data[:start] + data[start:end][::-1] + data[end:]
        return data

    return one()


def clear(answer: Any) -> None:
    """Either it worked or a problem says why not."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


@door_settings
@given(body=mutated(GOOD_FORM))
def test_a_broken_form_is_understood_or_refused(door: Any, body: bytes) -> None:
    clear(door.client.post("/v1/predictions", content=body, headers={"Content-Type": KIND}))


@door_settings
@given(body=mutated(GOOD_JSON))
def test_a_broken_json_body_is_understood_or_refused(door: Any, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    clear(door.client.post("/v1/predictions", content=body, headers=headers))


words = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_subnormal=False), st.text(max_size=20)
)
anything = st.recursive(
    words, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4))
)  # fmt: skip
fields = ("structures", "models", "format", "disorder", "primitive", "include", "label")


@door_settings
@given(body=st.dictionaries(st.sampled_from(fields), anything))
def test_any_json_value_in_any_field(door: Any, body: dict[str, Any]) -> None:
    raw = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    clear(door.client.post("/v1/predictions", content=raw, headers=headers))


@door_settings
@given(
    name=st.sampled_from(
        ["files", "model", "format", "disorder", "primitive", "include", "label", "x"]
    ),
    file=st.one_of(st.none(), st.text(max_size=30)),
    value=st.binary(max_size=200),
)
def test_any_bytes_in_any_form_field(door: Any, name: str, file: str | None, value: bytes) -> None:
    parts: list[Any] = [
        ("files", ("a.cif", b"good")),
        ("model", (None, "tested")),
        (name, (file, value)),
    ]
    clear(door.client.post("/v1/predictions", files=parts))


@door_settings
@given(
    job=st.text(min_size=1, max_size=40).filter(lambda text: "/" not in text),
    cursor=st.text(max_size=40),
    limit=st.text(max_size=10),
)
def test_any_text_as_job_and_query(door: Any, job: str, cursor: str, limit: str) -> None:
    from urllib.parse import quote

    query = {"cursor": cursor.encode("utf-8", "replace"), "limit": limit.encode("utf-8", "replace")}
    path = quote(job.encode("utf-8", "replace"), safe="")
    clear(door.client.get("/v1/jobs", params=query))
    clear(door.client.get(f"/v1/predictions/{path}", params=query))
    clear(door.client.get(f"/v1/jobs/{path}"))
    clear(door.client.get(f"/v1/models/{path}"))


@door_settings
@given(head=mutated(GOOD_HEAD))
def test_any_bytes_on_the_wire(door: Any, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while data := connection.recv(65_536):
            answer += data
    assert not answer.startswith(b"HTTP/1.1 5"), answer


@settings(max_examples=CASES)
@given(body=mutated(GOOD_FORM), cuts=st.lists(st.integers(0, len(GOOD_FORM)), max_size=8))
def test_where_a_form_is_cut_does_not_matter(body: bytes, cuts: list[int]) -> None:
    assert events(body, []) == events(body, sorted(cuts))


def events(body: bytes, cuts: list[int]) -> Any:
    """The events with joined data, or the refusal."""
    reader = FormReader(b"frontier")
    found: list[Any] = []
    try:
        for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
            for event in reader.feed(body[start:end]):
                if isinstance(event, bytes) and found and isinstance(found[-1], bytes):
                    found[-1] += event
                elif event != b"":
                    found.append(event)
    except Problem as problem:
        return problem.code
    return found, reader.complete


@settings(max_examples=CASES * 5)
@given(name=st.text(max_size=400), index=st.integers(0, 1_000))
def test_a_shown_name_is_harmless(name: str, index: int) -> None:
    shown = shown_name(name, index)
    assert 0 < len(shown) <= 255
    assert shown.isprintable()
    assert not {"/", "\\", "\0"} & set(shown)
    assert shown not in (".", "..")
    shown.encode()


def test_after_all_that_the_door_is_open(door: Any) -> None:
    assert door.client.get("/health/ready").status_code == 200
    assert not list(door.settings.state.glob("uploads/*/.*"))


@pytest.fixture(autouse=True)
def no_troubles(door: Any) -> Any:
    """The played worker met nothing it could not read."""
    yield
    assert door.worker.troubles == []

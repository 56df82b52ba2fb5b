"""One request, followed through the lines of all processes."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EVIL = "a\u2028b\x1b[31m.vasp"


def lines_of(state: Path) -> dict[str, list[dict[str, Any]]]:
    """What each program has written, every line an object."""
    found = {}
    for path in (state / "logs").glob("*.log"):
        if path.stem != "broker":  # the server's own form
            text = path.read_text("utf-8")
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]", text), path
            found[path.stem] = [json.loads(line) for line in text.splitlines()]
    return found


def test_a_request_is_found_by_its_id_in_the_lines_of_service_and_workers(
    start: Callable[..., Any], rock_salt: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATPROP_LOG_JSON", "true")
    running = start("--workers", "1")
    running.wait_ready()
    status, head, body = running.form(
        "/v1/predictions",
        ("files", EVIL, rock_salt(5.64)),
        ("model", None, b"formation-energy"),
        X_Request_ID="my-request-1",
        Traceparent=TRACE,
        Prefer="wait=60",
    )
    assert (status, head["x-request-id"]) == (200, "my-request-1")
    running.stop()
    written = lines_of(running.state)
    assert {"service", "parse", "infer", "train"} <= set(written)
    mine = {
        name: [line for line in lines if line.get("request_id") == "my-request-1"]
        for name, lines in written.items()
    }
    [answered] = mine["service"]
    assert (answered["job"], answered["traceparent"]) == (body["job"], TRACE)
    assert answered["status"] == 200
    [ran] = mine["parse"]
    assert ran["job"] == body["job"]
    assert (ran["kind"], ran["attempt"], ran["traceparent"]) == ("predict", 1, TRACE)
    assert (ran["queue"], ran["level"]) == ("parse", "INFO")
    assert ran["worker"]

"""A request's span, and what its job is told of it."""

from typing import Any

import pytest

from workers import tracing

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_request_is_a_span_by_its_route_and_its_job_goes_on_from_it(open_door: Any) -> None:
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    with open_door() as door:
        assert tracing.set_up("service", {}, exporter)
        body = door.predict(("secret-name.cif", b"good"), traceparent=CALLER).json()
        door.client.get("/v1/jobs/none")
        claim = door.worker.claims[body["job"]]
    spans = {one.name: one for one in exporter.get_finished_spans()}
    assert set(spans) == {"POST /v1/predictions", "GET /v1/jobs/{job}"}
    span = spans["POST /v1/predictions"]
    assert f"{span.context.trace_id:032x}" == CALLER.split("-")[1]
    assert claim.traceparent.split("-")[1:3] == [
        CALLER.split("-")[1],
        f"{span.context.span_id:016x}",
    ]
    assert dict(span.attributes)["matprop.job"] == body["job"]
    assert "secret" not in str(span.to_json())

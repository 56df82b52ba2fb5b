"""Spans: a request's, its job's and their stages', one below the other, and nothing at all without a receiver."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from models.settings.graph import GraphSettings
from models.structures.parse import ReadOptions
from workers import tracing
from workers.exchange import Work, pack_work, unpack_work
from workers.parser import Parser, Source

ROOT = Path(__file__).parents[2]
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SALT = b"salt\n1\n5.6 0 0\n0 5.6 0\n0 0 5.6\nNa Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"


@pytest.fixture
def sent() -> Iterator[Any]:
    """What would be sent."""
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    assert tracing.set_up("tested", {}, exporter)
    yield exporter.get_finished_spans
    tracing.stop()


def test_a_job_and_its_stages_are_below_the_request_that_submitted_it(
    sent: Any, stage: Any, jobs: Any
) -> None:
    with tracing.span("POST", CALLER, "server") as request:
        job = stage.submit(("a.txt", "H2 Na3"), traceparent=request.traceparent)
    assert stage.holder.run(job, stage.predictor.run)
    spans = {one.name: one for one in sent()}
    assert {"POST", "job predict", "wait", "infer"} <= set(spans)
    trace = {f"{one.context.trace_id:032x}" for one in spans.values()}
    assert trace == {CALLER.split("-")[1]}
    parents = {name: one.parent.span_id for name, one in spans.items()}
    ran = spans["job predict"]
    assert parents["POST"] == int(CALLER.split("-")[2], 16)
    assert parents["job predict"] == spans["POST"].context.span_id
    assert parents["infer"] == parents["wait"] == ran.context.span_id
    told = dict(ran.attributes)
    assert (told["matprop.job"], told["matprop.status"], told["matprop.attempt"]) == (
        job,
        "succeeded",
        1,
    )
    assert spans["infer"].start_time >= ran.start_time


def test_reading_and_making_graphs_are_stages_of_some_structures(sent: Any) -> None:
    parser = Parser()
    sources = (Source(number, "POSCAR", None, SALT) for number in range(12))
    with tracing.span("job"):
        assert len(list(parser.read(sources, ReadOptions(), [GraphSettings()]))) == 12
    parser.close()
    names = [one.name for one in sent()]
    assert names.count("parse") == names.count("featurise") == 8
    assert parser.tally._whole["stage_seconds:parse:count"] == 12


def test_without_a_receiver_a_span_is_its_parent_and_costs_nothing() -> None:
    assert not tracing.set_up("tested", {})
    with tracing.span("job", CALLER) as span:
        span.tell(status="succeeded")
        tracing.record("infer", 1.0)
    assert span.traceparent == CALLER
    assert tracing.current() is None


def test_work_tells_its_trace_only_while_spans_are_sent() -> None:
    assert unpack_work(pack_work(Work([b"g"], trace=CALLER))).trace == CALLER
    assert len(pack_work(Work([b"g"]))) == len(pack_work(Work([b"g"], trace=None)))
    assert unpack_work(pack_work(Work([b"g"]))).trace is None


def run(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "module", ["workers.children, workers.predicting, workers.residents", "service.app"]
)
def test_nothing_of_it_is_loaded_when_off(module: str) -> None:
    """FastAPI and redis-py load interfaces of it for themselves; spans and their senders are ours."""
    found = run(
        f"import sys, {module}\nfrom workers import tracing\ntracing.set_up('x')\n"
        "with tracing.span('a'): pass\n"
        "ours = ('opentelemetry.sdk.trace', 'opentelemetry.exporter', 'google.protobuf')\n"
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    assert found.strip() == "[]"


def test_a_receiver_is_sent_the_spans_by_the_end_of_the_process() -> None:
    wire = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    bodies: list[bytes] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            run(
                "from workers import tracing\nassert tracing.set_up('infer')\n"
                f"with tracing.span('job predict', '{CALLER}', 'consumer', job='job_1'): pass\n"
                "tracing.stop()",
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.server_port}",
                OTEL_EXPORTER_OTLP_COMPRESSION="none",
            )
        finally:
            server.shutdown()
    [resource] = wire.ExportTraceServiceRequest.FromString(bodies[0]).resource_spans
    about = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert about["service.name"] == "matprop-infer"
    [span] = resource.scope_spans[0].spans
    assert (span.name, span.trace_id.hex()) == ("job predict", CALLER.split("-")[1])

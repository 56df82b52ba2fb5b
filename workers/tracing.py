"""Spans of requests, jobs and their stages for OpenTelemetry; without a receiver's address nothing of it is loaded.

The receiver is `OTEL_EXPORTER_OTLP_ENDPOINT`, and all else is set as OpenTelemetry's own variables say. Spans tell
ids, counts and times, never names or contents of what was sent.
"""

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Literal

ADDRESSES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
FLUSH_MS = 2_000  # at the end of a process, which a receiver that is away must not hold up
Kind = Literal["internal", "server", "consumer"]

log = logging.getLogger("matprop.tracing")


class _On:
    """What there is once spans are sent."""

    provider: Any = None
    tracer: Any = None


def set_up(part: str, environment: Mapping[str, str] = os.environ, exporter: Any = None) -> bool:
    """Send the spans of this process, if it is told where to; after the fork, for it starts a thread."""
    if exporter is None and not any(environment.get(name) for name in ADDRESSES):
        return False
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            processor: Any = BatchSpanProcessor(OTLPSpanExporter())
        else:
            processor = SimpleSpanProcessor(exporter)
    except ImportError:
        log.warning("no spans are sent: install matprop[otel], or unset %s", ADDRESSES[0])
        return False
    # Their INFO tells of nothing, their WARNING of every batch that a receiver which is away did not take.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    name = environment.get("OTEL_SERVICE_NAME") or f"matprop-{part}"
    about = Resource.create({"service.name": name, "service.version": version("matprop")})
    _On.provider = TracerProvider(resource=about, shutdown_on_exit=False)
    _On.provider.add_span_processor(processor)
    _On.tracer = _On.provider.get_tracer("matprop")
    return True


def stop() -> None:
    """Send what is left."""
    provider, _On.provider, _On.tracer = _On.provider, None, None
    if provider is not None:
        provider.force_flush(FLUSH_MS)
        provider.shutdown()


def on() -> bool:
    """Whether spans are sent."""
    return _On.tracer is not None


@contextmanager
def span(
    name: str, parent: str | None = None, kind: Kind = "internal", **told: Any
) -> Iterator["Span"]:
    """The block as a span, below the parent's (a `traceparent`), else below the one around it."""
    if _On.tracer is None:
        yield Span(None, parent)
        return
    from opentelemetry.trace import SpanKind

    with _On.tracer.start_as_current_span(
        name, _context(parent), SpanKind[kind.upper()], _named(told)
    ) as made:
        yield Span(made, current())


class Span:
    """A span under way, or none; `traceparent` is what it is called by others."""

    def __init__(self, made: Any, traceparent: str | None) -> None:
        self._made = made
        self.traceparent = traceparent

    def tell(self, *, name: str | None = None, failed: bool = False, **told: Any) -> None:
        """What is known by now."""
        if self._made is None:
            return
        from opentelemetry.trace import StatusCode

        if name:
            self._made.update_name(name)
        if failed:
            self._made.set_status(StatusCode.ERROR)
        self._made.set_attributes(_named(told))


def record(
    name: str,
    took_s: float,
    parents: Iterable[str | None] = (None,),
    ended_s_ago: float = 0.0,
    **told: Any,
) -> None:
    """A span that has ended, below each of the parents: `None` is the one around it."""
    if _On.tracer is None:
        return
    end = time.time_ns() - int(ended_s_ago * 1e9)
    for parent in parents:
        made = _On.tracer.start_span(
            name, _context(parent), attributes=_named(told), start_time=end - int(took_s * 1e9)
        )
        made.end(end)


def current() -> str | None:
    """What the span around us is called by others; none when nothing is sent."""
    if _On.tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def _context(parent: str | None) -> Any:
    if parent is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def _named(told: Mapping[str, Any]) -> dict[str, Any]:
    """As attributes are called: `job` is `matprop.job`, `http_route` is `http.route`."""
    return {
        name.replace("_", ".", 1) if name.startswith("http_") else f"matprop.{name}": value
        for name, value in told.items()
        if value is not None
    }

"""Figures of this process for Prometheus, and those that the broker keeps for everybody."""

import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from workers.figures import FIGURES, NAMED, head, rows, sample
from workers.jobs import Health

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
Samples = list[tuple[float, dict[str, str]]]


class HttpMetrics:
    """Requests by route and status, their times, and what is open now."""

    def __init__(self) -> None:
        disable_created_metrics()  # a series more for each, that nobody asks for
        self.registry = CollectorRegistry()
        self.requests = self._made(Counter, "http_requests")
        self.seconds = self._made(Histogram, "http_request_seconds")
        self.in_flight = self._made(Gauge, "http_requests_in_flight")
        self.streams = self._made(Gauge, "http_event_streams")
        self.waiting = self._made(Gauge, "http_waiting")

    def seen(self, method: str, route: Any, status: int, seconds: float) -> None:
        """One request more; unknown paths share a label, so that strangers cannot make new ones."""
        path = getattr(route, "path", "unknown")
        self.requests.labels(method if method in METHODS else "other", path, str(status)).inc()
        self.seconds.labels(path, str(status)).observe(seconds)

    def page(self) -> bytes:
        """The figures as Prometheus reads them."""
        page: bytes = generate_latest(self.registry)
        return page

    def _made(self, kind: Any, name: str) -> Any:
        figure = NAMED[name]
        more = {"buckets": figure.buckets} if figure.buckets else {}
        return kind(f"matprop_{name}", figure.about, figure.labels, registry=self.registry, **more)


def of_all(health: Health | None, state: Path) -> str:
    """What does not belong to this process alone; without a broker, little."""
    counters = health.counters if health is not None else {}
    gauges = dict(of_here(state)) | (dict(of_broker(health)) if health is not None else {})
    gauges.setdefault("broker_up", [(0, {})])
    lines: list[str] = []
    for figure in FIGURES:
        if figure.counted and health is not None:
            lines += rows(figure, counters)
        elif figure.name in gauges:
            lines += head(figure)
            lines += [sample(figure.full, value, labels) for value, labels in gauges[figure.name]]
    return "\n".join(lines) + "\n"


def of_here(state: Path) -> Iterator[tuple[str, Samples]]:
    """Versions and disk, as this process sees them."""
    versions = {"version": version("matprop"), "python": platform.python_version()}
    yield "build_info", [(1, versions)]
    try:
        yield "state_free_bytes", [(shutil.disk_usage(state).free, {})]
    except OSError:
        return


def of_broker(health: Health) -> Iterator[tuple[str, Samples]]:
    """The broker's state, what waits there, and the workers that show themselves there."""
    told = health.told
    skews = (abs(one.skew_s) for one in told)
    for name, value in (
        ("broker_up", 1),
        ("broker_persistent", health.persistent),
        ("broker_full", health.full),
        ("broker_memory_bytes", health.memory_bytes),
        ("broker_memory_max_bytes", int(health.broker.get("maxmemory", 0))),
        ("broker_aof_bytes", int(health.broker.get("aof_current_size", 0))),
        ("broker_aof_delayed_fsyncs", int(health.broker.get("aof_delayed_fsync", 0))),
        ("workers_clock_skew_seconds", max(skews, default=0.0)),
        ("models_resident", sum(len(one.about.get("models", ())) for one in told)),
        ("jobs_queued", health.queued),
    ):
        yield name, [(value, {})]
    yield "workers_alive", by("queue", health.workers)
    yield "queue_length", by("queue", health.waiting)
    yield "queue_oldest_seconds", by("queue", health.oldest_s)
    kinds = NAMED["jobs_submitted"].values[0]
    yield "jobs_running", by("kind", {kind: health.running_kinds.get(kind, 0) for kind in kinds})
    yield "workers_versions", versions(health)


def by(label: str, found: Mapping[str, float]) -> Samples:
    """A sample a name."""
    return [(value, {label: name}) for name, value in found.items()]


def versions(health: Health) -> Samples:
    """How many workers of each version serve each queue."""
    counts: dict[tuple[str, str], int] = {}
    for one in health.told:
        told = str(one.about.get("versions", {}).get("matprop", "unknown"))[:40]
        counts[one.queue, told] = counts.get((one.queue, told), 0) + 1
    return [(count, {"queue": queue, "version": told}) for (queue, told), count in counts.items()]

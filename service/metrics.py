"""Figures of this process for Prometheus; those of the workers come from the broker."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class HttpMetrics:
    """Requests by route and status, their times, and what is open now."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "matprop_http_requests",
            "Requests answered",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "matprop_http_request_seconds",
            "Time to answer",
            ("route",),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "matprop_http_requests_in_flight", "Requests in progress", registry=self.registry
        )
        self.streams = Gauge(
            "matprop_http_event_streams", "Event streams open", registry=self.registry
        )
        self.waiting = Gauge(
            "matprop_http_waiting", "Requests that wait for a job", registry=self.registry
        )
        self.uploaded = Counter(
            "matprop_http_uploaded_bytes", "Bytes of uploads taken", registry=self.registry
        )

    def seen(self, method: str, route: Any, status: int, seconds: float) -> None:
        """One request more; unknown paths share a label, so that strangers cannot make new ones."""
        path = getattr(route, "path", "unknown")
        self.requests.labels(method if method in METHODS else "other", path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def page(self) -> bytes:
        """The figures as Prometheus reads them."""
        page: bytes = generate_latest(self.registry)
        return page

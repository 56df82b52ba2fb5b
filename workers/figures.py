"""Every figure that Prometheus is told: its name, unit, labels and meaning; docs/reference/metrics.md is made of it.

Workers count in their own memory and tell it once a second (`workers.metrics`); scripts count what only the
broker sees. All of that lies in one hash: `name`, `name:label`, and for histograms `…:count`, `…:sum`, `…:in:bound`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

from workers.contract import Queue, Task

PREFIX = "matprop_"
SHORT_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
HTTP_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
JOB_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200, 259200)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
EDGES = (100, 300, 1000, 3000, 10_000, 30_000, 100_000, 200_000, 500_000)

QUEUES = tuple(str(queue) for queue in Queue)
KINDS = tuple(str(task) for task in Task)
ENDS = ("succeeded", "failed", "cancelled")
STAGES = ("read", "parse", "featurise", "wait", "infer")
Part = Literal["Healthy", "Busy", "Time", "HTTP"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `values` are all that a label can be, and none where they come from the routes."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    part: Part
    about: str
    labels: tuple[str, ...] = ()
    values: tuple[tuple[str, ...], ...] = ()
    buckets: tuple[float, ...] = ()
    counted: bool = False  # in the broker's hash
    page: bool = False  # by the service itself

    @property
    def full(self) -> str:
        """As Prometheus has it."""
        return f"{PREFIX}{self.name}{'_total' if self.kind == 'counter' else ''}"


def _counter(name: str, part: Part, about: str, **values: tuple[str, ...]) -> Figure:
    return Figure(name, "counter", part, about, tuple(values), tuple(values.values()), counted=True)


def _spread(
    name: str, part: Part, about: str, buckets: tuple[float, ...], **values: tuple[str, ...]
) -> Figure:
    labels, found = tuple(values), tuple(values.values())
    return Figure(name, "histogram", part, about, labels, found, buckets, counted=True)


def _gauge(name: str, part: Part, about: str, *labels: str) -> Figure:
    return Figure(name, "gauge", part, about, labels)


CACHES = ("parsed", "answers")

FIGURES: tuple[Figure, ...] = (
    _gauge("build_info", "Healthy", "1, with the versions of this service process.", "version", "python"),
    _gauge("broker_up", "Healthy", "Whether the broker answers."),
    _gauge("broker_persistent", "Healthy", "Whether the append-only file is on and its last write went well."),
    _gauge("broker_full", "Healthy", "Whether new jobs are refused for want of the broker's memory."),
    _gauge("broker_memory_bytes", "Healthy", "Memory that the broker uses."),
    _gauge("broker_memory_max_bytes", "Healthy", "Its `maxmemory`; 0 without one."),
    _gauge("broker_aof_bytes", "Healthy", "Size of the append-only file."),
    _gauge("broker_aof_delayed_fsyncs", "Healthy", "Writes that had to wait for the disk since the broker's start."),
    _gauge("workers_alive", "Healthy", "Worker processes that have shown themselves within 3 s.", "queue"),
    _gauge("workers_versions", "Healthy", "The same by matprop's version.", "queue", "version"),
    _gauge("workers_clock_skew_seconds", "Healthy", "The largest difference of a worker's clock to the broker's."),
    _gauge("models_resident", "Healthy", "Models in the memory of inference workers, all together."),
    _gauge("state_free_bytes", "Healthy", "Free disk space of the state folder, as this process sees it."),
    _counter("leases_lost", "Healthy", "Jobs whose worker went silent; they were queued again or given up.", kind=KINDS),
    _counter("jobs_poison", "Healthy", "Jobs given up because they cost as many workers as a job may.", kind=KINDS),
    _counter("parsers_lost", "Healthy", "Children that read files and were lost: crashed, or stopped at the time limit.", why=("crash", "timeout")),
    _gauge("queue_length", "Busy", "What waits for a worker of the queue: jobs; for `infer`, entries of the lanes (up to some dozen graphs each).", "queue"),
    _gauge("queue_oldest_seconds", "Busy", "How long the oldest of these has waited; 0 with none.", "queue"),
    _gauge("jobs_queued", "Busy", "Waiting jobs that `MATPROP_MAX_QUEUED_JOBS` bounds: without the chunks of screenings."),
    _gauge("jobs_running", "Busy", "Jobs in the hands of workers.", "kind"),
    _counter("jobs_submitted", "Busy", "Jobs taken in.", kind=KINDS),
    _counter("jobs_ended", "Busy", "Jobs ended.", kind=KINDS, status=ENDS),
    _counter("attempts", "Busy", "Jobs begun by a worker.", kind=KINDS),
    _counter("retries", "Busy", "Attempts after the first of their job.", kind=KINDS),
    _counter("structures", "Busy", "Structures of predictions, done.", status=("succeeded", "failed")),
    _spread("batch_graphs", "Busy", "Graphs that went through a network together.", SIZES),
    _spread("batch_edges", "Busy", "Edges that one take of an inference worker brought; `MATPROP_BATCH_EDGES` is the most.", EDGES),
    _counter("cache_hits", "Busy", "Found: read structures (`parsed`), answers of models (`answers`).", cache=CACHES),
    _counter("cache_misses", "Busy", "Not found there.", cache=CACHES),
    _counter("models_loaded", "Busy", "Models loaded into an inference worker."),
    _counter("models_evicted", "Busy", "Models that made room for another there."),
    _spread("job_seconds", "Time", "From a job's submission to its end.", JOB_S, kind=KINDS),
    _spread("job_wait_seconds", "Time", "From a job's submission to its first attempt.", JOB_S, kind=KINDS),
    _spread("run_seconds", "Time", "An attempt's time with its worker.", JOB_S, kind=KINDS),
    _spread(
        "stage_seconds",
        "Time",
        "A structure: `parse`, `featurise`. A take of an inference worker: `infer`. A run, all together: "
        "`read`, waiting for the parsers; `wait`, waiting for inference.",
        SHORT_S,
        stage=STAGES,
    ),
    _spread("model_load_seconds", "Time", "Loading a model.", SHORT_S),
    Figure("http_requests", "counter", "HTTP", "Requests answered.", ("method", "route", "status"), page=True),
    Figure("http_request_seconds", "histogram", "HTTP", "Time to answer.", ("route", "status"), buckets=HTTP_S, page=True),
    Figure("http_requests_in_flight", "gauge", "HTTP", "Requests in progress.", page=True),
    Figure("http_event_streams", "gauge", "HTTP", "Event streams open.", page=True),
    Figure("http_waiting", "gauge", "HTTP", "Requests that wait for a job.", page=True),
)  # fmt: skip
NAMED = {figure.name: figure for figure in FIGURES}


def rows(figure: Figure, counters: Mapping[str, float]) -> list[str]:
    """The figure's lines as Prometheus reads them, of the broker's hash; also of what has never happened yet."""
    lines = head(figure)
    for values in product(*figure.values):
        key = ":".join((figure.name, *values))
        labels = dict(zip(figure.labels, values, strict=True))
        if figure.kind == "counter":
            lines.append(sample(figure.full, counters.get(key, 0.0), labels))
            continue
        upto = 0.0
        for bound in figure.buckets:
            upto += counters.get(f"{key}:in:{bound:g}", 0.0)
            lines.append(sample(f"{figure.full}_bucket", upto, {**labels, "le": f"{bound:g}"}))
        count = max(upto, counters.get(f"{key}:count", 0.0))
        lines.append(sample(f"{figure.full}_bucket", count, {**labels, "le": "+Inf"}))
        lines.append(sample(f"{figure.full}_sum", counters.get(f"{key}:sum", 0.0), labels))
        lines.append(sample(f"{figure.full}_count", count, labels))
    return lines


def head(figure: Figure) -> list[str]:
    """What it means, and of which kind it is."""
    return [f"# HELP {figure.full} {figure.about}", f"# TYPE {figure.full} {figure.kind}"]


def sample(name: str, value: float, labels: Mapping[str, str]) -> str:
    """One line."""
    marks = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{marks}}} {value:.15g}" if marks else f"{name} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")

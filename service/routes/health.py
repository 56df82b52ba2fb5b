"""How the service is: alive, ready, its figures and its bounds."""

import re
from typing import Any

from fastapi import APIRouter, Response

from models.structures.formats import Format
from service.dependencies import TheHouse
from service.documented import OPEN, answer, problems
from service.problems import Problem
from service.schemas.state import Limits, Live, Ready
from service.view import json
from workers.contract import Queue
from workers.jobs import Health

router = APIRouter(tags=["service"])
PROBE_S = 0.02  # a probe wants to know how it is now
NEEDED = (Queue.PARSE, Queue.INFER)
UNFIT = re.compile(r"[^a-zA-Z0-9_]")
LABELS = {"jobs_ended": "status"}  # what the part after the colon is
NO_STORE = {"Cache-Control": "no-store"}


@router.get(
    "/health/live",
    name="live",
    summary="Whether the process answers",
    response_model=None,
    responses={200: answer(Live, "It does."), **problems(common=OPEN)},
)
async def live() -> Response:
    """For a supervisor: restart the process when this fails."""
    return json({"status": "alive"}, headers=NO_STORE)


@router.get(
    "/health/ready",
    name="ready",
    summary="Whether predictions can be made now",
    response_model=None,
    responses={
        200: answer(Ready, "Broker, its persistence and workers are there."),
        503: answer(
            Ready, "Something is missing; `missing` says what.", Retry_After="Seconds to wait."
        ),
        **{status: entry for status, entry in problems(common=OPEN).items() if status != 503},
    },
)
async def ready(house: TheHouse) -> Response:
    """For a load balancer: send no requests while this is 503. It is so from the first moment of a stop."""
    checks: dict[str, str] = {}
    missing: list[str] = []
    if house.traffic.stopping:
        missing.append("the service is about to stop")
    try:
        judge(await house.watch.look(PROBE_S), checks, missing)
    except Problem as problem:
        checks["broker"] = "away"
        missing.append(f"the broker: {problem.detail}")
    body = {"status": "unavailable" if missing else "ready", "checks": checks, "missing": missing}
    if missing:
        return json(body, 503, {"Retry-After": "5", **NO_STORE})
    return json(body, headers=NO_STORE)


def judge(health: Health, checks: dict[str, str], missing: list[str]) -> None:
    """What the broker tells, as checks and what is missing."""
    checks["broker"] = "ok"
    checks["persistence"] = "ok" if health.persistent else "off or failing"
    if not health.persistent:
        missing.append("the broker's append-only file is off, or its last write failed")
    checks["admission"] = "closed" if health.full else "open"
    if health.full:
        missing.append("the broker has no memory left for new jobs")
    for queue in Queue:
        alive = health.workers.get(str(queue), 0)
        checks[str(queue)] = f"{alive} alive"
        if queue in NEEDED and not alive:
            missing.append(f"a {queue} worker")


@router.get(
    "/metrics",
    name="metrics",
    summary="Figures for Prometheus",
    response_model=None,
    responses={
        200: {
            "description": "All figures in Prometheus' text form.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **problems(common=OPEN),
    },
)
async def metrics(house: TheHouse) -> Response:
    """Those of this process, of the queue, and of all workers."""
    own = house.metrics
    own.in_flight.set(house.traffic.in_flight)
    own.streams.set(house.streams)
    own.waiting.set(len(house.answers))
    try:
        shared = of_queue(await house.watch.look())
    except Problem:
        shared = "# HELP matprop_broker_up Whether the broker answers\n# TYPE matprop_broker_up gauge\nmatprop_broker_up 0\n"
    page = own.page() + shared.encode()
    return Response(page, media_type="text/plain; version=0.0.4", headers=NO_STORE)


def of_queue(health: Health) -> str:
    """The broker's figures and the workers' counters."""
    lines: list[str] = []
    state: dict[str, Any] = {
        "broker_up": 1,
        "broker_persistent": int(health.persistent),
        "broker_full": int(health.full),
        "broker_memory_bytes": health.memory_bytes,
        "jobs_queued": health.queued,
        "jobs_running": health.running,
        "lanes_waiting_graphs": health.waiting_graphs,
    }
    for name, value in state.items():
        lines += [f"# TYPE matprop_{name} gauge", f"matprop_{name} {value}"]
    lines.append("# TYPE matprop_workers_alive gauge")
    lines += [
        f'matprop_workers_alive{{queue="{queue}"}} {count}'
        for queue, count in health.workers.items()
    ]
    return "\n".join([*lines, *counters(health.counters)]) + "\n"


def counters(found: dict[str, float]) -> list[str]:
    """The workers' figures: `name`, `name:label`, and for histograms `name:count|sum|le:bound`."""
    lines: list[str] = []
    histograms = {name.removesuffix(":count") for name in found if name.endswith(":count")}
    for name in sorted(histograms):
        metric = f"matprop_{UNFIT.sub('_', name)}"
        lines.append(f"# TYPE {metric} histogram")
        bounds = [key.removeprefix(f"{name}:le:") for key in found if key.startswith(f"{name}:le:")]
        lines += [
            f'{metric}_bucket{{le="{bound}"}} {found[f"{name}:le:{bound}"]:g}'
            for bound in sorted(bounds, key=float)
        ]
        count = found[f"{name}:count"]
        lines.append(f'{metric}_bucket{{le="+Inf"}} {count:g}')
        lines += [f"{metric}_sum {found.get(f'{name}:sum', 0):g}", f"{metric}_count {count:g}"]
    seen: set[str] = set()
    for name, value in sorted(found.items()):
        family, _, label = name.partition(":")
        if family in histograms:
            continue
        metric = f"matprop_{UNFIT.sub('_', family)}_total"
        if metric not in seen:
            lines.append(f"# TYPE {metric} counter")
            seen.add(metric)
        mark = f'{{{LABELS.get(family, "kind")}="{UNFIT.sub("_", label)}"}}' if label else ""
        lines.append(f"{metric}{mark} {value:g}")
    return lines


@router.get(
    "/v1/limits",
    name="limits",
    summary="Every bound",
    response_model=None,
    responses={200: answer(Limits, "The bounds of this service."), **problems(common=OPEN)},
)
async def limits(house: TheHouse) -> Response:
    """What a request, a structure and a job may be at most."""
    s = house.settings
    body = {
        "structures": {
            "files_per_call": s.max_files,
            "bytes_per_file": s.max_structure_bytes,
            "bytes_per_archive": s.max_archive_bytes,
            "models_per_call": s.max_models,
            "seconds_to_read_one": s.parse_wall_s,
        },
        "requests": {
            "body_bytes": s.max_body_bytes,
            "dataset_bytes": s.max_dataset_bytes,
            "json_bytes": s.max_json_bytes,
            "form_fields": s.max_fields,
            "form_field_bytes": s.max_field_bytes,
            "wait_default_s": s.wait_default_s,
            "wait_max_s": s.wait_max_s,
            "head_s": s.head_s,
            "receive_s": s.receive_s,
            "receive_bytes_per_s": s.receive_bytes_per_s,
            "concurrent": s.max_requests,
            "event_streams": s.max_streams,
        },
        "jobs": {
            "queued": s.max_queued_jobs,
            "kept_s": s.result_ttl_s,
            "idempotency_key_kept_s": 86_400,
        },
        "formats": [kind.value for kind in Format],
    }
    return json(body)

"""How the service is: alive, ready, its figures and its bounds."""

import asyncio

from fastapi import APIRouter, Response

from models.structures import bounds
from models.structures.formats import Format
from service.dependencies import TheHouse
from service.documented import OPEN, answer, problems
from service.metrics import of_all
from service.problems import Problem
from service.schemas.state import Limits, Live, Ready
from service.view import json
from workers.contract import Queue
from workers.jobs import Health

router = APIRouter(tags=["service"])
PROBE_S = 0.02  # a probe wants to know how it is now
NEEDED = (Queue.PARSE, Queue.INFER)
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
    health: Health | None
    try:
        health = await house.watch.look()
    except Problem:
        health = None
    # In a thread: a network disk may let wait who asks for its free space.
    shared = await asyncio.to_thread(of_all, health, house.settings.state)
    page = own.page() + shared.encode()
    return Response(page, media_type="text/plain; version=0.0.4", headers=NO_STORE)


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
            "files_per_screening": s.max_screening_files,
            "bytes_per_file": s.max_structure_bytes,
            "bytes_per_archive": s.max_archive_bytes,
            "archive_members": bounds.MEMBERS,
            "unpacked_archive_bytes": bounds.ARCHIVE_BYTES,
            "sites": bounds.SITES,
            "cif_blocks_per_file": bounds.BLOCKS,
            "entries_per_file": bounds.FRAMES,
            "models_per_call": s.max_models,
            "seconds_to_read_one": s.parse_wall_s,
        },
        "requests": {
            "body_bytes": s.max_body_bytes,
            "screening_bytes": s.max_screening_bytes,
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

"""Trainings and evaluations as they go out: what was ordered, where the job stands, what came of it."""

import asyncio
from typing import Any

import orjson

from models.families.recipes import NOT_TUNED
from service import results
from service.house import House
from service.reach import reaching
from service.view import job_view
from workers.contract import EvaluateOrder, Task, TrainOrder, TuneOrder
from workers.jobs import Job

NAMES = ("model", "name", "version")  # of what was made; the rest of a result are its figures
FIGURES = ("metrics", "baselines")  # of a result, what a list shows


async def result_of(house: House, job: Job) -> dict[str, Any]:
    """What the job has written at its end; empty when it has made nothing."""
    if not job.status.ended:
        return {}
    found = await asyncio.to_thread(results.read, house.files, house.files.result(job.id), None, 1)
    return dict(orjson.loads(found.lines[0])) if found.lines else {}


async def latest(house: House, job: Job) -> dict[str, Any] | None:
    """The newest figures of a training that runs."""
    if job.status.ended or not job.attempt:
        return None
    async with reaching():
        event = await house.jobs.newest(job.id, "metric")
    return event.data if event else None


async def training_view(
    house: House, job: Job, now: float, *, brief: bool = False
) -> dict[str, Any]:
    """A training as `TrainingView` has it; `brief` as in a list."""
    found = await result_of(house, job)
    made = found.get("model")
    if made:
        await house.sees(made)
    figures = {
        key: value
        for key, value in found.items()
        if key not in NAMES and (not brief or key in (*FIGURES, "tried"))
    }
    tune = TuneOrder.model_validate_json(job.order) if job.kind is Task.TUNE else None
    order = tune.train if tune else TrainOrder.model_validate_json(job.order)
    ordered = ordered_view(order)
    ordered["settings"] |= figures.pop("tried", None) or {}  # of a trial
    return {
        "id": job.id,
        "status": job.status,
        **ordered,
        "search": tune.model_dump(mode="json", exclude={"train"}, exclude_none=True)
        if tune
        else None,
        "latest": None if brief else await latest(house, job),
        "model": made,
        "result": figures or None,
        "job": job_view(job, now, made),
        "links": links(job, "trainings", order.dataset, made)
        | {"trials": f"/v1/trainings?search={job.id}" if tune else None},
    }


def ordered_view(order: TrainOrder) -> dict[str, Any]:
    """An order with its settings side by side, as they are sent."""
    parts = ("input", "network", "training")
    view = order.model_dump(mode="json", exclude=set(parts))
    flat = {name: value for part in parts for name, value in getattr(order, part).items()}
    view["settings"] = {name: value for name, value in flat.items() if name not in NOT_TUNED}
    view["task"] = order.network.get("task", "regression")
    return view


async def evaluation_view(house: House, job: Job, now: float) -> dict[str, Any]:
    """An evaluation as `EvaluationView` has it."""
    order = EvaluateOrder.model_validate_json(job.order)
    found = await result_of(house, job)
    judged = {key: value for key, value in found.items() if key not in NAMES}
    return {
        "id": job.id,
        "status": job.status,
        "model": order.model,
        "dataset": order.dataset,
        "columns": order.columns,
        "sizes": order.sizes,
        "result": judged or None,
        "job": job_view(job, now),
        "links": links(job, "evaluations", order.dataset, order.model),
    }


def links(job: Job, kind: str, dataset: str, model: str | None) -> dict[str, Any]:
    """Where to go on."""
    name, _, version = (model or "").partition("@")
    return {
        "self": f"/v1/{kind}/{job.id}",
        "job": f"/v1/jobs/{job.id}",
        "events": f"/v1/jobs/{job.id}/events",
        "dataset": f"/v1/datasets/{dataset}",
        "model": f"/v1/models/{name}/versions/{version}" if model else None,
    }

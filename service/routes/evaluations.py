"""`/v1/evaluations`: how good a model is on a data set, and how much data it needs."""

import asyncio
import time

from fastapi import APIRouter, Request, Response

from service import submit
from service.dependencies import TheHouse, TheMeeting, Trainer
from service.documented import BODY, answer, body, problems
from service.evaluation_order import dataset_of, ordered
from service.forms import parsed
from service.house import House
from service.idempotency import sane
from service.jobs import owned, refuse
from service.prefer import Patience, patience
from service.routes.predictions import IdempotencyKey, Prefer
from service.routes.trainings import CREATING, JSON_BYTES, described
from service.schemas.evaluation import EvaluationRequest, EvaluationView
from service.sent_as import JSON, sent_as
from service.training_view import evaluation_view
from service.view import json
from workers.contract import Queue, Task
from workers.jobs import Job, new_id

router = APIRouter(tags=["evaluations"])


@router.post(
    "/v1/evaluations",
    name="evaluate",
    summary="Judge a model by a data set",
    response_model=None,
    responses={
        200: answer(EvaluationView, "Done in time."),
        202: answer(EvaluationView, "Accepted; the work goes on.", Location="The job."),
        **problems(*BODY, *CREATING),
    },
    openapi_extra=body(
        ("application/json", "EvaluationRequest"), description="The model and the data set."
    ),
)
async def evaluate(
    request: Request,
    *,
    house: TheHouse,
    met: TheMeeting,
    who: Trainer,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Errors in all and by element, answers beside the truth, the worst ten; with `sizes` a learning curve.

    Rows that trained the model flatter it: judge by others.
    """
    wish = patience(prefer, house.settings.wait_default_s, house.settings.wait_max_s)
    key = sane(idempotency_key)
    sent_as(request, JSON)
    await house.watch.admit(Queue.TRAIN)
    async with house.uploads.open(new_id("job")) as upload:
        raw = await house.uploads.json(request, JSON_BYTES)
        upload.note(raw)
        asked = parsed(EvaluationRequest, raw)
        dataset, pointer = dataset_of(asked, house.catalogue)
        known = await described(house, who, dataset, pointer)
        order = await asyncio.to_thread(ordered, asked, known)
        claim = await submit.claimed(
            house, upload, Task.EVALUATE, owner=who.owner, key=key, seconds=wish.seconds
        )
        if isinstance(claim, Job):
            met.job = claim.id
            met.headers["Idempotent-Replayed"] = "true"
            return await told(house, claim, Patience(0.0))
        models = (order.model,) if order.model else ()
        what = submit.Submission(
            kind=Task.EVALUATE,
            order=order,
            upload=upload,
            caller=who,
            claim=claim,
            label=asked.label,
            models=models,
            uses=(order.dataset, *models),
            total=len(order.sizes) or known.manifest.rows,
            charged=known.manifest.rows,
        )
        record = await submit.run(house, met, what, wish)
    return await told(house, record, wish)


async def told(house: House, job: Job, wish: Patience) -> Response:
    """The answer to the request that made the job."""
    if job.status in ("failed", "cancelled") and not wish.asynchronous:
        refuse(job, "evaluation")
    view = await evaluation_view(house, job, time.time())
    if not job.status.ended or wish.asynchronous:
        headers = {"Location": f"/v1/jobs/{job.id}", "Retry-After": "1", **wish.headers}
        return json(view, 202, headers)
    return json(view, 200, wish.headers)


@router.get(
    "/v1/evaluations/{job}",
    name="get_evaluation",
    summary="An evaluation and what came of it",
    response_model=None,
    responses={
        200: answer(EvaluationView, "The evaluation."),
        **problems("unknown_job", "unknown_field", "invalid_field"),
    },
)
async def get_evaluation(job: str, house: TheHouse, who: Trainer) -> Response:
    """The result is there once the job has ended."""
    record = await owned(house, who, job, Task.EVALUATE)
    view = await evaluation_view(house, record, time.time())
    return json(view, headers={"Cache-Control": "no-cache"})

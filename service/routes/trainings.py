"""`/v1/trainings`: data sets in, models out."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from models.errors import UnknownDataset, UnknownModel
from service import submit
from service.dependencies import TheHouse, TheMeeting, Trainer
from service.documented import BODY, NEW_JOB, answer, body, problems
from service.forms import parsed
from service.house import House
from service.idempotency import sane
from service.jobs import owned, refuse
from service.keys import Caller
from service.pointing import about
from service.prefer import Patience, patience
from service.problems import Problem
from service.reach import reaching
from service.routes.predictions import IdempotencyKey, Prefer
from service.schemas.job import JobStatus
from service.schemas.key import Scope
from service.schemas.training import TrainingPage, TrainingRequest, TrainingView
from service.sent_as import JSON, sent_as
from service.training_order import Known, ordered
from service.training_view import training_view
from service.view import as_cursor, json, of_cursor, page_links
from workers.contract import Queue, Task, TrainOrder, TuneOrder
from workers.jobs import Job, Status, new_id

router = APIRouter(tags=["trainings"])

KINDS = (Task.TRAIN, Task.TUNE)
CREATING = (
    *("unknown_dataset", "unknown_model", "unfit_dataset", "bad_setting", "wrong_unit"),
    *("invalid_input", "conflict", *NEW_JOB),
)
JSON_BYTES = 1_000_000


@router.post(
    "/v1/trainings",
    name="train",
    summary="Train a model",
    response_model=None,
    responses={
        201: answer(
            TrainingView, "The model is there and can predict.", Location="The new version."
        ),
        202: answer(
            TrainingView,
            "Accepted; the work goes on. Follow `links.events`: each epoch is a `metric`.",
            Location="The job.",
            Preference_Applied="The wait that was granted.",
        ),
        **problems(*BODY, *CREATING),
    },
    openapi_extra=body(
        ("application/json", "TrainingRequest"), description="The data set and what to learn."
    ),
)
async def train(
    request: Request,
    *,
    house: TheHouse,
    met: TheMeeting,
    who: Trainer,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """The smallest call names a data set and a target; everything else has a default.

    All of it is checked before anything starts. Answers at once, unless `Prefer: wait` asks otherwise.
    It counts against the key's structures of the day as many as the data set has rows.
    """
    wish = patience(prefer, 0.0, house.settings.wait_max_s)
    key = sane(idempotency_key)
    sent_as(request, JSON)
    await house.watch.admit(Queue.TRAIN)
    async with house.uploads.open(new_id("job")) as upload:
        raw = await house.uploads.json(request, JSON_BYTES)
        upload.note(raw)
        asked = parsed(TrainingRequest, raw)
        known = await described(house, who, asked.dataset, "/dataset")
        order = await asyncio.to_thread(ordered, asked, known)
        goal = order.train if isinstance(order, TuneOrder) else order
        await asyncio.to_thread(may_name, house, who, goal.register_as)
        kind = Task.TUNE if isinstance(order, TuneOrder) else Task.TRAIN
        claim = await submit.claimed(
            house, upload, kind, owner=who.owner, key=key, seconds=wish.seconds
        )
        if isinstance(claim, Job):
            met.job = claim.id
            met.headers["Idempotent-Replayed"] = "true"
            return await told(house, claim, Patience(0.0))
        start = goal.start_from
        what = submit.Submission(
            kind=kind,
            order=order,
            upload=upload,
            caller=who,
            claim=claim,
            label=asked.label,
            models=(start,) if start else (),
            uses=(known.manifest.id, *((start,) if start else ())),
            total=items(order),
            charged=known.manifest.rows,
        )
        record = await submit.run(house, met, what, wish)
    return await told(house, record, wish)


def items(order: TrainOrder | TuneOrder) -> int:
    """What progress counts: the epochs of all seeds, or the trials."""
    if isinstance(order, TuneOrder):
        return order.trials
    epochs: int = order.training["epochs"]
    return epochs * len(order.seeds)


async def described(house: House, who: Caller, dataset: str, pointer: str) -> Known:
    """The caller's data set as orders are checked against it. Raises: Problem."""
    with about(pointer):
        manifest = await asyncio.to_thread(house.shelf.get, dataset, who.owner)
    columns = await asyncio.to_thread(house.shelf.columns, manifest.id)
    return Known(manifest, columns, house.catalogue)


def may_name(house: House, who: Caller, name: str | None) -> None:
    """A new version of a model that was not learned from the caller's data changes what others are answered with.

    Raises: Problem.
    """
    try:
        newest = house.catalogue.versions(name or "")[0]
        if Scope.MODELS_WRITE in who.scopes or Scope.ADMIN in who.scopes:
            return
        house.shelf.get((newest.training and newest.training.dataset_id) or "", who.owner)
    except UnknownModel:
        return
    except UnknownDataset:
        raise Problem(
            "forbidden",
            f"{newest.id} is not yours; a new version of it needs the scope `{Scope.MODELS_WRITE}`.",
            pointer="/register_as",
            hint="Give the model a name of its own by `register_as`.",
        ) from None


async def told(house: House, job: Job, wish: Patience) -> Response:
    """The answer to the request that made the job."""
    if job.status in ("failed", "cancelled") and not wish.asynchronous:
        refuse(job, "training")
    view = await training_view(house, job, time.time())
    if not job.status.ended or wish.asynchronous:
        headers = {"Location": f"/v1/jobs/{job.id}", "Retry-After": "1", **wish.headers}
        return json(view, 202, headers)
    place = view["links"]["model"] or view["links"]["self"]
    return json(view, 201, {"Location": place, **wish.headers})


@router.get(
    "/v1/trainings",
    name="list_trainings",
    summary="Your trainings, the newest first",
    response_model=None,
    responses={
        200: answer(TrainingPage, "A page of trainings, without curves."),
        **problems("unknown_job", "invalid_cursor", "unknown_field", "invalid_field"),
    },
)
async def list_trainings(
    request: Request,
    *,
    house: TheHouse,
    who: Trainer,
    search: Annotated[
        str | None, Query(max_length=60, description="The trials of this search.")
    ] = None,
    status: Annotated[JobStatus | None, Query(description="Only in this state.")] = None,
    label: Annotated[str | None, Query(max_length=200, description="Only with this label.")] = None,
    cursor: Annotated[str | None, Query(max_length=100, description="From `links.next`.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Trainings of one page.")] = 20,
) -> Response:
    """Searches are listed as one; their trials by `search`."""
    if search is not None:
        await owned(house, who, search, Task.TUNE)
    before = of_cursor(cursor)
    async with reaching():
        try:
            page = await house.jobs.list(
                who.owner,
                kind=" ".join(KINDS),
                status=None if status is None else Status(status.value),
                label=label,
                parent=search or "",
                cursor=before,
                limit=limit,
            )
        except ValueError as error:  # what was in the cursor is no job's id
            raise Problem(
                "invalid_cursor", "This cursor was not made here.", pointer="cursor"
            ) from error
    now = time.time()
    after = as_cursor(page.cursor) if page.cursor else None
    return json(
        {
            "trainings": [await training_view(house, job, now, brief=True) for job in page.jobs],
            "links": page_links(request.url, after),
        },
        headers={"Cache-Control": "no-cache"},
    )


@router.get(
    "/v1/trainings/{job}",
    name="get_training",
    summary="A training and what came of it",
    response_model=None,
    responses={
        200: answer(TrainingView, "The training."),
        **problems("unknown_job", "unknown_field", "invalid_field"),
    },
)
async def get_training(job: str, house: TheHouse, who: Trainer) -> Response:
    """While it runs with the figures of its latest epoch; once it has ended with all of them."""
    record = await owned(house, who, job, *KINDS)
    view = await training_view(house, record, time.time())
    return json(view, headers={"Cache-Control": "no-cache"})

"""`/v1/datasets`: labelled structures, kept to be learned from."""

import asyncio
import re
from pathlib import Path as File
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse

from models.datasets.manifest import Manifest
from models.errors import UnknownDataset
from service import results, submit
from service.dependencies import TheCaller, TheHouse, TheMeeting, Trainer
from service.documented import BODY, NEW_JOB, answer, body, problems
from service.forms import checked, gathered
from service.house import House
from service.idempotency import sane
from service.jobs import check_unused, made_by, owned, refuse
from service.keys import Caller
from service.multipart import shown_name
from service.prefer import Patience, patience
from service.problems import Problem
from service.routes.predictions import LINES, IdempotencyKey, Prefer
from service.schemas.dataset import (
    AS_AN_ID,
    SET_NAME,
    DatasetAnswer,
    DatasetForm,
    DatasetPage,
    DatasetView,
    ReportPage,
)
from service.sent_as import FORM, sent_as
from service.upload import FormShape, Upload
from service.view import as_cursor, json, of_cursor, page_links
from workers.contract import DatasetOrder, Queue, Task
from workers.ids import SET, set_of
from workers.jobs import Job, new_id

router = APIRouter(tags=["datasets"])

FIELDS = frozenset(DatasetForm.model_fields) - {"file"}
SUFFIXES = re.compile(r"(\.(zip|tar|gz|tgz|zst|jsonl|ndjson|json|extxyz|xyz|parquet|csv|tsv))+$", re.IGNORECASE)  # fmt: skip
Known = Annotated[
    str,
    Path(max_length=100, description="Id of a set, or a name for its newest.", examples=["moduli"]),
]
Cursor = Annotated[str | None, Query(max_length=100, description="From `links.next`.")]


class DatasetFields(BaseModel):
    """The fields of the form that are not the file."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(None, pattern=SET_NAME)
    format: str | None = Field(None, max_length=20)
    coordinates: str | None = Field(None, max_length=100)
    columns: list[str] | None = Field(None, max_length=500)
    good_share: float = Field(0.9, ge=0, le=1)
    label: str | None = Field(None, max_length=200)


@router.post(
    "/v1/datasets",
    name="add_dataset",
    summary="Keep a data set",
    response_model=None,
    responses={
        200: answer(DatasetAnswer, "The same rows are there already under this name.", Location="The set."),
        201: answer(DatasetAnswer, "The set is there and can be learned from.", Location="The set."),
        202: answer(DatasetAnswer, "Accepted; its rows are being read.", Location="The job."),
        **problems(
            *BODY,
            *("malformed_multipart", "bad_dataset", "bad_archive", "unknown_format", "conflict"),
            *("too_many_files", *NEW_JOB),
        ),
    },
    openapi_extra=body(
        ("multipart/form-data", "DatasetForm"), description="The file and how to read it."
    ),
)  # fmt: skip
async def add_dataset(
    request: Request,
    *,
    house: TheHouse,
    met: TheMeeting,
    who: Trainer,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Every row is checked like a structure to be predicted; bad ones are left out and named in the report.

    `Prefer: wait=30` waits for the end.
    """
    wish = patience(prefer, house.settings.wait_default_s, house.settings.wait_max_s)
    key = sane(idempotency_key)
    await house.watch.admit(Queue.PARSE)
    async with house.uploads.open(new_id("job")) as upload:
        fields = await received(request, house, upload)
        claim = await submit.claimed(
            house, upload, Task.DATASET, owner=who.owner, key=key, seconds=wish.seconds
        )
        if isinstance(claim, Job):
            met.job = claim.id
            met.headers["Idempotent-Replayed"] = "true"
            return await told(house, claim, Patience(0.0))
        what = submit.Submission(
            Task.DATASET, ordered(fields, upload), upload, who, claim, label=fields.label
        )
        record = await submit.run(house, met, what, wish)
    return await told(house, record, wish)


async def received(request: Request, house: House, upload: Upload) -> DatasetFields:
    """The file in the pack, the rest of the form; raises `Problem`."""
    sent_as(request, FORM)
    largest = house.settings.max_dataset_bytes
    await house.uploads.form(request, upload, FormShape("file", FIELDS, 1, largest, largest))
    if not upload.count:
        raise Problem("missing_field", "No data set was sent.", pointer="file",
                      hint="With curl: -F file=@data.zip")  # fmt: skip
    return checked(DatasetFields, gathered(upload.fields, {"columns"}))


def ordered(fields: DatasetFields, upload: Upload) -> DatasetOrder:
    """What a worker is to do."""
    name = fields.name or name_of(upload.pack.names[0])
    if re.match(AS_AN_ID, name):
        raise Problem("invalid_field", f"{name!r} looks like the id of a data set.", pointer="/name",
                      hint="Give it another `name`.")  # fmt: skip
    return DatasetOrder(
        name=name,
        format=fields.format and fields.format.lower(),
        coordinates=fields.coordinates,
        good_share=fields.good_share,
        columns=None if fields.columns is None else tuple(fields.columns),
    )


def name_of(file: str) -> str:
    """A set's name from that of its file."""
    plain = SUFFIXES.sub("", shown_name(file, 0).replace("\\", "/").rpartition("/")[2])
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:100] or "dataset"


async def told(house: House, job: Job, wish: Patience) -> Response:
    """The answer to the request that made the job."""
    links = {
        "self": f"/v1/jobs/{job.id}",
        "job": f"/v1/jobs/{job.id}",
        "events": f"/v1/jobs/{job.id}/events",
        "report": f"/v1/datasets/{set_of(job.id)}/report",
    }
    view: dict[str, Any] = {"job": job.id, "status": job.status, "dataset": None, "links": links}
    if not job.status.ended or wish.asynchronous:
        return json(view, 202, {"Location": links["job"], "Retry-After": "1", **wish.headers})
    if job.status != "succeeded":
        refuse(job, "reading of this data set", report=links["report"])
    made = await made_by(house, job) or ""
    try:
        manifest = await asyncio.to_thread(house.shelf.get, made, job.owner)
    except UnknownDataset:
        raise Problem("conflict", "The result of this job is gone.", job=job.id) from None
    view["dataset"] = dataset_view(manifest)
    links |= view["dataset"]["links"] | {"dataset": view["dataset"]["links"]["self"]}
    status = 201 if made == set_of(job.id) else 200
    return json(view, status, {"Location": links["dataset"], **wish.headers})


def dataset_view(manifest: Manifest) -> dict[str, Any]:
    """A set as `DatasetView` has it."""
    here = f"/v1/datasets/{manifest.id}"
    return manifest.model_dump(mode="json") | {"links": {"self": here, "report": f"{here}/report"}}


@router.get(
    "/v1/datasets",
    name="list_datasets",
    summary="Your data sets, the newest first",
    response_model=None,
    responses={
        200: answer(DatasetPage, "A page of data sets."),
        **problems("invalid_cursor", "unknown_field", "invalid_field"),
    },
)
async def list_datasets(
    request: Request,
    *,
    house: TheHouse,
    who: TheCaller,
    name: Annotated[str | None, Query(max_length=100, description="Only of this name.")] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Sets of one page.")] = 50,
) -> Response:
    """Follow `links.next` for more."""
    before = of_cursor(cursor)
    page = await asyncio.to_thread(
        house.shelf.page, who.owner, name=name, before=before, limit=limit
    )
    after = as_cursor(page.cursor) if page.cursor else None
    return json(
        {
            "datasets": [dataset_view(manifest) for manifest in page.sets],
            "links": page_links(request.url, after),
        },
        headers={"Cache-Control": "no-cache"},
    )


@router.get(
    "/v1/datasets/{dataset}",
    name="get_dataset",
    summary="What a data set holds",
    response_model=None,
    responses={
        200: answer(DatasetView, "Its columns, elements and sizes."),
        **problems("unknown_dataset", "unknown_field", "invalid_field"),
    },
)
async def get_dataset(dataset: Known, house: TheHouse, who: TheCaller) -> Response:
    """By its id, or by its name for the newest of that name."""
    return json(dataset_view(await asyncio.to_thread(house.shelf.get, dataset, who.owner)))


@router.get(
    "/v1/datasets/{dataset}/report",
    name="get_report",
    summary="The rows that are not in a data set",
    response_model=None,
    responses={
        200: answer(ReportPage, "A page of bad rows; all of them as JSON lines, if `Accept` says so."),
        **problems("unknown_dataset", "invalid_cursor", "unknown_field", "invalid_field"),
    },
)  # fmt: skip
async def get_report(
    dataset: Known,
    request: Request,
    *,
    house: TheHouse,
    who: TheCaller,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Rows of one page.")] = 100,
) -> Response:
    """Also of a set that was refused as a whole, as long as its job is kept."""
    path = await report_of(house, who, dataset)
    accepted = request.headers.get("accept", "")
    if any(kind in accepted for kind in LINES):
        return FileResponse(path, media_type=LINES[0])
    found = await asyncio.to_thread(results.read, house.files, path, cursor, limit)
    return json(
        {
            "rows": [orjson.Fragment(line) for line in found.lines],
            "links": page_links(request.url, found.cursor),
        }
    )


async def report_of(house: House, who: Caller, dataset: str) -> File:
    """Where the bad rows are listed. Raises: UnknownDataset."""
    try:
        known = await asyncio.to_thread(house.shelf.get, dataset, who.owner)
    except UnknownDataset:
        if not SET.fullmatch(dataset):
            raise
        job = f"job_{dataset.removeprefix('set_')}"
        try:
            record = await owned(house, who, job, Task.DATASET)
        except Problem as problem:
            if problem.code != "unknown_job":
                raise
            record = None
        path = house.files.result(job)
        if record is None or record.status != "failed":
            raise
        if not await asyncio.to_thread(house.files.is_there, path):
            raise
        return path
    return await asyncio.to_thread(house.shelf.report, known.id)


@router.delete(
    "/v1/datasets/{dataset}",
    name="delete_dataset",
    summary="Forget a data set",
    status_code=204,
    response_model=None,
    responses={
        204: {"description": "The set is gone; models that were made of it stay."},
        **problems("unknown_dataset", "conflict", "unknown_field", "invalid_field"),
    },
)
async def delete_dataset(dataset: Known, house: TheHouse, who: Trainer) -> Response:
    """Not while a job that needs it is queued or runs."""
    known = await asyncio.to_thread(house.shelf.get, dataset, who.owner)
    await check_unused(house, known.id, "data set")
    await asyncio.to_thread(house.shelf.remove, known.id)
    return Response(status_code=204)

"""`/v1/screenings`: many structures in, a table out that fills while one looks."""

import asyncio
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.responses import FileResponse

from service import locations, submit
from service.asked import Asked, ask
from service.dependencies import Predictor, TheHouse, TheMeeting
from service.documented import BODY, NEW_JOB, answer, body, problems
from service.forms import checked, gathered, parsed
from service.house import House
from service.idempotency import sane
from service.jobs import owned
from service.keys import Caller
from service.pointing import about, refused
from service.prefer import Patience
from service.problems import Problem
from service.reach import reaching
from service.routes.jobs import opaque
from service.routes.predictions import LINES, IdempotencyKey, known_format, models_of
from service.schemas.job import JobStatus
from service.schemas.screening import (
    ColumnsView,
    FailedPage,
    RowsPage,
    ScreeningForm,
    ScreeningPage,
    ScreeningRequest,
    ScreeningView,
)
from service.screening_view import columns_of, screening_view, tag_of
from service.sent_as import FORM, JSON, sent_as
from service.table import FORMS
from service.upload import FormShape, Upload
from service.view import as_cursor, json, of_cursor, page_links, progress
from workers.contract import Queue, ScreenOrder, Task
from workers.jobs import Job, Status, new_id

router = APIRouter(tags=["screenings"])

FIELDS = frozenset(ScreeningForm.model_fields) - {"files"}
NO_CACHE = {"Cache-Control": "no-cache"}
ACCEPTED = {
    "text/csv": "csv",
    **dict.fromkeys(LINES, "jsonl"),
    "application/vnd.apache.parquet": "parquet",
}
Form = Literal["json", "jsonl", "csv", "parquet"]
TableCursor = Annotated[
    str | None, Query(max_length=6_000, description="From `links.next`, with the same question.")
]
IfNoneMatch = Annotated[str | None, Header(description="The ETag of an earlier answer.")]
READING = ("unknown_job", "invalid_cursor", "unknown_field", "invalid_field", "conflict")
ASKING = (*READING, "invalid_filter", "unknown_column", "query_too_heavy", "storage_full")


@router.post(
    "/v1/screenings",
    name="screen",
    summary="Screen many structures",
    response_model=None,
    responses={
        202: answer(
            ScreeningView,
            "Accepted; rows come as they are made. Follow `links.events`, read `links.results`.",
            Location="The screening.",
            Idempotent_Replayed="`true` when this repeats an earlier answer.",
        ),
        **problems(
            *BODY,
            *("malformed_multipart", "unknown_model", "unknown_dataset", "too_many_files"),
            *("location_not_allowed", *NEW_JOB),
        ),
    },
    openapi_extra=body(
        ("multipart/form-data", "ScreeningForm"),
        ("application/json", "ScreeningRequest"),
        description="Files as a form; or a data set or location, as a form or as JSON.",
    ),
)
async def screen(
    request: Request,
    *,
    house: TheHouse,
    met: TheMeeting,
    who: Predictor,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Up to millions of structures, of one source: files, a data set, or a location.

    Always answers 202. The table can be read from the first rows on, filtered and sorted by what is predicted.
    One bad structure does not fail the others: its row says what is wrong with it.
    """
    key = sane(idempotency_key)
    await house.watch.admit(Queue.PARSE, Queue.INFER)
    async with house.uploads.open(new_id("job")) as upload:
        asked = await received(request, house, upload)
        order, rows = await ordered(house, who, asked, upload)
        claim = await submit.claimed(
            house, upload, Task.SCREEN, owner=who.owner, key=key, seconds=0
        )
        if isinstance(claim, Job):
            met.job = claim.id
            met.headers["Idempotent-Replayed"] = "true"
            return accepted(claim)
        what = submit.Submission(
            kind=Task.SCREEN,
            order=order,
            upload=upload,
            caller=who,
            claim=claim,
            label=asked.label,
            models=order.models,
            uses=(*order.models, *((order.dataset,) if order.dataset else ())),
            total=rows,
            charged=max(rows, upload.count, 1),
        )
        record = await submit.run(house, met, what, Patience(0.0))
    return accepted(record)


def accepted(job: Job) -> Response:
    """The answer to the request that made the job."""
    headers = {"Location": f"/v1/screenings/{job.id}", "Retry-After": "1"}
    return json(screening_view(job, time.time()), 202, headers)


async def received(request: Request, house: House, upload: Upload) -> ScreeningRequest:
    """The files in the pack, the rest of the body as what is asked; raises `Problem`."""
    if sent_as(request, FORM, JSON) == FORM:
        largest = house.settings.max_screening_bytes
        shape = FormShape("files", FIELDS, house.settings.max_screening_files, largest, largest)
        await house.uploads.form(request, upload, shape)
        fields = gathered(upload.fields, {"model"})
        named = {("models" if name == "model" else name): fields[name] for name in fields}
        return checked(ScreeningRequest, named)
    raw = await house.uploads.json(request, house.settings.max_json_bytes)
    upload.note(raw)
    return parsed(ScreeningRequest, raw)


async def ordered(
    house: House, who: Caller, asked: ScreeningRequest, upload: Upload
) -> tuple[ScreenOrder, int]:
    """The order, and how many structures there are as far as that is known. Raises: Problem."""
    one_source(asked, upload)
    models = models_of(house, asked.models)
    if asked.format is not None:
        known_format(asked.format, "format")
    dataset, rows, location = None, 0, None
    if asked.dataset:
        with about("dataset"):
            manifest = await asyncio.to_thread(house.shelf.get, asked.dataset, who.owner)
        dataset, rows = manifest.id, manifest.rows
    if asked.location:
        roots = locations.roots_of(house.settings.input_roots)
        location = await asyncio.to_thread(locations.resolved, asked.location, roots)
    order = ScreenOrder(
        models=models,
        disorder=asked.disorder.value,
        primitive=asked.primitive,
        level=asked.level,
        adsorbate=" ".join((asked.adsorbate or "").split()) or None,
        format=asked.format,
        dataset=dataset,
        location=location,
    )
    return order, rows


def one_source(asked: ScreeningRequest, upload: Upload) -> None:
    """Raises: Problem unless structures come from one place."""
    given = {"files": upload.count, "dataset": asked.dataset, "location": asked.location}
    there = [f"`{name}`" for name, value in given.items() if value]
    if len(there) == 1:
        return
    hint = "With curl: -F files=@structures.zip, or -F dataset=NAME."
    if not there:
        raise Problem("missing_field", "Nothing to screen was named: `files`, `dataset` or `location`.",
                      pointer="files", hint=hint)  # fmt: skip
    raise refused("invalid_field", f"{' and '.join(there)}: a screening has one source.",
                  there[-1].strip("`"), "Make a screening of each.")  # fmt: skip


@router.get(
    "/v1/screenings",
    name="list_screenings",
    summary="Your screenings, the newest first",
    response_model=None,
    responses={
        200: answer(ScreeningPage, "A page of screenings."),
        **problems("invalid_cursor", "unknown_field", "invalid_field"),
    },
)
async def list_screenings(
    request: Request,
    *,
    house: TheHouse,
    who: Predictor,
    status: Annotated[JobStatus | None, Query(description="Only in this state.")] = None,
    label: Annotated[str | None, Query(max_length=200, description="Only with this label.")] = None,
    cursor: Annotated[str | None, Query(max_length=100, description="From `links.next`.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Screenings of one page.")] = 20,
) -> Response:
    """Follow `links.next` for more."""
    before = of_cursor(cursor)
    async with reaching():
        try:
            page = await house.jobs.list(
                who.owner,
                kind=Task.SCREEN,
                status=None if status is None else Status(status.value),
                label=label,
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
            "screenings": [screening_view(job, now) for job in page.jobs],
            "links": page_links(request.url, after),
        },
        headers=NO_CACHE,
    )


@router.get(
    "/v1/screenings/{job}",
    name="get_screening",
    summary="What a screening was asked, and where it stands",
    response_model=None,
    responses={
        200: answer(ScreeningView, "The screening."),
        **problems("unknown_job", "unknown_field", "invalid_field"),
    },
)
async def get_screening(job: str, house: TheHouse, who: Predictor) -> Response:
    """To follow it, prefer its events."""
    record = await owned(house, who, job, Task.SCREEN)
    return json(screening_view(record, time.time()), headers=NO_CACHE)


@router.get(
    "/v1/screenings/{job}/columns",
    name="get_columns",
    summary="The columns of a screening's table",
    response_model=None,
    responses={
        200: answer(ColumnsView, "Name, type and meaning of each."),
        **problems("unknown_job", "unknown_field", "invalid_field"),
    },
)
async def get_columns(job: str, house: TheHouse, who: Predictor) -> Response:
    """They are the same from the first row to the last."""
    record = await owned(house, who, job, Task.SCREEN)
    there = await asyncio.to_thread(columns_of, house, record)
    return json(
        {"columns": [{"name": one.name, "type": one.type, "about": one.about} for one in there]}
    )


@router.get(
    "/v1/screenings/{job}/results",
    name="get_rows",
    summary="Rows of a screening's table",
    response_model=None,
    responses={
        200: answer(RowsPage, "A page of rows, or the whole table in another form.", ETag="Changes when rows have come.")
        | {"content": {kind: {"schema": {"type": "string"}} for kind in FORMS.values()}},
        206: {"description": "A part of a file, as `Range` asked for it."},
        304: {"description": "Nothing has changed since the ETag in If-None-Match."},
        **problems(*ASKING),
    },
)  # fmt: skip
async def get_rows(
    job: str,
    request: Request,
    *,
    house: TheHouse,
    who: Predictor,
    where: Annotated[
        str | None,
        Query(
            max_length=10_000,
            description="Only rows for which this is true.",
            examples=['band-gap > 1.5 and in_domain and formula has "O"'],
        ),
    ] = None,
    sort: Annotated[
        str | None,
        Query(max_length=2_000, description="Columns with commas between, `-` for descending."),
    ] = None,
    top: Annotated[
        int | None,
        Query(ge=1, le=10**12, description="Only so many rows in all: the first in this order."),
    ] = None,
    columns: Annotated[
        str | None,
        Query(max_length=10_000, description="Only these, with commas between; all if none."),
    ] = None,
    format: Annotated[  # noqa: A002 (the name it has everywhere)
        Form | None,
        Query(description="`json`: a page. The others: the whole answer, a file."),
    ] = None,
    count: Annotated[
        bool, Query(description="Tell, too, how many rows `where` keeps; JSON only.")
    ] = False,
    cursor: TableCursor = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Rows of one JSON page.")] = 100,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Also while the screening runs: `complete` says whether more rows may come.

    `Accept` (`text/csv`, `application/jsonl`, `application/vnd.apache.parquet`) does as well as `format`. Rows
    without a value are last in any order; rows alike are in the order of the source. A page goes on where the
    one before ended, whatever has come in between.
    """
    record = await owned(house, who, job, Task.SCREEN)
    there = await asyncio.to_thread(columns_of, house, record)
    asked = ask(there, where, sort, columns, top)
    shards = len(await asyncio.to_thread(house.tables.shards, job))
    chosen = format or accepted_form(request.headers.get("accept", ""))
    tag = tag_of(record, asked, shards, chosen, cursor, limit, count)
    # Compared weakly, as RFC 9110 has it.
    if f'"{tag}"' in [opaque(part) for part in (if_none_match or "").split(",")]:
        return Response(status_code=304, headers={"ETag": f'"{tag}"', **NO_CACHE})
    if chosen != "json":
        return await whole(house, record, asked, chosen, tag)
    page = await house.tables.answered(house.tables.page, job, asked, cursor, limit)
    kept = await house.tables.answered(house.tables.count, job, asked) if count else None
    view = {
        "job": job,
        "status": record.status,
        "complete": record.status.ended,
        "progress": progress(record, time.time()),
        "count": kept,
        "rows": page.rows,
        "links": page_links(request.url, page.cursor),
    }
    return json(view, headers={"ETag": f'W/"{tag}"', **NO_CACHE})


def accepted_form(accept: str) -> str:
    """The first form in the header that there is; JSON if it names none."""
    kinds = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return next((ACCEPTED[kind] for kind in kinds if kind in ACCEPTED), "json")


async def whole(house: House, job: Job, asked: Asked, form: str, tag: str) -> Response:
    """The whole answer as a file; a broken download goes on by `Range` and `If-Range`."""
    house.uploads.refuse_full()
    path = await house.tables.answered(house.tables.export, job.id, asked, form, tag)
    headers = {
        "ETag": f'"{tag}"',
        "X-Matprop-Complete": str(job.status.ended).lower(),
        **NO_CACHE,
    }
    return FileResponse(path, headers=headers, media_type=FORMS[form], filename=f"{job.id}.{form}")


@router.get(
    "/v1/screenings/{job}/errors",
    name="get_failed",
    summary="The structures of a screening that failed",
    response_model=None,
    responses={
        200: answer(FailedPage, "A page of them, each with its problem."),
        **problems(*READING, "query_too_heavy"),
    },
)
async def get_failed(
    job: str,
    request: Request,
    *,
    house: TheHouse,
    who: Predictor,
    cursor: TableCursor = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Structures of one page.")] = 100,
) -> Response:
    """In the order of the source; also while the screening runs. `…/retry` of its job does them again."""
    record = await owned(house, who, job, Task.SCREEN)
    there = await asyncio.to_thread(columns_of, house, record)
    asked = ask(there, 'status = "failed"', None, "index,name,error", None)
    page = await house.tables.answered(house.tables.page, job, asked, cursor, limit)
    view = {
        "job": job,
        "status": record.status,
        "complete": record.status.ended,
        "errors": page.rows,
        "links": page_links(request.url, page.cursor),
    }
    return json(view, headers=NO_CACHE)

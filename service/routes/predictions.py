"""`/v1/predictions`: structures in, properties out."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse

from models.errors import InputError, TooLarge, error_classes
from models.structures.formats import Format
from service import results, submit
from service.dependencies import Predictor, TheHouse
from service.documented import BODY, NEW_JOB, answer, body, problems
from service.forms import checked, gathered, parsed
from service.house import House
from service.idempotency import sane
from service.jobs import owned
from service.middleware import Meeting
from service.multipart import shown_name
from service.near import near
from service.prefer import Patience, patience
from service.problems import STATUS, Problem, brief
from service.schemas.prediction import (
    Disorder,
    Include,
    PredictionAnswer,
    PredictionForm,
    PredictionRequest,
    StructureText,
)
from service.sent_as import FORM, JSON, sent_as
from service.upload import FormShape, Upload, too_many
from service.view import json, links, prediction_view
from workers.contract import PredictOrder, Queue, Task
from workers.jobs import Job, new_id

router = APIRouter(tags=["predictions"])

FIELDS = frozenset(PredictionForm.model_fields) - {"files"}
LISTS = frozenset({"model", "include"})
FORMATS = tuple(kind.value for kind in Format)
LINES = ("application/jsonl", "application/x-ndjson", "application/x-jsonlines")
FIRST_PAGE = 1_000

Prefer = Annotated[
    str | None,
    Header(
        description="`wait=10`: wait so many seconds for the answer. `respond-async`: do not wait."
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="Any unique text: the same request sent again with it gets the same answer, for 24 h."
    ),
]


class Options(BaseModel):
    """What both forms of a request can set."""

    model_config = ConfigDict(extra="forbid")

    models: list[str] = []
    format: str | None = None
    disorder: Disorder = Disorder.REFUSE
    primitive: bool = False
    include: list[Include] = []
    level: float = Field(0.9, gt=0, lt=1)
    adsorbate: str | None = Field(None, max_length=2_000)
    label: str | None = Field(None, max_length=200)


@router.post(
    "/v1/predictions",
    name="predict",
    summary="Predict properties of structures",
    response_model=None,
    responses={
        200: answer(
            PredictionAnswer,
            "Done in time. Structures that could not be predicted have an error in their record.",
            Preference_Applied="The wait that was granted.",
            Idempotent_Replayed="`true` when this repeats an earlier answer.",
        ),
        202: answer(
            PredictionAnswer,
            "Accepted; the work goes on. Follow `links.job` or `links.events`.",
            Location="The job.",
            Preference_Applied="The wait that was granted.",
        ),
        **problems(
            *BODY,
            *("malformed_multipart", "unknown_model", "too_many_files", "no_structure_predicted"),
            *NEW_JOB,
        ),
    },
    openapi_extra=body(
        ("multipart/form-data", "PredictionForm"),
        ("application/json", "PredictionRequest"),
        description="Files as a form, or texts as JSON.",
    ),
)
async def predict(
    request: Request,
    *,
    who: Predictor,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Send structure files (or one JSON body) and the models to ask.

    Waits a few seconds for the answer, or as long as `Prefer: wait` says, then answers 202 and goes on
    working. One bad structure does not fail the others: its record says what is wrong with it. Only when
    every structure is bad the answer is an error, with one entry in `errors` for each.
    """
    house: House = request.app.state.house
    met: Meeting = request.scope["state"]["meeting"]
    wish = patience(prefer, house.settings.wait_default_s, house.settings.wait_max_s)
    key = sane(idempotency_key)
    await house.watch.admit(Queue.PARSE, Queue.INFER)
    job = new_id("job")
    async with house.uploads.open(job) as upload:
        options = await received(request, house, upload)
        order, models = ordered(house, options)
        claim = await submit.claimed(
            house, upload, Task.PREDICT, owner=who.owner, key=key, seconds=wish.seconds
        )
        if isinstance(claim, Job):
            return await replay(house, met, claim)
        what = submit.Submission(
            kind=Task.PREDICT,
            order=order,
            upload=upload,
            caller=who,
            claim=claim,
            label=options.label,
            models=models,
            uses=models,
            total=upload.count,
            charged=upload.count,
        )
        record = await submit.run(house, met, what, wish)
    return await told(house, record, wish)


async def received(request: Request, house: House, upload: Upload) -> Options:
    """The body in the pack, the rest of it as options; raises `Problem`."""
    read = from_form if sent_as(request, FORM, JSON) == FORM else from_json
    options = await read(request, house, upload)
    if not upload.count:
        raise Problem("missing_field", "No structure was sent.", pointer="files",
                      hint="With curl: -F files=@NaCl.cif")  # fmt: skip
    return options


async def from_form(request: Request, house: House, upload: Upload) -> Options:
    """A form with files."""
    settings = house.settings
    shape = FormShape(
        "files",
        FIELDS,
        settings.max_files,
        settings.max_structure_bytes,
        settings.max_archive_bytes,
    )
    await house.uploads.form(request, upload, shape)
    fields = gathered(upload.fields, LISTS)
    options = checked(
        Options, {("models" if name == "model" else name): value for name, value in fields.items()}
    )
    if options.format is not None:
        upload.pack.read_as(known_format(options.format, "format"))
    return options


async def from_json(request: Request, house: House, upload: Upload) -> Options:
    """Texts in JSON."""
    raw = await house.uploads.json(request, house.settings.max_json_bytes)
    sent = parsed(PredictionRequest, raw)
    if len(sent.structures) > house.settings.max_files:
        raise too_many(house.settings.max_files)
    upload.note(raw)
    upload.size = len(raw)
    for index, structure in enumerate(sent.structures):
        put(upload, structure, index, sent.format, house.settings.max_structure_bytes)
    return Options.model_validate(sent.model_dump(exclude={"structures"}))


def put(
    upload: Upload, structure: StructureText, index: int, default: str | None, most: int
) -> None:
    """One text into the pack."""
    kind = structure.format or default
    if kind is not None:
        known_format(kind, f"/structures/{index}/format" if structure.format else "/format")
    name = shown_name(structure.name, index)
    upload.pack.begin(name, kind)
    data = structure.text.encode()
    if len(data) > most:
        error = TooLarge(
            f"The text has {len(data):,} bytes; one structure may have {most:,}.",
            file=name,
            expected=f"at most {most} bytes",
            got=f"{len(data)} bytes",
        )
        upload.pack.drop(error.as_dict())
        return
    upload.pack.write(data)
    upload.pack.end()


def known_format(kind: str, pointer: str) -> str:
    """The format's name; raises `Problem` for one that is not read here."""
    if kind in FORMATS:
        return kind
    there = ", ".join(FORMATS)
    suggestion = near(kind, FORMATS)
    error = {
        "code": "invalid_field",
        "detail": f"There is no format {brief(kind, 60)!r}.",
        "pointer": pointer,
        "expected": f"one of: {there}",
        "got": brief(kind, 60),
        **suggestion,
    }
    raise Problem(
        "invalid_field", f"{error['detail']} Those there are: {there}.",
        hint=suggestion.get("hint"), errors=[error],
    )  # fmt: skip


def ordered(house: House, options: Options) -> tuple[PredictOrder, tuple[str, ...]]:
    """The order with each model's number; raises `Problem` or `UnknownModel`."""
    models = models_of(house, options.models)
    order = PredictOrder(
        models=models,
        disorder=options.disorder.value,
        primitive=options.primitive,
        sites=Include.SITES in options.include,
        features=Include.FEATURES in options.include,
        neighbours=Include.NEIGHBOURS in options.include,
        level=options.level,
        adsorbate=" ".join((options.adsorbate or "").split()) or None,
    )
    return order, models


def models_of(house: House, names: Sequence[str]) -> tuple[str, ...]:
    """The models that are meant, each with its number; raises `Problem` or `UnknownModel`."""
    if not names:
        there = ", ".join(dict.fromkeys(card.name for card in house.catalogue.list())) or "none yet"
        raise Problem("missing_field", f"No model was named. Those there are: {there}.", pointer="model",
                      hint="With curl: -F model=formation-energy")  # fmt: skip
    if len(names) > house.settings.max_models:
        most = house.settings.max_models
        raise Problem("invalid_field", f"One call takes {most} models.", pointer="model")
    cards = [house.catalogue.get(name)[0] for name in dict.fromkeys(names)]
    return tuple(dict.fromkeys(card.id for card in cards))


async def told(house: House, job: Job, wish: Patience) -> Response:
    """The answer to the request that made the job."""
    records = results.Records([])
    if job.status.ended:
        records = await page(house, job, None, FIRST_PAGE)
    if not job.status.ended or wish.asynchronous:
        headers = {"Location": f"/v1/jobs/{job.id}", "Retry-After": "1", **wish.headers}
        return json(prediction_view(job, records), 202, headers)
    if job.failed and job.failed >= job.done:
        refuse_hopeless(job, records)
    return json(prediction_view(job, records), 200, wish.headers)


def refuse_hopeless(job: Job, records: results.Records) -> None:
    """Raises `Problem` when every record failed for what was sent."""
    errors = results.errors_of(records.lines)
    if not errors:
        return
    codes = {str(error.get("code")) for error in errors}
    classes = error_classes()
    if not all(code in classes and issubclass(classes[code], InputError) for code in codes):
        return
    first = str(errors[0]["detail"])
    alike = codes.pop() if len(codes) == 1 else None
    count = len(records.lines)
    raise Problem(
        alike or "no_structure_predicted",
        first
        if count == 1
        else f"None of the {count} structures could be predicted; the first: {first}",
        status=STATUS[classes[alike]] if alike else None,
        hint=errors[0].get("hint") if alike else None,  # type: ignore[arg-type]
        errors=errors,
        job=job.id,
        job_status=job.status,
        records=[orjson.Fragment(line) for line in records.lines],
        links=links(job.id, records.cursor),
    )


async def replay(house: House, met: Meeting, job: Job) -> Response:
    """The same answer again."""
    met.job = job.id
    met.headers["Idempotent-Replayed"] = "true"
    return await told(house, job, Patience(0.0))


async def page(house: House, job: Job, cursor: str | None, limit: int) -> results.Records:
    """A page of the job's records; small files are read without leaving the loop."""
    path = house.files.result(job.id)
    if job.direct and job.total <= submit.DIRECT_FILES and not house.files.shared:
        return results.read(house.files, path, cursor, limit)
    return await asyncio.to_thread(results.read, house.files, path, cursor, limit)


@router.get(
    "/v1/predictions/{job}",
    name="get_prediction",
    summary="The records of a prediction",
    response_model=None,
    responses={
        200: answer(
            PredictionAnswer, "The job's state and, once it has ended, a page of its records."
        )
        | {"content": {kind: {"schema": {"type": "string"}} for kind in LINES[:2]}},
        **problems("unknown_job", "invalid_cursor", "conflict", "unknown_field", "invalid_field"),
    },
)
async def get_prediction(
    job: str,
    request: Request,
    *,
    house: TheHouse,
    who: Predictor,
    cursor: Annotated[str | None, Query(max_length=100, description="From `links.next`.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="Records of one page.")] = 100,
) -> Any:
    """JSON by default; with `Accept: application/jsonl` all records as JSON lines."""
    record = await owned(house, who, job, Task.PREDICT)
    accept = request.headers.get("accept", "")
    if any(kind in accept for kind in LINES):
        return await whole(house, record)
    records = (
        await page(house, record, cursor, limit) if record.status.ended else results.Records([])
    )
    return json(prediction_view(record, records, limit))


async def whole(house: House, job: Job) -> Response:
    """All records as they lie in the file."""
    if not job.status.ended:
        raise Problem("conflict", f"The job is {job.status}; its records come with its end.")
    path = house.files.result(job.id)
    if not await asyncio.to_thread(house.files.is_there, path):
        return Response(b"", media_type=LINES[0])
    return FileResponse(path, media_type=LINES[0], filename=f"{job.id}.jsonl")

"""`POST /v1/models`: a checkpoint becomes a model."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from models.catalogue import check_name
from models.errors import InputError
from models.properties import PROPERTIES, check_unit, default_unit, property_name
from service import submit
from service.dependencies import ModelWriter, TheHouse, TheMeeting
from service.documented import BODY, NEW_JOB, answer, body, problems
from service.forms import checked, gathered
from service.house import House
from service.idempotency import sane
from service.jobs import made_by, refuse
from service.prefer import Patience, patience
from service.problems import Problem
from service.routes.models import version_view
from service.routes.predictions import IdempotencyKey, Prefer
from service.schemas.model import RESERVED, ImportAnswer, ImportForm
from service.sent_as import FORM, sent_as
from service.upload import FormShape, Upload
from service.view import json
from workers.contract import ImportOrder, Queue, Task
from workers.jobs import Job, new_id

router = APIRouter(tags=["models"])

IMPORT_FIELDS = frozenset(ImportForm.model_fields) - {"file"}


class ImportFields(BaseModel):
    """The fields of an import that are not the file."""

    model_config = ConfigDict(extra="forbid")

    name: str
    property: str | None = None
    unit: str | None = None
    title: str | None = Field(None, max_length=200)
    classes: list[str] | None = Field(None, min_length=2, max_length=64)


@router.post(
    "/v1/models",
    name="import_model",
    summary="Make a model of a checkpoint",
    response_model=None,
    responses={
        201: answer(
            ImportAnswer, "The model is there and can predict.", Location="The new version."
        ),
        202: answer(ImportAnswer, "Accepted; the work goes on.", Location="The job."),
        **problems(
            *BODY,
            *("malformed_multipart", "bad_checkpoint", "wrong_unit", "conflict", "too_many_files"),
            *NEW_JOB,
        ),
    },
    openapi_extra=body(
        ("multipart/form-data", "ImportForm"), description="The checkpoint and what it predicts."
    ),
)
async def import_model(
    request: Request,
    *,
    house: TheHouse,
    met: TheMeeting,
    who: ModelWriter,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Takes a published CGCNN `.pth.tar`, or a checkpoint of ours. No code in the file is run.

    The import is a job like any other; `Prefer: wait=30` waits for its end.
    """
    wish = patience(prefer, house.settings.wait_default_s, house.settings.wait_max_s)
    key = sane(idempotency_key)
    await house.watch.admit(Queue.PARSE)
    job = new_id("job")
    async with house.uploads.open(job) as upload:
        order = await ordered(request, house, upload)
        claim = await submit.claimed(
            house, upload, Task.IMPORT, owner=who.owner, key=key, seconds=wish.seconds
        )
        if isinstance(claim, Job):
            met.job = claim.id
            met.headers["Idempotent-Replayed"] = "true"
            return await told(house, claim, Patience(0.0))
        what = submit.Submission(Task.IMPORT, order, upload, who, claim, total=1)
        record = await submit.run(house, met, what, wish)
    return await told(house, record, wish)


async def ordered(request: Request, house: House, upload: Upload) -> ImportOrder:
    """The file in the pack and the rest as an order; raises `Problem` or `InputError`."""
    sent_as(request, FORM)
    largest = house.settings.max_body_bytes
    await house.uploads.form(request, upload, FormShape("file", IMPORT_FIELDS, 1, largest, largest))
    fields = checked(ImportFields, gathered(upload.fields, {"classes"}))
    if not upload.count:
        raise Problem("missing_field", "No checkpoint was sent.", pointer="file",
                      hint="With curl: -F file=@model.pth.tar")  # fmt: skip
    check_name(fields.name)
    if fields.name in RESERVED:
        raise InputError(f"{fields.name!r} is the name of something else.", got=fields.name,
                         hint="Give the model another name.")  # fmt: skip
    name, unit = described(fields)
    return ImportOrder(
        name=fields.name,
        property=name,
        unit=unit,
        title=fields.title,
        classes=None if fields.classes is None else tuple(fields.classes),
    )


def described(fields: ImportFields) -> tuple[str | None, str | None]:
    """Property and unit in their one spelling; raises `Problem` or `InputError`."""
    if fields.property is None:
        return None, fields.unit
    name = property_name(fields.property)
    unit = fields.unit or default_unit(name)
    if unit is None:
        raise Problem(
            "missing_field",
            f"{name!r} is none of the known properties, so its unit has to be given.",
            pointer="unit",
            hint=f"The known ones are {', '.join(PROPERTIES)}.",
        )
    return name, check_unit(name, unit)


async def told(house: House, job: Job, wish: Patience) -> Response:
    """The answer to the request that made the job."""
    links = {
        "self": f"/v1/jobs/{job.id}",
        "job": f"/v1/jobs/{job.id}",
        "events": f"/v1/jobs/{job.id}/events",
    }
    view: dict[str, Any] = {"job": job.id, "status": job.status, "model": None, "links": links}
    if not job.status.ended or wish.asynchronous:
        return json(view, 202, {"Location": links["job"], "Retry-After": "1", **wish.headers})
    if job.status != "succeeded":
        refuse(job, "import")
    name = await made_by(house, job)
    if name is None:
        raise Problem("conflict", "The result of this import is gone.", job=job.id)
    view["model"] = version_view(house, house.catalogue.get(name)[0])
    links["model"] = view["model"]["links"]["self"]
    return json(view, 201, {"Location": links["model"], **wish.headers})

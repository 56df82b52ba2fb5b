"""`/v1/models`: what can predict, and how it came to be."""

import asyncio
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from models.card import Card
from models.catalogue import check_name, exported
from models.errors import InputError, UnknownModel
from models.families.kinds import KINDS
from models.families.recipes import NOT_TUNED, RecipeName, resolved
from models.properties import PROPERTIES, check_unit, default_unit, property_name
from models.settings.frozen import Frozen
from models.settings.training import TrainingSettings
from service import submit
from service.dependencies import ModelWriter, TheCaller, TheHouse, TheMeeting
from service.documented import BODY, answer, body, problems
from service.forms import checked, gathered, parsed
from service.house import House
from service.idempotency import sane
from service.jobs import check_unused, made_by, refuse
from service.prefer import Patience, patience
from service.problems import Problem, brief
from service.routes.keys import SMALL_BYTES, needs_json
from service.routes.predictions import IdempotencyKey, Prefer
from service.schemas.model import (
    ALIAS_NAME,
    RESERVED,
    AliasRequest,
    AliasView,
    FamilyList,
    FamilyView,
    ImportAnswer,
    ImportForm,
    ModelList,
    ModelVersion,
    ModelView,
)
from service.upload import FormShape, Upload
from service.view import json
from workers.contract import ImportOrder, Queue, Task
from workers.jobs import Job, new_id

router = APIRouter(tags=["models"])

IMPORT_FIELDS = frozenset(ImportForm.model_fields) - {"file"}
Name = Annotated[
    str, Path(max_length=64, description="Name of the model.", examples=["formation-energy"])
]
Alias = Annotated[str, Path(max_length=64, description="Name of the alias.", examples=["prod"])]


class ImportFields(BaseModel):
    """The fields of an import that are not the file."""

    model_config = ConfigDict(extra="forbid")

    name: str
    property: str | None = None
    unit: str | None = None
    title: str | None = Field(None, max_length=200)
    classes: list[str] | None = Field(None, min_length=2, max_length=64)


@router.get(
    "/v1/models",
    name="list_models",
    summary="All models",
    response_model=None,
    responses={200: answer(ModelList, "The models by name."), **problems("unknown_field")},
)
async def list_models(house: TheHouse, who: TheCaller) -> Response:  # noqa: ARG001
    """What each one predicts, with the figures of its latest version."""
    names = dict.fromkeys(card.name for card in house.catalogue.list())
    return json({"models": [summary(house, name) for name in names]})


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
            *(
                "idempotency_mismatch",
                "idempotency_running",
                "queue_full",
                "no_worker",
                "storage_full",
            ),
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
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Problem(
            "unsupported_media_type",
            f"The Content-Type is {brief(kind)!r}.",
            hint="Send multipart/form-data.",
        )
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


@router.get(
    "/v1/models/families",
    name="list_families",
    summary="Kinds of models",
    response_model=None,
    responses={200: answer(FamilyList, "The families."), **problems("unknown_field")},
)
async def list_families(who: TheCaller) -> Response:  # noqa: ARG001
    """With the schema of what can be set in each."""
    return json({"families": [family_view(name) for name in KINDS]})


@router.get(
    "/v1/models/families/{family}",
    name="get_family",
    summary="What can be set in a kind of model",
    response_model=None,
    responses={
        200: answer(FamilyView, "The family and the JSON schemas of its settings."),
        **problems("unknown_family", "unknown_field"),
    },
)
async def get_family(family: str, who: TheCaller) -> Response:  # noqa: ARG001
    """Each setting with its meaning, its default and its bounds."""
    if family not in KINDS:
        raise Problem(
            "unknown_family",
            f"There is no family {brief(family, 60)!r}, but: {', '.join(KINDS)}.",
        )
    return json(family_view(family))


@router.get(
    "/v1/models/{name}",
    name="get_model",
    summary="A model and its versions",
    response_model=None,
    responses={
        200: answer(ModelView, "The model with the card of every version."),
        **problems("unknown_model", "unknown_field", "invalid_field"),
    },
)
async def get_model(name: Name, house: TheHouse, who: TheCaller) -> Response:  # noqa: ARG001
    """`name@3` and `name@alias` are understood too and show the version alone."""
    base, at, _ = name.partition("@")
    if at:
        return json(one_version(house, name))
    cards = house.catalogue.versions(base)
    return json(summary(house, base) | {"items": [version_view(house, card) for card in cards]})


@router.get(
    "/v1/models/{name}/versions/{version}",
    name="get_version",
    summary="One version of a model",
    response_model=None,
    responses={
        200: answer(ModelVersion, "The version with its card."),
        **problems("unknown_model", "unknown_field", "invalid_field"),
    },
)
async def get_version(
    name: Name,
    version: Annotated[int, Path(ge=1, le=999_999_999, description="Number of the version.")],
    house: TheHouse,
    who: TheCaller,  # noqa: ARG001
) -> Response:
    """Versions never change."""
    return json(one_version(house, f"{name}@{version}"))


@router.get(
    "/v1/models/{name}/versions/{version}/file",
    name="export_model",
    summary="A model as one file",
    response_class=Response,
    responses={
        200: {
            "description": "A zip of the card, the weights, the guide and the figures, which `POST /v1/models` takes elsewhere.",
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        },
        **problems("unknown_model", "damaged_model", "unknown_field", "invalid_field"),
    },
)
async def export_model(
    name: Name,
    version: Annotated[int, Path(ge=1, le=999_999_999, description="Number of the version.")],
    house: TheHouse,
    who: TheCaller,  # noqa: ARG001
) -> Response:
    """The same bytes every time, because versions never change."""
    card, folder = house.catalogue.get(f"{name}@{version}")
    data = await asyncio.to_thread(exported, folder)
    shown = f'attachment; filename="{card.name}-{card.version}.zip"'
    return Response(data, headers={"Content-Disposition": shown}, media_type="application/zip")


@router.delete(
    "/v1/models/{name}/versions/{version}",
    name="delete_version",
    summary="Forget a version of a model",
    status_code=204,
    response_model=None,
    responses={
        204: {"description": "The version is gone; its number is never given again."},
        **problems("unknown_model", "conflict", "unknown_field", "invalid_field"),
    },
)
async def delete_version(
    name: Name,
    version: Annotated[int, Path(ge=1, le=999_999_999, description="Number of the version.")],
    house: TheHouse,
    who: ModelWriter,  # noqa: ARG001
) -> Response:
    """One that was made here; not while an alias means it, or an unfinished job needs it."""
    if not house.catalogue.is_own(name, version):
        raise Problem("conflict", f"{name}@{version} came with the program.",
                      hint="Versions that were trained or imported here can be deleted.")  # fmt: skip
    await forget(house, name, [version])
    return Response(status_code=204)


@router.delete(
    "/v1/models/{name}",
    name="delete_model",
    summary="Forget a model",
    status_code=204,
    response_model=None,
    responses={
        204: {"description": "All versions that were made here are gone."},
        **problems("unknown_model", "conflict", "unknown_field", "invalid_field"),
    },
)
async def delete_model(name: Name, house: TheHouse, who: ModelWriter) -> Response:  # noqa: ARG001
    """All of its versions that were made here, or none: not while an alias means one, or an unfinished job needs it."""
    versions = [card.version for card in house.catalogue.versions(name)]
    own = [version for version in versions if house.catalogue.is_own(name, version)]
    if not own:
        raise Problem("conflict", f"All of {name} came with the program.",
                      hint="Versions that were trained or imported here can be deleted.")  # fmt: skip
    await forget(house, name, own)
    return Response(status_code=204)


async def forget(house: House, name: str, versions: list[int]) -> None:
    """These versions; raises `Problem` while somebody needs one."""
    known = house.catalogue.aliases(name)
    aliases = sorted(alias for alias, version in known.items() if version in versions)
    if aliases:
        raise Problem(
            "conflict",
            f"{name}@{aliases[0]} means {name}@{known[aliases[0]]}.",
            hint="Let the alias mean another version first, or delete it.",
            links={"aliases": [f"/v1/models/{name}/aliases/{alias}" for alias in aliases]},
        )
    for version in versions:
        await check_unused(house, f"{name}@{version}", "model")
    for version in versions:
        await asyncio.to_thread(house.catalogue.remove, name, version)


@router.put(
    "/v1/models/{name}/aliases/{alias}",
    name="set_alias",
    summary="Let a name stand for a version",
    response_model=None,
    responses={
        200: answer(AliasView, "The alias as it is now."),
        **problems(*BODY, "unknown_model", "invalid_input"),
    },
    openapi_extra=body(("application/json", "AliasRequest"), description="The version."),
)
async def set_alias(
    request: Request,
    *,
    name: Name,
    alias: Annotated[
        str, Path(pattern=ALIAS_NAME, description="Name of the alias.", examples=["prod"])
    ],
    house: TheHouse,
    who: ModelWriter,  # noqa: ARG001
) -> Response:
    """From now on `name@alias` means this version; jobs that are under way keep theirs."""
    needs_json(request)
    wanted = parsed(AliasRequest, await house.uploads.json(request, SMALL_BYTES))
    await asyncio.to_thread(house.catalogue.set_alias, name, alias, wanted.version)
    return json({"model": name, "alias": alias, "version": wanted.version})


@router.delete(
    "/v1/models/{name}/aliases/{alias}",
    name="drop_alias",
    summary="Forget an alias",
    status_code=204,
    response_model=None,
    responses={
        204: {"description": "The alias is gone; its version stays."},
        **problems("unknown_model", "unknown_field", "invalid_field"),
    },
)
async def drop_alias(name: Name, alias: Alias, house: TheHouse, who: ModelWriter) -> Response:  # noqa: ARG001
    """The version it stood for stays."""
    known = house.catalogue.aliases(name)
    if alias not in known:
        there = ", ".join(sorted(known)) or "none"
        raise UnknownModel(f"The model {name} has no alias {brief(alias, 60)!r}.", expected=there)
    await asyncio.to_thread(house.catalogue.drop_alias, name, alias)
    return Response(status_code=204)


def one_version(house: House, name: str) -> dict[str, Any]:
    """A version by any of its names."""
    return version_view(house, house.catalogue.get(name)[0])


def version_view(house: House, card: Card) -> dict[str, Any]:
    """A version as `ModelVersion` has it."""
    aliases = house.catalogue.aliases(card.name)
    return {
        "id": card.id,
        "name": card.name,
        "version": card.version,
        "aliases": sorted(alias for alias, version in aliases.items() if version == card.version),
        "card": card.model_dump(mode="json"),
        "links": {
            "self": f"/v1/models/{card.name}/versions/{card.version}",
            "model": f"/v1/models/{card.name}",
        },
    }


def summary(house: House, name: str) -> dict[str, Any]:
    """A model as `ModelSummary` has it."""
    cards = house.catalogue.versions(name)
    latest = cards[0]
    return {
        "name": name,
        "latest": latest.version,
        "versions": [card.version for card in cards],
        "aliases": house.catalogue.aliases(name),
        "title": latest.title,
        "family": latest.family,
        "origin": latest.origin,
        "properties": [{"property": one.property, "unit": one.unit} for one in latest.targets],
        "metrics": latest.metrics,
        "links": {"self": f"/v1/models/{name}", "family": f"/v1/models/families/{latest.family}"},
    }


def family_view(name: str) -> dict[str, Any]:
    """A family as `FamilyView` has it."""
    kind = KINDS[name]
    parts: dict[str, type[Frozen]] = {
        "input": kind.input,
        "network": kind.network,
        "training": TrainingSettings,
    }
    return {
        "family": name,
        "title": kind.title,
        "settings": {part: schema.model_json_schema() for part, schema in parts.items()},
        "recipes": {recipe: complete(name, recipe) for recipe in get_args(RecipeName)},
        "links": {"self": f"/v1/models/families/{name}"},
    }


def complete(family: str, recipe: RecipeName) -> dict[str, Any]:
    """Every setting that can be set, as a recipe has it."""
    settings = resolved(family, recipe, {}, targets=1, classifies=False)
    parts = (settings.input, settings.network, settings.training)
    flat = {name: value for part in parts for name, value in part.model_dump(mode="json").items()}
    return {name: value for name, value in flat.items() if name not in NOT_TUNED}

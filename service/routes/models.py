"""`/v1/models`: what can predict, and how it came to be."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from models.card import Card
from models.catalogue import exported
from models.errors import UnknownModel
from service.dependencies import ModelWriter, TheCaller, TheHouse
from service.documented import BODY, answer, body, problems
from service.forms import parsed
from service.house import House
from service.jobs import check_unused
from service.problems import Problem, brief
from service.routes.keys import SMALL_BYTES
from service.schemas.model import (
    ALIAS_NAME,
    AliasRequest,
    AliasView,
    ModelList,
    ModelVersion,
    ModelView,
)
from service.sent_as import JSON, sent_as
from service.view import json

router = APIRouter(tags=["models"])

Name = Annotated[
    str, Path(max_length=64, description="Name of the model.", examples=["formation-energy"])
]
Alias = Annotated[str, Path(max_length=64, description="Name of the alias.", examples=["prod"])]


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
    sent_as(request, JSON)
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

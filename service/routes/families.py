"""`/v1/models/families`: the kinds of models, and what can be set in each."""

from typing import Any, get_args

from fastapi import APIRouter, Response

from models.families.kinds import KINDS
from models.families.recipes import NOT_TUNED, RecipeName, resolved
from models.settings.frozen import Frozen
from models.settings.training import TrainingSettings
from service.dependencies import TheCaller
from service.documented import answer, problems
from service.problems import Problem, brief
from service.schemas.model import FamilyList, FamilyView
from service.view import json

router = APIRouter(tags=["models"])


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

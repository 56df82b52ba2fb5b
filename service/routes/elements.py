"""`/v1/models/{name}/elements`: what a model says of each element, as periodic tables."""

import asyncio
from typing import Any

from fastapi import APIRouter, Response

from models.card import Card
from models.figures import kept
from models.figures.told import Elements
from service.dependencies import TheCaller, TheHouse
from service.documented import answer, problems
from service.house import House
from service.model_page import meaning
from service.problems import Problem
from service.routes.models import Name
from service.schemas.model import ElementsView
from service.view import json

router = APIRouter(tags=["models"])


@router.get(
    "/v1/models/{name}/elements",
    name="get_elements",
    summary="What a model says of each element",
    response_model=None,
    responses={
        200: answer(ElementsView, "A table of all sites; of perovskites also one of A and of B."),
        **problems("unknown_model", "no_elements", "damaged_model", "unknown_field", "invalid_field"),
    },
)  # fmt: skip
async def get_elements(name: Name, house: TheHouse, who: TheCaller) -> Response:  # noqa: ARG001
    """The mean contribution of each element over the training structures, made once with the model.

    `name`, `name@3` and `name@alias` are understood. Contributions are those of a site times the number of sites:
    in the unit of the property, comparable between cells of any size. Models of sites have the mean predicted value.
    """
    card, folder = house.catalogue.get(name)
    figures = await asyncio.to_thread(kept.read, card, folder)
    if figures is None or figures.elements is None:
        raise Problem("no_elements", reason(card), hint=hint(house), model=card.id)
    return json(view(card, figures.elements))


def view(card: Card, elements: Elements) -> dict[str, Any]:
    """The tables as `ElementsView` has them."""
    targets = zip(card.targets, elements.targets, strict=True)
    return {
        "model": card.id,
        "kind": elements.kind,
        "meaning": meaning(elements),
        "structures": elements.structures,
        "perovskites": elements.perovskites,
        "properties": [
            {
                "property": target.property,
                "unit": target.unit,
                "tables": [table.model_dump(mode="json") for table in tables],
            }
            for target, tables in targets
        ],
        "links": {
            "model": f"/v1/models/{card.name}/versions/{card.version}",
            "page": f"/models/{card.id}",
        },
    }


def reason(card: Card) -> str:
    """Why there is no table."""
    if card.family == "image":
        return f"{card.id} reads images: it knows of no elements."
    if card.family == "bond":
        return f"{card.id} answers for bonds: an answer belongs to two sites, not to one."
    if card.classifies:
        return f"{card.id} is a classifier: a probability is no sum over sites."
    if kept.kind_of(card) is None:
        return (
            f"{card.id} has the read-out `{getattr(card.network, 'readout', '')}`, which mixes the sites' vectors before it answers: "
            "the answer is no sum over sites, and any share of a site would be made up."
        )
    made = (
        "imported from elsewhere without one"
        if card.origin == "imported"
        else "made before they were"
    )
    return f"{card.id} has no table: they are made at the end of a training, and it was {made}."


def hint(house: House) -> str:
    """Who has one."""
    names = {card.name: None for card in house.catalogue.list() if has_table(card)}
    some = ", ".join(list(names)[:10])
    known = f" Here these may have one: {some}." if some else ""
    return f"Train with `readout=linear`, or a model of sites.{known}"


def has_table(card: Card) -> bool:
    """Whether a table was made with it, as far as the card tells."""
    return card.figures_sha256 is not None and kept.kind_of(card) is not None

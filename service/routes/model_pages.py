"""`/models`: a page for each model, and its drawings."""

import asyncio
import base64
import hashlib
from binascii import Error as NotBase64
from collections.abc import Iterable
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi import Path as InPath

from models.card import Card
from models.catalogue import FIGURES, RELEASED
from models.errors import DamagedModel
from models.figures import kept
from service.dependencies import TheHouse, TheMeeting
from service.house import House
from service.html import STILL, link, page, section, table
from service.model_errors import judge, number
from service.model_limits import PARTS
from service.model_page import Shown, body
from service.problems import Problem, brief

router = APIRouter(tags=["models"], include_in_schema=False)

Name = Annotated[str, InPath(max_length=128)]
IfNoneMatch = Annotated[str | None, Header()]

KINDS = {".svg": "image/svg+xml", ".json": "application/json"}
# What a drawing may do when it is opened by itself: show itself.
DRAWING_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
FOREVER = "max-age=31536000, immutable"
# A key in a browser: as the password, of any name. Only these pages, which change nothing, take it.
CHALLENGE = {"WWW-Authenticate": 'Basic realm="matprop: a key as password", charset="UTF-8"'}


@router.get("/models")
async def models_page(
    request: Request, *, house: TheHouse, met: TheMeeting, if_none_match: IfNoneMatch = None
) -> Response:
    """All models by property, each with its error beside that of the best simple method."""
    cards = newest(visible(house, everything=await has_key(request, house, met)))
    hidden = len(newest(house.catalogue.list())) - len(cards)
    return fresh(page("Models", index(cards, hidden), STILL), if_none_match)


@router.get("/models/{name}")
async def model_page(
    name: Name,
    request: Request,
    *,
    house: TheHouse,
    met: TheMeeting,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """What a model predicts, how well, from what, and how to call it."""
    everything = await has_key(request, house, met)
    card, folder = seen(name, house, everything=everything)
    text = await asyncio.to_thread(
        lambda: body(shown(request, house, card, folder, everything=everything))
    )
    return fresh(page(card.name, text, STILL), if_none_match)


@router.get("/models/{name}/figures/{digest}/{file}")
async def drawing(
    name: Name,
    digest: str,
    file: str,
    request: Request,
    *,
    house: TheHouse,
    met: TheMeeting,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """A file that was made with the model; its address holds the hash of the figures, so it never changes."""
    card, folder = seen(name, house, everything=await has_key(request, house, met))
    public = is_public(house, card)
    if digest != (card.figures_sha256 or "")[:16] or file not in drawings(folder) | {FIGURES}:
        raise Problem("not_found", f"{card.id} has no figure {brief(file, 60)}.")
    data = await asyncio.to_thread((folder / file).read_bytes)
    found = Response(
        data,
        headers={
            "Cache-Control": f"{'public' if public else 'private'}, {FOREVER}",
            "Content-Security-Policy": DRAWING_POLICY,
        },
        media_type=KINDS[Path(file).suffix],
    )
    return tagged(found, if_none_match)


def visible(house: House, *, everything: bool) -> list[Card]:
    """All versions, or those that ship, the newest of each model first."""
    cards = house.catalogue.list()
    return cards if everything else [card for card in cards if is_public(house, card)]


def newest(cards: Iterable[Card]) -> list[Card]:
    """The newest version of each model."""
    found: dict[str, Card] = {}
    for card in cards:
        found.setdefault(card.name, card)
    return list(found.values())


def seen(name: str, house: House, *, everything: bool) -> tuple[Card, Path]:
    """The model, for one who may see it; raises `Problem`, `UnknownModel`."""
    if everything:
        return house.catalogue.get(name)
    for card in visible(house, everything=False):
        if name in (card.name, card.id):
            return house.catalogue.get(card.id)
    raise Problem(
        "unauthorized",
        "The pages of models that were made here need a key.",
        hint="Give the key as the password; the name does not matter.",
        headers=CHALLENGE,
    )


async def has_key(request: Request, house: House, met: TheMeeting) -> bool:
    """Whether a key came along, or none is needed; raises `Problem` for one that is wrong."""
    sent = request.headers.get("authorization")
    if house.keys.required and sent is None:
        return False
    scheme, _, coded = (sent or "").partition(" ")
    basic = scheme.lower() == "basic"
    try:
        known = await house.keys.caller(f"Bearer {password(coded)}" if basic else sent)
    except Problem as problem:
        if basic and problem.code == "unauthorized":
            problem.headers |= CHALLENGE  # a browser asks again
        raise
    met.owner = known.owner
    met.headers.update(known.headers)
    return True


def password(coded: str) -> str:
    """Of what a browser's dialogue sends; nothing where it is none."""
    with suppress(NotBase64, ValueError):
        return base64.b64decode(coded, validate=True).decode().partition(":")[2]
    return ""


def is_public(house: House, card: Card) -> bool:
    """What ships with the program is known to everybody; what was made here is not."""
    return house.catalogue.get(card.id)[1].is_relative_to(RELEASED)


def drawings(folder: Path) -> frozenset[str]:
    """The names of the drawings in a model's folder."""
    return frozenset(one.name for one in folder.iterdir() if one.suffix == ".svg")


def shown(request: Request, house: House, card: Card, folder: Path, *, everything: bool) -> Shown:
    """All that the page tells, read."""
    figures, trouble = None, None
    try:
        figures = kept.read(card, folder)
    except DamagedModel as error:
        trouble = error.detail
    return Shown(
        card,
        figures,
        drawings(folder) if figures else frozenset(),
        [one for one in visible(house, everything=everything) if one.name == card.name],
        house.catalogue.aliases(card.name),
        str(request.base_url).rstrip("/"),
        keys=bool(house.keys.required),
        trouble=trouble,
    )


def fresh(found: Response, if_none_match: str | None) -> Response:
    """A page that is asked for anew each time, and sent anew when it has changed."""
    found.headers["Cache-Control"] = "private, no-cache"
    return tagged(found, if_none_match)


def tagged(found: Response, if_none_match: str | None) -> Response:
    """With its ETag; nothing but that for one who has it already."""
    tag = f'"{hashlib.sha256(bytes(found.body)).hexdigest()[:20]}"'
    found.headers["ETag"] = tag
    known = [one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")]
    if tag not in known and "*" not in known:
        return found
    kept_headers = {name: found.headers[name] for name in ("Cache-Control", "ETag")}
    return Response(status_code=304, headers=kept_headers)


def index(cards: list[Card], hidden: int) -> str:
    """A table for each property."""
    groups: dict[str, list[tuple[Card, int]]] = {}
    for card in cards:
        for at, target in enumerate(card.targets):
            groups.setdefault(target.property, []).append((card, at))
    sections = [section(name, rows(some)) for name, some in sorted(groups.items())]
    more = f"<p>{hidden} more can be seen with a key.</p>" if hidden else ""
    nothing = "" if cards or hidden else "<p>There is no model yet.</p>"
    return (
        "<p>What can predict here, with the error of each on rows it has never seen, beside that of the best simple "
        f"method on the same rows. As JSON: {link('/v1/models', '/v1/models')}.</p>{nothing}"
        + "".join(sections) + more
    )  # fmt: skip


def rows(some: list[tuple[Card, int]]) -> str:
    """The models of a property."""
    heads = (
        *("model", "its error", "best simple method", "in"),
        *("training rows", "judged by", "learned from"),
    )
    if all(card.classifies for card, _ in some):
        heads = ("model", "its figure", *heads[2:])
    return table(heads, [row(card, at) for card, at in some], numeric=(1, 2, 4))


def row(card: Card, at: int) -> list[str]:
    """One model: its error of this target, and the best baseline's."""
    part, target, record = judge(card), card.targets[at], card.training
    figure = "auc" if card.classifies else "mae"
    named = f"mae:{target.property}" if len(card.targets) > 1 else figure
    ours = card.metrics.get(part or "", {}).get(named)
    others = [each[named] for each in card.baselines.values() if named in each]
    best = (max if figure == "auc" else min)(others, default=None)
    unit = "area under ROC" if figure == "auc" else target.unit
    several = f" ({card.members} networks)" if card.members > 1 else ""
    return [
        f"{link(f'/models/{card.name}', card.name)}{several}",
        "–" if ours is None else number(ours),
        "–" if best is None else number(best),
        escape(unit),
        f"{record.rows['train']:,}" if record and "train" in record.rows else "–",
        f"{PARTS[part]} rows" if part else "–",
        escape(record.dataset if record else "not known"),
    ]

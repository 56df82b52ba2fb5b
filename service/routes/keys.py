"""`/v1/keys`: who may use the service; for keys with the scope `admin`."""

from fastapi import APIRouter, Request, Response

from service.dependencies import Admin, TheHouse, TheMeeting
from service.documented import BODY, answer, body, problems
from service.forms import parsed
from service.house import House
from service.idempotency import fingerprint, sane
from service.problems import Problem, brief
from service.routes.predictions import IdempotencyKey
from service.schemas.key import KeyList, KeyRequest, KeyView
from service.sent_as import JSON, sent_as
from service.submit import settle
from service.view import json, moment
from workers.jobs import new_id

router = APIRouter(tags=["keys"])
SMALL_BYTES = 65_536


@router.post(
    "/v1/keys",
    name="create_key",
    summary="Make a key",
    status_code=201,
    response_model=None,
    responses={
        201: answer(KeyView, "The key with its secret, which is shown this once."),
        **problems(*BODY, "conflict", "idempotency_mismatch", "idempotency_running"),
    },
    openapi_extra=body(("application/json", "KeyRequest"), description="What the key is for."),
)
async def create_key(
    request: Request,
    house: TheHouse,
    met: TheMeeting,
    who: Admin,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """The secret is kept as a hash only. A replay by Idempotency-Key shows the key without its secret."""
    if not house.keys.required:
        raise Problem(
            "conflict",
            "This service runs without keys.",
            hint="Start it with MATPROP_ADMIN_KEY set, and make keys with that one.",
        )
    sent_as(request, JSON)
    raw = await house.uploads.json(request, SMALL_BYTES)
    wanted = parsed(KeyRequest, raw)
    key_id = new_id("key")
    same = fingerprint("key", raw)
    claim = await house.idempotency.begin(who.owner, sane(idempotency_key), same, key_id, 0)
    if not claim.first:
        met.headers["Idempotent-Replayed"] = "true"
        return await shown(house, claim.thing)
    try:
        record = await house.keys.create(wanted, key_id)
    except BaseException:
        await settle(house.idempotency.forget, claim)
        raise
    await settle(house.idempotency.answered, claim)
    return json(key_view(record) | {"key": record["key"]}, 201, {"Cache-Control": "no-store"})


async def shown(house: House, key_id: str) -> Response:
    """A key that was made before."""
    record = await house.keys.get(key_id)
    if record is None:
        raise Problem("unknown_key", "The key that this Idempotency-Key made was revoked.")
    return json(key_view(record), 201)


@router.get(
    "/v1/keys",
    name="list_keys",
    summary="All keys",
    response_model=None,
    responses={
        200: answer(KeyList, "The keys, without their secrets."),
        **problems("unknown_field"),
    },
)
async def list_keys(house: TheHouse, who: Admin) -> Response:  # noqa: ARG001
    """The oldest first."""
    return json({"keys": [key_view(record) for record in await house.keys.list()]})


@router.delete(
    "/v1/keys/{key}",
    name="revoke_key",
    summary="Revoke a key",
    status_code=204,
    response_model=None,
    responses={
        204: {"description": "The key is not valid any more; its jobs stay."},
        **problems("unknown_key", "unknown_field", "invalid_field"),
    },
)
async def revoke_key(key: str, house: TheHouse, who: Admin) -> Response:  # noqa: ARG001
    """At once."""
    if not await house.keys.revoke(key):
        raise Problem("unknown_key", f"There is no key {brief(key, 60)!r}.")
    return Response(status_code=204)


def key_view(record: dict[str, object]) -> dict[str, object]:
    """A key as `KeyView` has it, without its secret."""
    return {
        "id": record["id"],
        "name": record["name"],
        "owner": record["owner"],
        "scopes": str(record["scopes"]).split(","),
        "requests_per_minute": int(str(record["requests_per_minute"])),
        "structures_per_day": int(str(record["structures_per_day"])),
        "created_at": moment(float(str(record["created_at"]))),
        "key": None,
    }

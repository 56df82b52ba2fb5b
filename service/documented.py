"""How a route tells the contract which answers it has."""

from typing import Any

from service.problems import CODES, MEDIA_TYPE

PROBLEM = {"$ref": "#/components/schemas/Problem"}
WIRE = ("bad_request", "receive_timeout", "head_too_large")  # before any route is known
ALWAYS = (
    *WIRE,
    "unauthorized",
    "forbidden",
    "quota_exceeded",
    "internal",
    "busy",
    "broker_unavailable",
    "store_unavailable",
)
OPEN = (*WIRE, "host_not_allowed", "internal", "busy")
ON_LOOPBACK = ("host_not_allowed", "cross_site")
BODY = ("malformed_json", "body_too_large", "unsupported_media_type", "missing_field",
        "unknown_field", "invalid_field")  # fmt: skip
NEW_JOB = ("idempotency_mismatch", "idempotency_running", "queue_full", "no_worker", "storage_full")

REQUEST_ID = {
    "description": "The name of this request, the caller's own if one was sent.",
    "schema": {"type": "string"},
}
RATE = {
    "RateLimit-Limit": {
        "description": "Requests a minute of this key.",
        "schema": {"type": "integer"},
    },
    "RateLimit-Remaining": {"description": "How many are left.", "schema": {"type": "integer"}},
    "RateLimit-Reset": {
        "description": "Seconds until there are more.",
        "schema": {"type": "integer"},
    },
}
RETRY_AFTER = {"description": "Seconds to wait before the next try.", "schema": {"type": "integer"}}


def problems(
    *codes: str, common: tuple[str, ...] = (*ALWAYS, *ON_LOOPBACK)
) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, one entry a status, naming each code."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in dict.fromkeys((*codes, *common)):
        status, title, _ = CODES[code]
        entry = found.setdefault(
            status,
            {
                "description": "",
                "content": {MEDIA_TYPE: {"schema": PROBLEM}},
                "headers": {"X-Request-ID": REQUEST_ID},
            },
        )
        entry["description"] += f"{'; ' if entry['description'] else ''}`{code}`: {title}"
        if status in (429, 503):
            entry["headers"]["Retry-After"] = RETRY_AFTER
        if status == 429:
            entry["headers"] |= RATE
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def body(*contents: tuple[str, str], description: str) -> dict[str, Any]:
    """A request body that the route reads itself: media type and name of the schema."""
    return {
        "requestBody": {
            "required": True,
            "description": description,
            "content": {
                kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}}
                for kind, schema in contents
            },
        }
    }


def answer(model: type, description: str, **headers: str) -> dict[str, Any]:
    """A good answer: its schema and the headers that matter."""
    return {
        "model": model,
        "description": description,
        "headers": {
            "X-Request-ID": REQUEST_ID,
            **{
                name.replace("_", "-"): {"description": text, "schema": {"type": "string"}}
                for name, text in headers.items()
            },
        },
    }

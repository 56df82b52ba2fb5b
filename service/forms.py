"""Form fields as the schemas want them: repeated, comma-separated, or once."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from service.near import refuse_unknown
from service.problems import Problem, brief
from service.validation import invalid

Schema = TypeVar("Schema", bound=BaseModel)

KINDS = {type(None): "empty or null", list: "an array", str: "a text", bool: "true or false"}


def gathered(fields: Sequence[tuple[str, str]], lists: Collection[str]) -> dict[str, Any]:
    """Each field once; the list ones repeated or separated by commas; empty ones are not there."""
    found: dict[str, Any] = {}
    for name, sent in fields:
        value = sent.strip()
        if not value:
            continue
        if name in lists:
            found.setdefault(name, []).extend(
                part.strip() for part in value.split(",") if part.strip()
            )
        elif name in found and found[name] != value:
            raise Problem(
                "invalid_field",
                f"{name!r} came twice: {brief(found[name], 60)!r} and {brief(value, 60)!r}.",
                pointer=name,
            )
        else:
            found[name] = value
    return found


def parsed(schema: type[Schema], raw: bytes) -> Schema:
    """A JSON body as its schema; raises `Problem`."""
    try:
        body = orjson.loads(raw or b"null")
    except orjson.JSONDecodeError as error:
        raise Problem(
            "malformed_json",
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
            place=f"line {error.lineno}, column {error.colno}",
        ) from error
    try:
        json.loads(raw or b"null", object_pairs_hook=once)
    except RecursionError as error:
        raise Problem("malformed_json", "The body is nested too deeply to be read.") from error
    return checked(schema, body)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; raises `Problem` for a field that came twice, of which orjson takes the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Problem("invalid_field", f"{brief(name, 60)!r} came twice.", pointer=brief(name, 60))
    return found


def checked(schema: type[Schema], body: Any) -> Schema:
    """What was sent as its schema; raises `Problem` naming every fault."""
    if not isinstance(body, dict):
        raise Problem(
            "invalid_field",
            f"The body is {KINDS.get(type(body), 'a number')}, not a JSON object.",
            hint=f"Its fields are {', '.join(schema.model_fields)}.",
        )
    refuse_unknown("field", body, schema.model_fields)
    try:
        return schema.model_validate(body)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False)) from error

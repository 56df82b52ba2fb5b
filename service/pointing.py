"""What is wrong with a body, and at which place of it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import InputError
from service.problems import STATUS, Problem

PLACE = re.compile(r"(targets|target|split|settings|columns|seeds|rows|classes|devices)\b")


@contextmanager
def about(pointer: str) -> Iterator[None]:
    """What is wrong in the block is wrong at this place of the body."""
    try:
        yield
    except InputError as error:
        raise pointed(error, pointer) from error


def inner(error: InputError) -> str | None:
    """The place of the body that an error tells, as a pointer."""
    place = error.place or ""
    return "/" + place.replace(".", "/") if PLACE.match(place) else None


def pointed(error: InputError, pointer: str) -> Problem:
    """The error as a problem that names the field."""
    parts = error.as_dict() | {"pointer": pointer}
    named = {key: parts[key] for key in ("expected", "got") if key in parts}
    return Problem(
        error.code,
        error.detail,
        hint=error.hint,
        errors=[parts],
        status=STATUS[type(error)],
        **named,
    )


def refused(code: str, detail: str, pointer: str, hint: str | None = None, **more: str) -> Problem:
    """A refusal of one field."""
    item = {"code": code, "detail": detail, "pointer": pointer, **more}
    return Problem(code, detail, hint=hint, errors=[item | ({"hint": hint} if hint else {})])

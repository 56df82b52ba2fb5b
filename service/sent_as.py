"""How a body is sent, by its Content-Type."""

from typing import Literal

from starlette.requests import Request

from service.problems import Problem, brief

Way = Literal["multipart/form-data", "application/json"]

FORM: Way = "multipart/form-data"
JSON: Way = "application/json"


def sent_as(request: Request, *ways: Way) -> Way:
    """One of these; raises `Problem` for a body of another kind."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    found = JSON if kind.startswith("application/") and kind.endswith("+json") else kind
    for way in ways:
        if way == found:
            return way
    raise Problem(
        "unsupported_media_type",
        f"The Content-Type is {brief(kind)!r}.",
        hint=f"Send {' or '.join(ways)}.",
    )

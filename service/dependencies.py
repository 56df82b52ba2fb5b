"""What routes ask for: the house, the caller, a query without unknown names."""

from typing import Annotated, Any, get_type_hints

from fastapi import Depends, Request, Security
from fastapi.params import Query as QueryMark
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.forms import gathered
from service.house import House
from service.keys import Caller
from service.middleware import Meeting
from service.near import refuse_unknown
from service.schemas.key import Scope

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="An API key, `mp_…`; not needed on loopback without keys.",
)


async def house(request: Request) -> House:
    """The parts of the process that answers this request."""
    found: House = request.app.state.house
    return found


async def meeting(request: Request) -> Meeting:
    """What is known about this request."""
    found: Meeting = request.scope["state"]["meeting"]
    return found


TheHouse = Annotated[House, Depends(house)]
TheMeeting = Annotated[Meeting, Depends(meeting)]


async def caller(
    request: Request,
    _: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
) -> Caller:
    """Who asks; raises `Problem` for a key that is not known or has used up its quota."""
    parts: House = request.app.state.house  # not as dependencies: each of them costs every request
    met: Meeting = request.scope["state"]["meeting"]
    known = await parts.keys.caller(request.headers.get("authorization"))
    met.owner = known.owner
    met.headers.update(known.headers)
    return known


TheCaller = Annotated[Caller, Depends(caller)]


class Needs:
    """A caller with this scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, known: TheCaller) -> Caller:
        """The caller; raises `Problem` without the scope."""
        known.need(self.scope)
        return known


Predictor = Annotated[Caller, Depends(Needs(Scope.PREDICT))]
Trainer = Annotated[Caller, Depends(Needs(Scope.TRAIN))]
ModelWriter = Annotated[Caller, Depends(Needs(Scope.MODELS_WRITE))]
Admin = Annotated[Caller, Depends(Needs(Scope.ADMIN))]


async def known_query(request: Request) -> None:
    """Raises `Problem` for a query parameter that this route does not have, or that came twice."""
    if not request.scope["query_string"]:
        return
    allowed = query_names(request.scope["endpoint"])
    refuse_unknown("query parameter", request.query_params.keys(), allowed)
    gathered(request.query_params.multi_items(), ())  # refuses what came twice


_names: dict[Any, frozenset[str]] = {}


def query_names(endpoint: Any) -> frozenset[str]:
    """The query parameters in a route's signature; found out once."""
    found = _names.get(endpoint)
    if found is None:
        hints = get_type_hints(endpoint, include_extras=True)
        found = _names[endpoint] = frozenset(
            name
            for name, hint in hints.items()
            if any(isinstance(mark, QueryMark) for mark in getattr(hint, "__metadata__", ()))
        )
    return found

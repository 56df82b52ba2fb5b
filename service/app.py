"""The application: its parts, its routes, and an answer to every error."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from models.errors import MatpropError
from service import openapi
from service.dependencies import known_query
from service.house import at_work, build
from service.metrics import HttpMetrics
from service.middleware import Guard, Identify, Traffic
from service.problems import Problem, brief
from service.routes import (
    datasets,
    elements,
    evaluations,
    families,
    health,
    imports,
    jobs,
    keys,
    model_pages,
    models,
    pages,
    predictions,
    screenings,
    trainings,
)
from service.settings import ServiceSettings
from service.validation import invalid


def create(settings: ServiceSettings | None = None) -> FastAPI:
    """The service as an ASGI application."""
    settings = settings or ServiceSettings()
    metrics, traffic = HttpMetrics(), Traffic()
    house = build(settings, metrics, traffic)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await house.keys.decide()
        async with at_work(house):
            yield

    app = FastAPI(
        title="matprop",
        version=version("matprop"),
        summary="Materials properties from crystal structures",
        description=openapi.INTRODUCTION,
        openapi_tags=openapi.TAGS,
        license_info={"name": "MIT", "identifier": "MIT"},
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Our own request ids, log, metrics and spans do this; what is sent out holds no names and no contents.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        dependencies=[Depends(known_query)],
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.house = house
    for room in (
        *(
            predictions,
            screenings,
            datasets,
            trainings,
            evaluations,
            jobs,
            families,
            models,
            imports,
            elements,
            keys,
            health,
        ),
        *(pages, model_pages),
    ):
        app.include_router(room.router)
    app.add_middleware(Guard, settings=settings, traffic=traffic, keys=house.keys)
    app.add_middleware(Identify, metrics=metrics, traffic=traffic)
    app.add_exception_handler(HTTPException, of_starlette)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(MatpropError, of_matprop)
    openapi.install(app)
    return app


def of_matprop(_: Request, error: Exception) -> Response:
    """One of our own errors, about the whole request."""
    assert isinstance(error, MatpropError)
    raise Problem.of(error) from error


def of_starlette(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    path = brief(request.scope["path"], 200)
    if error.status_code == 404:
        raise Problem("not_found", f"There is nothing at {path}.")
    if error.status_code == 405:
        allowed = dict(error.headers or {}).get("Allow") or dict(error.headers or {}).get(
            "allow", ""
        )
        raise Problem(
            "method_not_allowed",
            f"{path} does not take {brief(request.method, 20)}, but {allowed or 'others'}.",
            headers=error.headers,
        )
    raise Problem(
        "bad_request", brief(error.detail, 300), status=error.status_code, headers=error.headers
    )


def of_validation(_: Request, error: Exception) -> Response:
    """Values in path, query, header or body that the schema does not allow."""
    assert isinstance(error, RequestValidationError)
    raise invalid(error.errors())

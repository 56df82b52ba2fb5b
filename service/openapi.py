"""The contract: what the routes say, plus the schemas of the bodies they read themselves."""

import sys
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.schemas.dataset import DatasetForm
from service.schemas.evaluation import EvaluationRequest
from service.schemas.key import KeyRequest
from service.schemas.model import AliasRequest, ImportForm
from service.schemas.prediction import PredictionForm, PredictionRequest
from service.schemas.problem import ProblemView
from service.schemas.screening import ScreeningForm, ScreeningRequest
from service.schemas.training import TrainingRequest

INTRODUCTION = """
Send crystal structures, get properties: formation energies, band gaps, moduli and whatever else the models predict.

```sh
curl -F files=@NaCl.cif -F model=formation-energy http://127.0.0.1:8000/v1/predictions
```

* **Structures** are CIF, POSCAR/CONTCAR, extended XYZ, pymatgen JSON or OPTIMADE JSON; many at once, also as zip or tar.
* **Answers** hold one record a structure, in the order sent. A bad structure has an `error` in its record and never
  fails the others.
* **Waiting**: a request waits some seconds for its answer (`Prefer: wait=30` for longer), then answers 202; follow the
  job by polling or by its events.
* **Errors** are `application/problem+json` (RFC 9457) with a stable `code`, what was expected, what came, and a hint.
* **Retrying** is safe with an `Idempotency-Key`; 429 and 503 say in `Retry-After` when.
* **Keys** go into `Authorization: Bearer mp_…`. A service on loopback runs without.
* **Units** are spelled out in every answer. Times are RFC 3339, UTC. Within `/v1` things are added, never changed.
"""

TAGS = [
    {"name": "predictions", "description": "Structures in, properties out."},
    {
        "name": "screenings",
        "description": "Very many structures in, a table out: filtered, sorted, as it fills.",
    },
    {"name": "datasets", "description": "Labelled structures, kept to be learned from."},
    {"name": "trainings", "description": "Data sets in, models out."},
    {"name": "evaluations", "description": "How good a model is, and how much data it needs."},
    {
        "name": "jobs",
        "description": "Work that goes on after its request: follow, stop, repeat, purge.",
    },
    {"name": "models", "description": "What can predict; versions, aliases, imports."},
    {"name": "keys", "description": "Who may use the service."},
    {"name": "service", "description": "Health, figures and bounds."},
]
SENT: tuple[type[BaseModel], ...] = (
    PredictionForm,
    PredictionRequest,
    ScreeningForm,
    ScreeningRequest,
    ImportForm,
    DatasetForm,
    AliasRequest,
    KeyRequest,
    TrainingRequest,
    EvaluationRequest,
)
AUTOMATIC = (
    "HTTPValidationError",
    "ValidationError",
)  # FastAPI's own error form, which we do not use


def install(app: FastAPI) -> None:
    """Makes the app give this contract."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = contract(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def contract(app: FastAPI) -> dict[str, Any]:
    """The whole description of the API."""
    found = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        license_info=app.license_info,
        tags=app.openapi_tags,
        routes=app.routes,
    )
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    modes: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in SENT]
    modes.append((ProblemView, "serialization"))
    _, extra = models_json_schema(modes, ref_template="#/components/schemas/{model}")
    schemas.update(extra["$defs"])
    schemas["Problem"] = schemas.pop("ProblemView")
    for name in AUTOMATIC:
        schemas.pop(name, None)
    for path in found["paths"].values():
        for operation in path.values():
            drop_automatic(operation)
            binary_files(operation)
    for form, field in (
        ("PredictionForm", "files"),
        ("ScreeningForm", "files"),
        ("ImportForm", "file"),
        ("DatasetForm", "file"),
    ):
        as_binary(schemas[form]["properties"][field])
    found["components"]["schemas"] = dict(sorted(schemas.items()))
    return found


def drop_automatic(operation: dict[str, Any]) -> None:
    """FastAPI adds its own form of 422 wherever there are parameters."""
    answer = operation["responses"].get("422", {}).get("content", {})
    if "application/json" in answer:
        del answer["application/json"]


def binary_files(operation: dict[str, Any]) -> None:
    """How the parts of a form are sent: lists by repeating the field."""
    content = operation.get("requestBody", {}).get("content", {})
    if "multipart/form-data" in content:
        content["multipart/form-data"].setdefault("encoding", {})


def as_binary(field: dict[str, Any]) -> None:
    """A file, in the words of OpenAPI 3.1."""
    target = field.get("items", field)
    target.pop("format", None)
    target.update({"type": "string", "contentMediaType": "application/octet-stream"})


def text() -> str:
    """The contract as it is committed."""
    import yaml  # type: ignore[import-untyped]  # the service itself does without

    from service.app import create
    from service.settings import ServiceSettings

    app = create(ServiceSettings(host="127.0.0.1", admin_key=None))
    page: str = yaml.safe_dump(app.openapi(), sort_keys=False, allow_unicode=True, width=110)
    return page


if __name__ == "__main__":
    sys.stdout.write(text())

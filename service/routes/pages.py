"""For people: where things are, the API's pages, and what each error means. Nothing comes from elsewhere."""

from functools import cache
from html import escape
from importlib.metadata import version
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from service.dependencies import TheHouse
from service.documented import OPEN, answer, problems
from service.html import POLICY, link, page
from service.problems import CODES, Problem, brief
from service.routes.model_pages import is_public
from service.schemas.state import Root
from service.view import json

router = APIRouter(tags=["service"])

LINKS = {
    "docs": "/docs",
    "openapi": "/openapi.json",
    "predictions": "/v1/predictions",
    "screenings": "/v1/screenings",
    "datasets": "/v1/datasets",
    "trainings": "/v1/trainings",
    "evaluations": "/v1/evaluations",
    "jobs": "/v1/jobs",
    "models": "/v1/models",
    "model_pages": "/models",
    "keys": "/v1/keys",
    "limits": "/v1/limits",
    "health": "/health/ready",
    "metrics": "/metrics",
}
ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
START = """
window.addEventListener("load", () => {
  window.ui = SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#swagger",
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    defaultModelsExpandDepth: 0,
    validatorUrl: null,
  });
});
"""
DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>matprop: API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon-32x32.png"></head>
<body><div id="swagger"></div>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body></html>
"""


def wants_html(request: Request) -> bool:
    """Whether a browser asks."""
    return "text/html" in request.headers.get("accept", "")


@router.get(
    "/",
    name="root",
    summary="Where things are",
    response_model=None,
    responses={
        200: answer(Root, "The addresses of this service.")
        | {"content": {"text/html": {"schema": {"type": "string"}}}},
        **problems(common=OPEN),
    },
)
async def root(request: Request, house: TheHouse) -> Response:
    """JSON, or a small page for a browser."""
    if not wants_html(request):
        return json({"name": "matprop", "version": version("matprop"), "links": LINKS})
    rows = "".join(
        f'<tr><th>{name}</th><td><a href="{to}">{to}</a></td></tr>' for name, to in LINKS.items()
    )
    models = "".join(
        f"<li>{link(f'/models/{card.id}', card.id)}: {escape(card.title)}</li>"
        for card in house.catalogue.list()
        if house.keys.required is False or is_public(house, card)
    )
    here = escape(str(request.base_url).rstrip("/"))
    curl = f"curl -F files=@NaCl.cif -F model=formation-energy {here}/v1/predictions"
    return page(
        "matprop",
        "<p>Materials properties from crystal structures.</p>"
        f"<pre>{escape(curl)}</pre><table>{rows}</table>"
        f"<h2>Models</h2><p>{link('/models', 'By property, with their errors')}</p><ul>{models}</ul>",
    )


@router.get("/docs", include_in_schema=False)
async def docs() -> Response:
    """The API's pages."""
    return Response(DOCS, headers={"Content-Security-Policy": POLICY}, media_type="text/html")


@router.get("/docs/{asset}", include_in_schema=False)
async def docs_asset(asset: str) -> Response:
    """What the pages are made of."""
    if asset == "start.js":
        return Response(START, media_type="text/javascript; charset=utf-8")
    if asset not in ASSETS:
        raise Problem("not_found", f"There is nothing at /docs/{brief(asset, 60)}.")
    kept = {"Cache-Control": "public, max-age=86400"}
    return Response(of_package(asset), headers=kept, media_type=ASSETS[asset])


@cache
def of_package(asset: str) -> bytes:
    """A file of Swagger UI as its package ships it."""
    return (files("fastapi_swagger") / "resources" / asset).read_bytes()


@router.get("/problems/{code}", include_in_schema=False)
async def problem_page(code: str, request: Request) -> Response:
    """What an error's `type` leads to."""
    if code not in CODES:
        raise Problem("not_found", f"There is no error {brief(code, 60)!r}.")
    status, title, cure = CODES[code]
    if not wants_html(request):
        return json(
            {
                "type": f"/problems/{code}",
                "code": code,
                "status": status,
                "title": title,
                "hint": cure,
            }
        )
    return page(title, f"<p><code>{code}</code>, HTTP status {status}.</p><p>{escape(cure)}</p>")

"""The application: the gallery's interface, the inference protocol, the console, health and metrics."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from . import openapi
from .access import OPERATOR, Tokens
from .api import Api
from .guard import Guard, Limits
from .inference import Inference
from .metrics import Metrics
from .routes import METHODS, V2, Operation, no_such_route, routes
from .site import Site

CONSOLE = Path(__file__).with_name("console")


def build(
    site: Site, tokens: Tokens, *, hosts: frozenset[str], origins: frozenset[str], limits: Limits | None = None
) -> ASGIApp:
    """The whole application.

    Args:
        site: what is served.
        tokens: who may do what.
        hosts: the names, with ports, by which this server may be called.
        origins: the pages' origins that may call it.
        limits: what may be asked for.
    """
    metrics = Metrics()

    async def healthy(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def counted(request: Request) -> Response:
        gallery = site.classifier.gallery
        classes = await site.run(gallery.classes)
        gauges = {"classes": len(classes), "examples": sum(one.examples for one in classes)}
        return PlainTextResponse(metrics.text(gauges), media_type="text/plain; version=0.0.4")

    api, inference = Api(site, tokens).operations(), Inference(site, tokens).operations()
    described = openapi.document(api)

    async def documented(request: Request) -> Response:
        return JSONResponse(described)

    async def nowhere(request: Request) -> Response:
        raise HTTPException(404)

    api_metrics = Operation("GET", "/metrics", counted, "Counts for Prometheus", OPERATOR)
    paths: list[BaseRoute] = [
        *routes([*api, *inference, api_metrics], tokens),
        Route("/api/v1/openapi.json", documented),
        Route("/healthz", healthy),
        *(Route(f"{start}/{{rest:path}}", nowhere, methods=METHODS) for start in ("/api", V2)),
        Mount("/", StaticFiles(directory=CONSOLE, html=True)),
    ]
    application = Starlette(routes=paths, exception_handlers={HTTPException: no_such_route})
    return Guard(application, hosts, origins, limits or Limits(), metrics)

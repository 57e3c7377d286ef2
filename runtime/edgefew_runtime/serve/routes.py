"""A route: what is asked, who may ask it, and how it is described; its errors as JSON."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..errors import (
    BundleError,
    ClassConflictError,
    EdgeFewError,
    EnrollmentRefusedError,
    GalleryBusyError,
    GalleryLockedError,
    NothingToUndoError,
    RefinementError,
    RuntimeMissingError,
    UnknownClassError,
)
from .access import AccessError, Tokens
from .guard import RefusedError
from .metrics import ROUTE

V2 = "/v2"
"""Where the Open Inference Protocol stands."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""That a path answers to, if only to say that it does not take them."""

Handler = Callable[[Request], Awaitable[Response]]

_STATUS: tuple[tuple[type[EdgeFewError], int], ...] = (
    (EnrollmentRefusedError, 422),
    (ClassConflictError, 409),
    (NothingToUndoError, 409),
    (RefinementError, 409),
    (UnknownClassError, 404),
    (GalleryLockedError, 423),
    (GalleryBusyError, 503),
    (BundleError, 500),
    (RuntimeMissingError, 500),
)
"""The status of an error; 400 for all others, which are the caller's."""


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        method: GET, POST, …
        path: as Starlette's routes have it.
        handler: what answers.
        summary: for the OpenAPI document.
        role: who may; None for everyone.
        body: media types that it takes, each with its JSON schema.
        query: its query's parameters, each with its JSON schema.
        needed: those that must be given.
        gives: the media type of its answer.
        answer: the JSON schema of a JSON answer.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    role: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    gives: str = "application/json"
    answer: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})

    async def answer_to(self, request: Request, tokens: Tokens) -> Response:
        """The answer, an error's too, after a look at who asks."""
        request.scope[ROUTE] = f"{self.method} {self.path}"
        try:
            if self.role is not None:
                tokens.require(request, self.role)
            return await self.handler(request)
        except EdgeFewError as error:
            return error_response(error)
        except RefusedError as error:
            told = problem(error.status, error.kind, str(error))
            told.headers["connection"] = "close"
            return told
        except (MultiPartException, HTTPException) as error:
            text = str(getattr(error, "detail", None) or getattr(error, "message", None) or error)
            return problem(400, "BodyError", f"The body is not multipart/form-data as expected: {text}")


def routes(operations: Iterable[Operation], tokens: Tokens) -> list[Route]:
    """A route for each path, with all of its methods: what it allows is told in one place."""
    paths: dict[str, dict[str, Operation]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method] = one
    return [_route(path, methods, tokens) for path, methods in paths.items()]


def _route(path: str, methods: Mapping[str, Operation], tokens: Tokens) -> Route:
    async def answered(request: Request) -> Response:
        one = methods.get("GET" if request.method == "HEAD" else request.method)
        if one is None:
            raise HTTPException(405, headers={"Allow": ", ".join(methods)})
        told = await one.answer_to(request, tokens)
        return _plain(told) if told.status_code >= 400 and path.startswith(V2) else told

    return Route(path, answered, methods=METHODS, name=path)


async def no_such_route(request: Request, error: Exception) -> Response:
    """The answer where nothing stands, or another method does."""
    assert isinstance(error, HTTPException)  # noqa: S101  # what it is registered for
    text = f"There is no {request.method} {request.url.path}; /api/v1/openapi.json tells what there is."
    told = problem(error.status_code, "RouteError", text)
    told.headers.update(error.headers or {})
    return _plain(told) if request.url.path.startswith(V2) else told


def problem(status: int, kind: str, message: str, **more: Any) -> JSONResponse:
    """An error's answer."""
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": {"type": kind, "message": message}, **more}, status, headers)


def error_response(error: EdgeFewError) -> JSONResponse:
    """The answer that tells of an error of ours."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 400)
    if isinstance(error, AccessError):
        status = error.status
    more = {"diagnosis": error.diagnosis.to_dict()} if isinstance(error, EnrollmentRefusedError) else {}
    return problem(status, type(error).__name__, str(error), **more)


def _plain(told: Response) -> JSONResponse:
    """An error as the Open Inference Protocol has it: `{"error": TEXT}`."""
    return JSONResponse({"error": json.loads(bytes(told.body))["error"]["message"]}, told.status_code)

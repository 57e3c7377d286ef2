"""A route: what is asked, who may ask it, and how it is described; its errors as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
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
    RuntimeMissingError,
    UnknownClassError,
)
from .access import AccessError, Tokens
from .guard import RefusedError
from .metrics import ROUTE

Handler = Callable[[Request], Awaitable[Response]]

_STATUS: tuple[tuple[type[EdgeFewError], int], ...] = (
    (EnrollmentRefusedError, 422),
    (ClassConflictError, 409),
    (NothingToUndoError, 409),
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
    gives: str = "application/json"
    answer: Mapping[str, Any] = field(default_factory=lambda: {"type": "object"})

    def route(self, tokens: Tokens, in_v2: bool = False) -> Route:
        """It, as a route that checks who asks and tells errors as JSON.

        Args:
            tokens: who may do what.
            in_v2: errors as the Open Inference Protocol has them: `{"error": TEXT}`.
        """

        async def answered(request: Request) -> Response:
            request.scope[ROUTE] = f"{self.method} {self.path}"
            try:
                if self.role is not None:
                    tokens.require(request, self.role)
                return await self.handler(request)
            except EdgeFewError as error:
                told = error_response(error)
            except RefusedError as error:
                told = problem(error.status, error.kind, str(error))
                told.headers["connection"] = "close"
            except (MultiPartException, HTTPException) as error:
                text = str(getattr(error, "detail", None) or getattr(error, "message", None) or error)
                told = problem(400, "BodyError", f"The body is not multipart/form-data as expected: {text}")
            return _plain(told) if in_v2 else told

        return Route(self.path, answered, methods=[self.method], name=f"{self.method} {self.path}")


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


def _plain(told: JSONResponse) -> JSONResponse:
    import json

    message = json.loads(bytes(told.body))["error"]["message"]
    return JSONResponse({"error": message}, told.status_code)

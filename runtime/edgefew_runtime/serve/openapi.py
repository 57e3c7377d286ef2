"""The OpenAPI document of the gallery's interface, made from its operations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from . import schemas
from .routes import Operation

_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")
_REFUSALS = {
    "400": "The request is not as expected; the message says how.",
    "401": "No known token.",
    "403": "The token's role may not.",
    "404": "No such class, example or path.",
    "405": "The path does not take this method.",
    "408": "The body took too long to come.",
    "409": "It conflicts with what is enrolled, or there is nothing to undo.",
    "413": "The body is too large.",
    "422": "Something looks wrong with a frame, and `strict` was asked for.",
    "423": "The gallery is locked.",
    "429": "Too many requests from this address.",
    "503": "Too many requests are in work.",
}


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        path = _PARAMETER.sub(r"{\1}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = _described(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "EdgeFew: a gallery on site", "version": metadata.version("edgefew-runtime")},
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": schemas.ERROR},
        },
    }


def _described(one: Operation) -> dict[str, Any]:
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 0} if kind == "int" else schemas.TEXT,
        }
        for name, kind in _PARAMETER.findall(one.path)
    ]
    parameters += [
        {"name": name, "in": "query", "required": name in one.needed, "schema": schema}
        for name, schema in one.query.items()
    ]
    refused = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    content = {one.gives: {"schema": one.answer} if one.gives == "application/json" else {}}
    told: dict[str, Any] = {
        "summary": one.summary,
        "operationId": f"{one.method.lower()} {one.path}",
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done.", "content": content},
            **{status: {"description": text, "content": refused} for status, text in _REFUSALS.items()},
        },
        "security": [{"token": []}] if one.role else [],
        "x-role": one.role,
    }
    if one.body:
        told["requestBody"] = {"content": dict(one.body)}
    return told

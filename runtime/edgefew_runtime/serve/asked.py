"""What a request says: its frames, flags and names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..errors import EdgeFewError, FrameError
from ..frames import Frame
from .site import Site

MOST_FRAMES = 200
"""In one request."""

_LONGEST_ACTOR = 200

FramesWork = Callable[[list[Frame], dict[str, str]], dict[str, Any]]
"""What is done with the frames of a form and its other fields."""


class RequestError(EdgeFewError):
    """A request lacks something, or says what it cannot."""


async def with_frames(request: Request, site: Site, work: FramesWork) -> Response:
    """The answer of the work to the frames in a form."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise RequestError("A body of multipart/form-data was expected, with files under the name frames.")
    async with request.form(max_files=MOST_FRAMES, max_fields=20) as form:
        text = {name: value for name, value in form.items() if isinstance(value, str)}
        files = [
            (value.filename or "frame", await value.read())
            for name, value in form.multi_items()
            if name == "frames" and isinstance(value, UploadFile)
        ]
    if not files:
        raise FrameError("No frame was given: at least one file under the name frames was expected.")

    def done() -> dict[str, Any]:
        spec = site.classifier.bundle.manifest.input
        return work([spec.load_file(data, _base(name)) for name, data in files], text)

    return JSONResponse(await site.run(done))


async def json_object(request: Request) -> dict[str, Any]:
    """The JSON object of the body; an empty one without a body."""
    try:
        told = await request.json() if await request.body() else {}
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise RequestError("A JSON object was expected as the body.")
    return told


def needed(told: dict[str, Any], name: str) -> str:
    """A text that must be there."""
    value = told.get(name)
    if not isinstance(value, str):
        raise RequestError(f"{name} is missing or no text.")
    return value


def actor_of(told: dict[str, Any]) -> str:
    """Who asks, for the log."""
    name = told.get("by", "")
    if not isinstance(name, str) or len(name) > _LONGEST_ACTOR or not name.isprintable():
        raise RequestError(f"by must be a name of at most {_LONGEST_ACTOR} characters.")
    return name


def flag(text: str | None) -> bool:
    """Whether it says true."""
    if text not in (None, "", "0", "1", "false", "true"):
        raise RequestError(f"{text!r} was given; true or false was expected.")
    return text in ("1", "true")


def whole(request: Request, name: str, default: int, most: int) -> int:
    """A whole number of the query, from 1 to `most`."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= most):
        raise RequestError(f"{name} is {text!r}; a whole number from 1 to {most} was expected.")
    return int(text)


def _base(name: str) -> str:
    """A file's name without folders, of characters that can be shown."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1][:200]
    return "".join(sign if sign.isprintable() else "?" for sign in last) or "frame"

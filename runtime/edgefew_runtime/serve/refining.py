"""Unlabelled frames over the gallery's interface: `/api/v1/refine`."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..classifier import Refined
from ..frames import Frame
from ..refinement import reported_gain
from . import schemas
from .access import OPERATOR, TEACHER
from .asked import actor_of, flag, with_frames
from .routes import Operation
from .site import Site

_PATH = "/api/v1/refine"


class Refining:
    """Frames of one site whose class nobody said: given, counted, taken out."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def operations(self) -> list[Operation]:
        """All of them."""
        given = schemas.frames({"replace": schemas.FLAG}, [])
        return [
            Operation(
                "GET",
                _PATH,
                self.told,
                "As how many examples unlabelled frames count in each class",
                OPERATOR,
                answer=schemas.REFINED,
            ),
            Operation(
                "POST",
                _PATH,
                self.refine,
                "Refine the classes by unlabelled frames, all or none",
                TEACHER,
                given,
                answer=schemas.REFINED,
            ),
            Operation(
                "DELETE",
                _PATH,
                self.clear,
                "Take out all unlabelled frames",
                TEACHER,
                query={"erase": schemas.FLAG, "by": schemas.NAME},
            ),
        ]

    async def told(self, request: Request) -> Response:
        """What there is."""
        return JSONResponse(
            await self._site.run(lambda: self._counts(Refined((), (), *self._site.classifier.refined())))
        )

    async def refine(self, request: Request) -> Response:
        """Unlabelled frames, beside those that were given before or in their place."""

        def refined(frames: list[Frame], text: dict[str, str]) -> dict[str, Any]:
            replace, keep = flag(text.get("replace")), self._site.keep_frames
            return self._counts(self._site.classifier.refine(frames, actor_of(text), keep_frames=keep, replace=replace))

        return await with_frames(request, self._site, refined)

    async def clear(self, request: Request) -> Response:
        """No unlabelled frames any more."""
        gallery, query = self._site.classifier.gallery, request.query_params
        work = gallery.erase_unlabelled if flag(query.get("erase")) else gallery.clear_unlabelled
        return JSONResponse({"unlabelled": await self._site.run(work, actor_of(dict(query)))})

    def _counts(self, result: Refined) -> dict[str, Any]:
        classifier = self._site.classifier
        return {
            **result.to_dict(),
            "unlabelled": len(classifier.gallery.unlabelled()),
            "reported": reported_gain(classifier.bundle.report()),
        }

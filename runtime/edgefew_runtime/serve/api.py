"""The interface to the gallery: `/api/v1`."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..classifier import Classifier
from ..errors import NothingToUndoError
from ..frames import Frame
from ..gallery import Gallery
from ..leave_one_out import leave_one_out
from ..operating_point import strangers_needed
from . import schemas
from .access import OPERATOR, TEACHER, Tokens
from .asked import RequestError, actor_of, flag, json_object, needed, whole, with_frames
from .refining import Refining
from .routes import Operation
from .site import Site

RATES = (0.001, 0.01, 0.05, 0.2)

_PAGE = 1000


class Api:
    """The operations on one site."""

    def __init__(self, site: Site, tokens: Tokens) -> None:
        self._site, self._tokens = site, tokens

    def operations(self) -> list[Operation]:
        """All of them."""
        name = "/api/v1/classes/{label:path}"
        by = {"by": schemas.NAME}
        erase = {"erase": schemas.FLAG, **by}
        return [
            Operation(
                "GET", "/api/v1/status", self.status, "Bundle, gallery, the caller's role", answer=schemas.STATUS
            ),
            Operation(
                "POST",
                "/api/v1/classify",
                self.classify,
                "What one frame is taken for",
                OPERATOR,
                schemas.ONE_FRAME,
                {"map": schemas.FLAG},
                answer=schemas.ANSWER,
            ),
            Operation(
                "POST",
                "/api/v1/enroll",
                self.enroll,
                "Add examples of a class, all or none; or say what would become of it",
                TEACHER,
                schemas.frames({"label": schemas.LABEL, "dry_run": schemas.FLAG, "strict": schemas.FLAG}, ["label"]),
            ),
            Operation(
                "POST",
                "/api/v1/reject",
                self.reject,
                "Remember that these frames are not of a class",
                TEACHER,
                schemas.frames({"label": schemas.LABEL}, ["label"]),
            ),
            Operation("GET", "/api/v1/classes", self.classes, "The enrolled classes", OPERATOR),
            Operation(
                "GET",
                "/api/v1/examples",
                self.examples,
                "The examples of a class",
                OPERATOR,
                query={"label": schemas.LABEL},
                needed=("label",),
            ),
            Operation("PATCH", name, self.rename, "Give a class another name", TEACHER, schemas.RENAME),
            Operation(
                "DELETE", name, self.forget, "Forget a class; or erase what there is of it", TEACHER, query=erase
            ),
            Operation("DELETE", "/api/v1/examples/{id:int}", self.remove, "Take out an example", TEACHER, query=erase),
            Operation(
                "GET",
                "/api/v1/examples/{id:int}/thumbnail",
                self.thumbnail,
                "The frame of an example, if it was kept, small",
                OPERATOR,
                gives="image/jpeg",
            ),
            Operation("POST", "/api/v1/undo", self.undo, "Take back the last change", TEACHER, schemas.BY),
            Operation(
                "GET",
                "/api/v1/log",
                self.log,
                "The log, the newest first",
                OPERATOR,
                query={"limit": schemas.COUNT, "before": schemas.COUNT},
            ),
            Operation("GET", "/api/v1/log/verify", self.verify, "Whether the log's chain holds", OPERATOR),
            Operation(
                "GET",
                "/api/v1/promise",
                self.promise,
                "What can be promised at false-accept rates",
                OPERATOR,
                query={"rates": schemas.TEXT},
            ),
            Operation(
                "PUT",
                "/api/v1/operating-point",
                self.operating_point,
                "Answer with another promise from now on",
                TEACHER,
                schemas.RATE,
            ),
            Operation(
                "POST",
                "/api/v1/strangers",
                self.strangers,
                "Keep frames that are of no class, to measure promises on",
                TEACHER,
                schemas.frames({}, []),
            ),
            Operation("DELETE", "/api/v1/strangers", self.clear, "Take out all strangers", TEACHER, query=erase),
            *Refining(self._site).operations(),
            Operation("GET", "/api/v1/map", self.map, "The embeddings in two dimensions", OPERATOR),
            Operation(
                "GET",
                "/api/v1/packs",
                self.share,
                "A class pack of these classes, or of all",
                TEACHER,
                query={"label": schemas.LABEL},
                gives="application/vnd.sqlite3",
            ),
            Operation(
                "POST", "/api/v1/packs", self.merge, "Add the classes of a class pack", TEACHER, schemas.PACK, by
            ),
        ]

    @property
    def _classifier(self) -> Classifier:
        return self._site.classifier

    @property
    def _gallery(self) -> Gallery:
        return self._site.classifier.gallery

    async def status(self, request: Request) -> Response:
        """Bundle, gallery, role; without a token only what a page needs to ask for one."""
        role = self._tokens.role(request)
        return JSONResponse(await self._site.run(self._status, role))

    def _status(self, role: str | None) -> dict[str, Any]:
        bundle = self._classifier.bundle
        told: dict[str, Any] = {
            "role": role,
            "bundle": {"name": bundle.path.stem, "id": bundle.id},
            "gallery": {"revision": ""},
        }
        if role is None:
            return told
        classes, promised = self._gallery.classes(), self._classifier.promise()
        told["bundle"] |= {
            "variant": self._classifier.variant,
            "kind": bundle.manifest.input.kind,
            "input": bundle.manifest.input.to_dict(),
            "dimension": bundle.manifest.dimension,
        }
        told["gallery"] = {
            "revision": self._site.revision(),
            "classes": len(classes),
            "examples": sum(one.examples for one in classes),
        }
        return told | {
            "locked": self._gallery.locked,
            "keep_frames": self._site.keep_frames,
            "promise": None if promised is None else promised.to_dict(),
        }

    async def classify(self, request: Request) -> Response:
        """What the frame in the body is taken for; with `map`, also where it lies."""
        body = await request.body()
        return JSONResponse(await self._site.run(self._classify, body, flag(request.query_params.get("map"))))

    def _classify(self, body: bytes, placed: bool) -> dict[str, Any]:
        classifier = self._classifier
        frame = classifier.bundle.manifest.input.load_file(body, "the frame")
        if not placed:
            return classifier.classify(frame).to_dict()
        (embedding,) = classifier.embed([frame])
        return classifier.answer(embedding).to_dict() | {"point": self._site.plane().place(embedding)}

    async def enroll(self, request: Request) -> Response:
        """Examples of a class."""

        def enrolled(frames: list[Frame], text: dict[str, str]) -> dict[str, Any]:
            dry_run = flag(text.get("dry_run"))
            result = self._classifier.enroll(
                needed(text, "label"),
                frames,
                actor_of(text),
                strict=flag(text.get("strict")),
                keep_frames=self._site.keep_frames,
                dry_run=dry_run,
            )
            return {"dry_run": dry_run, **result.to_dict()}

        return await with_frames(request, self._site, enrolled)

    async def reject(self, request: Request) -> Response:
        """What a class is not."""

        def rejected(frames: list[Frame], text: dict[str, str]) -> dict[str, Any]:
            label, keep = needed(text, "label"), self._site.keep_frames
            return self._classifier.reject(label, frames, actor_of(text), keep_frames=keep).to_dict()

        return await with_frames(request, self._site, rejected)

    async def strangers(self, request: Request) -> Response:
        """Frames of no class."""

        def kept(frames: list[Frame], text: dict[str, str]) -> dict[str, Any]:
            return self._classifier.calibrate(frames, actor_of(text), keep_frames=self._site.keep_frames).to_dict()

        return await with_frames(request, self._site, kept)

    async def classes(self, request: Request) -> Response:
        """The classes, each with how many of its examples are recognised when left out."""
        return JSONResponse(await self._site.run(self._classes))

    def _classes(self) -> dict[str, Any]:
        result = leave_one_out(self._gallery.content())
        judged, right = Counter[str](), Counter[str]()
        taken_for: dict[str, Counter[str]] = {}
        for label, counts, known, other in zip(
            result.labels, result.judged.tolist(), result.right.tolist(), result.nearest, strict=True
        ):
            judged[label] += counts
            right[label] += counts and known
            if counts and not known and other is not None:
                taken_for.setdefault(label, Counter())[other] += 1
        return {
            "classes": [
                {
                    **one.to_dict(),
                    "judged": judged[one.label],
                    "recognised": right[one.label],
                    "confused_with": taken_for[one.label].most_common(1)[0][0] if one.label in taken_for else None,
                }
                for one in self._gallery.classes()
            ]
        }

    async def examples(self, request: Request) -> Response:
        """What a class has been shown."""
        label = needed(dict(request.query_params), "label")
        found = await self._site.run(self._gallery.examples, label)
        return JSONResponse({"examples": [one.to_dict() for one in found]})

    async def rename(self, request: Request) -> Response:
        """Another name."""
        told, label = await json_object(request), request.path_params["label"]
        await self._site.run(self._gallery.rename, label, needed(told, "label"), actor_of(told))
        return JSONResponse({"label": told["label"]})

    async def forget(self, request: Request) -> Response:
        """A class less."""
        work = self._gallery.erase if flag(request.query_params.get("erase")) else self._gallery.forget
        count = await self._site.run(work, request.path_params["label"], actor_of(dict(request.query_params)))
        return JSONResponse({"label": request.path_params["label"], "examples": count})

    async def remove(self, request: Request) -> Response:
        """An example less."""
        number, actor = request.path_params["id"], actor_of(dict(request.query_params))
        if flag(request.query_params.get("erase")):
            example, _ = await self._site.run(self._gallery.erase_example, number, actor)
        else:
            example = await self._site.run(self._gallery.remove, number, actor)
        return JSONResponse(example.to_dict())

    async def thumbnail(self, request: Request) -> Response:
        """A kept frame, small, as JPEG."""
        found = await self._site.run(self._thumbnail, request.path_params["id"])
        if found is None:
            return JSONResponse({"error": {"type": "UnknownClassError", "message": "No picture was kept of it."}}, 404)
        return Response(found, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    def _thumbnail(self, number: int) -> bytes | None:
        from .thumbnails import thumbnail

        return thumbnail(self._gallery, number)

    async def undo(self, request: Request) -> Response:
        """The last change, taken back; only if the gallery still is as `revision` says, where that is given."""
        told = await json_object(request)

        def undone() -> dict[str, Any]:
            if told.get("revision") not in (None, self._site.revision()):
                raise NothingToUndoError("The gallery has changed since; look at the log first. Nothing was undone.")
            return self._classifier.undo(actor_of(told)).to_dict()

        return JSONResponse(await self._site.run(undone))

    async def log(self, request: Request) -> Response:
        """A page of events."""
        limit = whole(request, "limit", 100, _PAGE)
        before = whole(request, "before", 2**62, 2**62)
        events = [event for event in await self._site.run(self._gallery.log) if event.id < before]
        return JSONResponse({"events": [event.to_dict() for event in reversed(events[-limit:])]})

    async def verify(self, request: Request) -> Response:
        """The chain, from its first event."""
        problems = await self._site.run(self._gallery.problems)
        return JSONResponse({"events": len(await self._site.run(self._gallery.log)), "problems": problems})

    async def promise(self, request: Request) -> Response:
        """Rates, and whether each can be promised."""
        text = request.query_params.get("rates")
        try:
            rates = RATES if text is None else tuple(float(part) for part in text.split(","))
        except ValueError:
            raise RequestError(f"rates is {text!r}; numbers with commas between them were expected.") from None
        if len(rates) > 20:
            raise RequestError(f"{len(rates)} rates were asked for; at most 20 at once.")
        return JSONResponse({"promises": await self._site.run(self._promises, rates)})

    def _promises(self, rates: tuple[float, ...]) -> list[dict[str, Any]]:
        result = leave_one_out(self._gallery.content())
        judged, right, held = int(result.judged.sum()), result.own[result.right], len(self._gallery.strangers())
        told = []
        for rate in rates:
            one = self._classifier.at_rate(rate).promise()
            assert one is not None  # noqa: S101
            recognised = None if one.threshold is None else int((right >= one.threshold).sum())
            needed = strangers_needed(rate)
            counts = {"strangers": held, "strangers_needed": needed, "judged": judged, "recognised": recognised}
            told.append({**one.to_dict(), **counts})
        return told

    async def operating_point(self, request: Request) -> Response:
        """Another rate, for all who ask."""
        told = await json_object(request)
        rate = told.get("false_accept_rate", 0)
        if rate is not None and (
            isinstance(rate, bool) or not isinstance(rate, (int, float)) or not math.isfinite(rate)
        ):
            raise RequestError(f"false_accept_rate is {rate!r}; a number or null (always answer) was expected.")
        promised = await self._site.run(self._site.set_rate, rate)
        return JSONResponse({"promise": None if promised is None else promised.to_dict()})

    async def clear(self, request: Request) -> Response:
        """No strangers any more."""
        work = self._gallery.erase_strangers if flag(request.query_params.get("erase")) else self._gallery.clear
        return JSONResponse({"strangers": await self._site.run(work, actor_of(dict(request.query_params)))})

    async def map(self, request: Request) -> Response:
        """Where the examples lie."""
        return JSONResponse({"points": (await self._site.run(self._site.plane)).points})

    async def share(self, request: Request) -> Response:
        """A class pack."""
        labels = request.query_params.getlist("label") or None

        def packed() -> bytes:
            with tempfile.TemporaryDirectory() as folder:
                pack = Path(folder, "classes.pack")
                self._gallery.share(pack, labels)
                return pack.read_bytes()

        headers = {"content-disposition": 'attachment; filename="classes.pack"'}
        return Response(await self._site.run(packed), media_type="application/vnd.sqlite3", headers=headers)

    async def merge(self, request: Request) -> Response:
        """The classes of a pack."""
        body, actor = await request.body(), actor_of(dict(request.query_params))

        def merged() -> dict[str, Any]:
            with tempfile.TemporaryDirectory() as folder:
                pack = Path(folder, "classes.pack")
                pack.write_bytes(body)
                with Gallery(pack, self._gallery.bundle_id, self._gallery.dimension) as other:
                    return self._gallery.merge(other, actor).to_dict()

        if not body:
            raise RequestError("The body is empty; the bytes of a class pack were expected.")
        return JSONResponse(await self._site.run(merged))

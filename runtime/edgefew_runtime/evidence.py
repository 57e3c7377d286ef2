"""What is known about a gallery, for a file that a quality engineer can keep: as JSON, and as a page made from it."""

from __future__ import annotations

import html
import math
import platform
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from . import head
from .bundle import Bundle
from .errors import EdgeFewError, GalleryError
from .gallery import Gallery
from .leave_one_out import LeaveOneOut, leave_one_out
from .operating_point import promise
from .watch_file import read_watch

FORMAT = 1
IS_NOT = (
    "This is a record of what is in a gallery and of what its own examples say about it.",
    "It is no medical device, no clinical evaluation, and no claim of compliance with any law or standard.",
    "Leaving out one of a few examples, often of one source, does not show how new data will be recognised: "
    "accuracy must be measured on data that took no part in enrolment.",
    "The log's chain shows changes by other means only to someone who knows its last hash from elsewhere: who can "
    "write the file can write a whole new chain. Names in it are as the caller gave them.",
)


def evidence(
    bundle: Bundle, gallery: Gallery, at: datetime, false_accept_rate: float, watch: Path | None = None
) -> dict[str, Any]:
    """The record of a gallery, ready for JSON; without results if the gallery does not hold together.

    Args:
        bundle: what the gallery belongs to.
        gallery: it.
        at: the time of the record, UTC.
        false_accept_rate: the rate whose promise is told.
        watch: a file of `edgefew classify --watch`.

    Raises:
        GalleryError: somebody changed the gallery meanwhile.
        EdgeFewError: the rate cannot be; the watch is none, or of another bundle or gallery.
    """
    before = gallery.version()
    try:
        problems = gallery.problems()
    except EdgeFewError as error:  # so damaged that it cannot be examined
        problems = [str(error)]
    document: dict[str, Any] = {
        "format": FORMAT,
        "made_at": at.isoformat(),
        "is_not": list(IS_NOT),
        "versions": {"edgefew-runtime": version("edgefew-runtime"), "python": platform.python_version()},
        "bundle": {"id": bundle.id, "file": bundle.path.name},
        "verified": not problems,
        "problems": problems,
    }
    if not problems:
        document |= _results(bundle, gallery, false_accept_rate)
        document["drift"] = None if watch is None else _drift(watch, bundle.id, document["gallery"]["id"])
    if gallery.version() != before:
        raise GalleryError("The gallery was changed while it was examined. Nothing was written; try again.")
    return document


def wilson(hits: int, of: int) -> tuple[float, float] | None:
    """The 95 % interval of a share (Wilson 1927); None of nothing.

    >>> [round(end, 3) for end in wilson(5, 5)]
    [0.566, 1.0]
    """
    if not of:
        return None
    z = 1.959964
    centre, half = hits + z * z / 2, z * math.sqrt(hits * (of - hits) / of + z * z / 4)
    return max(0.0, (centre - half) / (of + z * z)), min(1.0, (centre + half) / (of + z * z))


def page(document: Mapping[str, Any]) -> str:
    """The record as one HTML page: no scripts, nothing loaded, everything escaped."""
    style = (
        "body{font:15px/1.5 system-ui,sans-serif;max-width:84em;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse;margin:.4em 0}td,th{border:1px solid #bbb;padding:.2em .6em;text-align:left;"
        "vertical-align:top;overflow-wrap:anywhere;min-width:2.8em}"
        "th{white-space:nowrap;overflow-wrap:normal}table table{font-size:.9em}"
    )
    verdict = "holds together" if document["verified"] else "DOES NOT hold together"
    parts = (f"<h2>{_text(name)}</h2>{_shown(value)}" for name, value in document.items() if name != "format")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Evidence</title><style>{style}</style>'
        f"<h1>Evidence: the gallery {verdict}</h1>{''.join(parts)}</html>\n"
    )


def _results(bundle: Bundle, gallery: Gallery, rate: float) -> dict[str, Any]:
    log = gallery.log()
    by = {(e["source_sha256"], event.at): event for event in log for part in event.added() for e in part[2]}
    promised = promise(bundle.manifest.operating_points, gallery.task(), rate)
    threshold = math.inf if promised.threshold is None else promised.threshold
    return {
        "gallery": {
            "id": log[0].sha256,
            "locked": gallery.locked,
            "strangers": len(gallery.examples(None)),
            "unlabelled": len(gallery.unlabelled()),
        },
        "promise": promised.to_dict(),
        "classes": list(_classes(gallery, by, threshold)),
        "log": {
            "head_sha256": log[-1].sha256,
            "events": [
                {"id": e.id, "at": e.at, "actor": e.actor, "what": e.describe(), "sha256": e.sha256} for e in log
            ],
        },
    }


def _classes(gallery: Gallery, by: Mapping[tuple[str, str], Any], threshold: float) -> Iterator[dict[str, Any]]:
    content, scores, task = gallery.content(), leave_one_out(gallery.content()), gallery.task()
    alike = head.cosine_scores(task.prototypes, task.prototypes) if task.labels else np.empty((0, 0), np.float32)
    np.fill_diagonal(alike, head.ABSENT)
    first = 0
    for place, label in enumerate(content):
        shas = [e.source_sha256 for e in content[label] if not e.negative]
        rows = {sha: _example(scores, first + i) for i, sha in enumerate(shas)}
        first += len(shas)
        judged = [row for row in rows.values() if row["own"] is not None]
        margins = [row["margin"] for row in judged if row["margin"] is not None]
        right = sum(row["right"] for row in judged)
        near = int(alike[place].argmax())
        yield {
            "label": label,
            "leave_one_out": {
                "judged": len(judged),
                "right": right,
                "right_95": wilson(right, len(judged)),
                "right_and_known": sum(row["right"] and row["own"] >= threshold for row in judged),
                "least_margin": min(margins, default=None),
                "median_margin": float(np.median(margins)) if margins else None,
            },
            "nearest_class": None
            if len(content) < 2
            else {"label": task.labels[near], "cosine": float(alike[place, near])},
            "examples": [
                {
                    **held.to_dict(),
                    "enrolled_by": by[held.source_sha256, held.enrolled_at].actor,
                    "event": by[held.source_sha256, held.enrolled_at].id,
                    **({} if held.rejected else rows[held.source_sha256]),
                }
                for held in gallery.examples(label)
            ],
        }


def _example(scores: LeaveOneOut, number: int) -> dict[str, Any]:
    own = None if np.isnan(scores.own[number]) else float(scores.own[number])
    other = None if scores.nearest[number] is None else float(scores.other[number])
    return {
        "own": own,
        "other": other,
        "nearest": scores.nearest[number],
        "margin": None if own is None or other is None else own - other,
        "right": bool(scores.right[number]),
    }


def _drift(file: Path, bundle: str, gallery: str) -> dict[str, Any]:
    watched, status = read_watch(file)
    if (watched.bundle_id, watched.gallery) != (bundle, gallery):
        raise EdgeFewError(f"{file} is the watch of another bundle or gallery. Give the one of these.")
    return {"false_accept_rate": watched.false_accept_rate, **status.to_dict()}


def _text(value: Any) -> str:
    shown = f"{value:.3f}" if isinstance(value, float) else str(value).replace("_", " ")
    return html.escape({"None": "–", "True": "yes", "False": "no"}.get(shown, shown))


def _shown(value: Any) -> str:
    """Any JSON value: objects as tables, lists of alike objects as one table, or one each where they hold others."""
    if isinstance(value, Mapping):
        rows = (f"<tr><th>{_text(key)}<td>{_shown(item)}" for key, item in value.items())
        return f"<table>{''.join(rows)}</table>"
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        if any(isinstance(held, (Mapping, list)) for item in value for held in item.values()):
            return "".join(map(_shown, value))  # side by side, columns would be a letter wide
        names = list(dict.fromkeys(key for item in value for key in item))
        heading = "".join(f"<th>{_text(name)}" for name in names)
        rows = ("<tr>" + "".join(f"<td>{_shown(item.get(name))}" for name in names) for item in value)
        return f"<table><tr>{heading}{''.join(rows)}</table>"
    if isinstance(value, (list, tuple)):
        return "<br>".join(map(_shown, value)) or "–"
    return html.escape(value) if isinstance(value, str) else _text(value)

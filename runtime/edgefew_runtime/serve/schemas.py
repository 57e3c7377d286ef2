"""JSON schemas of what the gallery's interface takes and gives."""

from __future__ import annotations

from typing import Any

TEXT = {"type": "string"}
LABEL = {"type": "string", "minLength": 1, "maxLength": 200}
"""Characters that can be shown, as are those of a name."""

NAME = {"type": "string", "maxLength": 200}
FLAG = {"type": "string", "enum": ["true", "false", "1", "0", ""]}
COUNT = {"type": "integer", "minimum": 1}
_NUMBER_OR_NULL = {"type": ["number", "null"]}
_TEXT_OR_NULL = {"type": ["string", "null"]}

ANSWER = {
    "type": "object",
    "required": ["label", "probability", "score", "known", "runner_up", "margin", "threshold", "labels"],
    "properties": {
        "label": _TEXT_OR_NULL,
        "probability": {"type": "number"},
        "score": _NUMBER_OR_NULL,
        "known": {"type": "boolean"},
        "runner_up": _TEXT_OR_NULL,
        "margin": _NUMBER_OR_NULL,
        "threshold": _NUMBER_OR_NULL,
        "labels": {"type": ["array", "null"], "items": TEXT},
        "point": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    },
}
STATUS = {
    "type": "object",
    "required": ["role", "bundle", "gallery"],
    "properties": {"role": _TEXT_OR_NULL, "bundle": {"type": "object"}, "gallery": {"type": "object"}},
}
REFINED = {
    "type": "object",
    "required": ["accepted", "skipped", "taken", "of_no_class", "unlabelled", "reported"],
    "properties": {
        "accepted": {"type": "array", "items": TEXT},
        "skipped": {"type": "array", "items": TEXT},
        "taken": {"type": "object", "additionalProperties": {"type": "number"}},
        "of_no_class": {"type": "number", "minimum": 0},
        "frames_added": {"type": "integer", "minimum": 0},
        "unlabelled": {"type": "integer", "minimum": 0},
        "reported": {"type": ["object", "null"]},
    },
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "object", "required": ["type", "message"], "properties": {"type": TEXT, "message": TEXT}}
    },
}
_FILE = {"type": "string", "format": "binary"}
ONE_FRAME = {"application/octet-stream": {"schema": _FILE}, "image/*": {"schema": _FILE}}
PACK = {"application/octet-stream": {"schema": _FILE}}


def _json(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"application/json": {"schema": {"type": "object", "required": required, "properties": properties}}}


RENAME = _json(["label"], label=LABEL, by=NAME)
BY = _json([], by=NAME, revision=_TEXT_OR_NULL)
RATE = _json(["false_accept_rate"], false_accept_rate=_NUMBER_OR_NULL)


def frames(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """A form with frames, who gives them, and these further properties."""
    schema = {
        "type": "object",
        "required": ["frames", *required],
        "properties": {"frames": {"type": "array", "items": _FILE, "minItems": 1}, "by": NAME, **properties},
    }
    return {"multipart/form-data": {"schema": schema}}

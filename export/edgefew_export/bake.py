"""A bundle and its enrolled classes as one ONNX file: frames in, the index of a class and probabilities out.

The arithmetic is that of `edgefew_runtime.answer.Decision`, with the prototypes, the threshold and the negatives as
constants. For hosts that recognise and never learn: one file, one call, no state.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.compose
import onnx.parser
from edgefew_runtime import Bundle, ExportError, Gallery, GalleryFormatError, Promise, Task, head
from edgefew_runtime.answer import Answer, Decision
from edgefew_runtime.new_file import new_file
from edgefew_runtime.operating_point import promise
from edgefew_runtime.selftest import check_golden
from edgefew_runtime.session import OrtSession, Session
from onnx import numpy_helper

from .graphs import serialize

ROLE = "recognise"

MAX_ERROR = 1e-5
"""The most by which a score of the baked file may differ from the runtime's.

A probability may by scale / 2 times as much: when one score rises and the others fall, that is how fast it grows.
"""

_ALWAYS = -1.5
"""A threshold that every cosine passes, and a class that it cannot be (-2) does not."""

_BEGIN = """
<ir_version: 8, opset_import: ["": 18]>
recognise (float[n, d] embeddings, float[d, {classes}] prototypes, bool[1, {classes}] present, float threshold,
           float scale{inputs}) => (int64[n] label, float[n, {classes}] probabilities, float[n, {classes}] scores)
<
    int64[1] columns = {{1}}, int64 unknown = {{-1}}, float nothing = {{0.0}},
    float shortest = {{1e-12}}, float longest = {{1e18}}, float absent = {{-2.0}}, float absent_logit = {{-1e30}}
>
{{
    norm = ReduceL2 <keepdims: int = 1> (embeddings, columns)
    long_enough = Greater (norm, shortest)
    short_enough = Less (norm, longest)
    has_direction = And (long_enough, short_enough)
    safe_embeddings = Where (has_direction, embeddings, nothing)
    cosines = MatMul (safe_embeddings, prototypes)
    may_be = And (has_direction, present)
"""

# Example j is of the class that example_class[0, j] names. What has no negatives keeps -4 against -3, and is not
# rejected.
_INPUTS = """, float[d, k] examples, float[d, m] negatives, int64[1, k] example_class, int64[1, m] negative_class,
           float[1, {classes}] no_example, float[1, {classes}] no_negative"""
_NEGATIVES = """
    to_examples = MatMul (safe_embeddings, examples)
    to_negatives = MatMul (safe_embeddings, negatives)
    example_shape = Shape (to_examples)
    negative_shape = Shape (to_negatives)
    cosine_shape = Shape (cosines)
    example_columns = Expand (example_class, example_shape)
    negative_columns = Expand (negative_class, negative_shape)
    no_example_rows = Expand (no_example, cosine_shape)
    no_negative_rows = Expand (no_negative, cosine_shape)
    nearest_example = ScatterElements <axis: int = 1, reduction: string = "max">
        (no_example_rows, example_columns, to_examples)
    nearest_negative = ScatterElements <axis: int = 1, reduction: string = "max">
        (no_negative_rows, negative_columns, to_negatives)
    not_rejected = Less (nearest_negative, nearest_example)
    possible = And (may_be, not_rejected)
"""
_NO_NEGATIVES = """
    possible = Identity (may_be)
"""
_NO_EXAMPLE, _NO_NEGATIVE = -3.0, -4.0

_END = """
    scores = Where (possible, cosines, absent)
    scaled = Mul (cosines, scale)
    logits = Where (possible, scaled, absent_logit)
    shares = Softmax <axis: int = 1> (logits)
    probabilities = Where (possible, shares, nothing)
    best = ArgMax <axis: int = 1, keepdims: int = 0> (scores)
    top = ReduceMax <keepdims: int = 0> (scores, columns)
    known = GreaterOrEqual (top, threshold)
    label = Where (known, best, unknown)
}
"""


@dataclass(frozen=True)
class Baked:
    """What a bundle and a gallery were baked into.

    Attributes:
        model: the ONNX file.
        labels: the classes' names; a label's place is its index.
        bundle_id: of the bundle.
        gallery_event: hash of the gallery's last event, and so of its whole history.
        promise: what makes an answer known; None where the file always answers.
    """

    model: bytes
    labels: tuple[str, ...]
    bundle_id: str
    gallery_event: str
    promise: Promise | None

    def to_dict(self) -> dict[str, Any]:
        """As `edgefew bake --json` prints it, without the file; in the file's metadata likewise."""
        return _described(self.labels, self.bundle_id, self.gallery_event, self.promise)


def bake(bundle: Bundle, gallery: Gallery, false_accept_rate: float | None) -> Baked:
    """The classes of a gallery, baked into the bundle's network; the same gallery gives the same bytes.

    Args:
        bundle: the bundle that the gallery was made with.
        gallery: at least one class is enrolled.
        false_accept_rate: the share of frames of things not enrolled that may get a label; None never says unknown.

    Raises:
        ExportError: nothing is enrolled, the rate cannot be promised, or the file differs from the runtime.
        GalleryFormatError: the gallery is damaged.
        SelfTestError: the bundle does not compute here what it should.
    """
    if problems := gallery.problems():
        raise GalleryFormatError(f"The gallery is not baked: {'; '.join(problems)}. Restore a copy.")
    task, event = _one_state(gallery)
    if not task.labels:
        raise ExportError("Nothing is enrolled in the gallery, so there is nothing to bake. Enroll a class first.")
    points, scale = bundle.manifest.operating_points, float(np.float32(bundle.manifest.scale))
    promised = None if false_accept_rate is None else promise(points, task, false_accept_rate)
    if promised is not None and promised.threshold is None:
        raise ExportError(
            f"Not baked, because every answer would be unknown: {promised.reason}. Or bake it with --always-answer: "
            "then it never says unknown."
        )
    network = onnx.load_from_string(bundle.model("embed"))
    metadata = {entry.key: entry.value for entry in network.metadata_props if entry.key != "edgefew.role"}
    described = _described(task.labels, bundle.id, event, promised)
    metadata |= {f"edgefew.{key}": _text(value) for key, value in described.items()}
    recognise = recognise_graph(task, scale, None if promised is None else promised.threshold)
    whole = onnx.compose.merge_models(
        onnx.compose.add_prefix(network, "embed_", rename_inputs=False, rename_outputs=False),
        recognise,
        io_map=[("embeddings", "embeddings")],
    )
    del whole.opset_import[1:]  # the same one twice
    model = serialize(whole, ROLE, metadata)
    _prove(bundle, OrtSession(model), Decision((0, 0), task, scale, promised, None))
    return Baked(model, task.labels, bundle.id, event, promised)


def recognise_graph(task: Task, scale: float, threshold: float | None) -> onnx.ModelProto:
    """Embeddings [n, d] → label int64 [n] (-1 for unknown), probabilities [n, c], scores [n, c].

    A class that it cannot be scores -2 and has probability 0: one whose examples cancel out, one of whose negatives is
    nearer than all its examples, and every class where the embedding has no direction.
    """
    classes = len(task.labels)
    constants: dict[str, npt.NDArray[Any]] = {
        "prototypes": task.prototypes.T,
        "present": np.asarray(task.prototypes.any(axis=1))[None],
        "threshold": _at_least(_ALWAYS if threshold is None else max(threshold, _ALWAYS)),
        "scale": np.asarray(scale, np.float32),
    }
    begin, negatives = _BEGIN.format(classes=classes, inputs=""), _NO_NEGATIVES
    if task.rejected:
        constants |= _negatives(task)
        begin, negatives = _BEGIN.format(classes=classes, inputs=_INPUTS.format(classes=classes)), _NEGATIVES
    model = onnx.parser.parse_model(begin + negatives + _END)
    inputs = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()
    )
    return model


def write_baked(baked: Baked, out: Path, *, replace: bool = False) -> None:
    """Write the file whole or not at all.

    Raises:
        ExportError: `out` is no name for an ONNX file, is there already, or cannot be written.
        GalleryError: the folder for it is not there.
    """
    if out.suffix != ".onnx":
        raise ExportError(f"{out} is no name for an ONNX file. Give one that ends in .onnx.")
    if out.exists() and not replace:
        raise ExportError(
            f"{out} exists already. Use --replace to put the new file in its place, or give another name."
        )
    if out.exists() and not out.is_file():
        raise ExportError(f"{out} is there and is no plain file; it is not replaced. Give another name.")
    # A file that is there is kept until the new one is whole.
    new = out.with_name(f".{out.name}.{os.getpid()}.new") if replace else out
    with new_file(new, ExportError) as part, part.open("wb") as file:
        file.write(baked.model)
        file.flush()
        os.fsync(file.fileno())
    try:
        new.replace(out)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise ExportError(f"{out} cannot be written: {error.strerror or error}.") from None


def _one_state(gallery: Gallery) -> tuple[Task, str]:
    """The task, and the hash of the last event of the same state, whatever another process writes meanwhile."""
    while True:
        version = gallery.version()
        task, event = gallery.task(), gallery.log()[-1].sha256
        if gallery.version() == version:
            return task, event


def _described(labels: tuple[str, ...], bundle_id: str, event: str, promised: Promise | None) -> dict[str, Any]:
    return {
        "labels": list(labels),
        "bundle_id": bundle_id,
        "gallery_event": event,
        "false_accept_rate": None if promised is None else promised.false_accept_rate,
        "threshold": None if promised is None else promised.threshold,
    }


def _negatives(task: Task) -> Mapping[str, npt.NDArray[Any]]:
    """The constants of `_NEGATIVES`."""
    sides = []
    for side in (0, 1):
        rows = np.concatenate([pair[side] for pair in task.rejected.values()])
        classes = np.concatenate([np.full(len(pair[side]), index) for index, pair in task.rejected.items()])
        sides.append((rows.T, classes.astype(np.int64)[None]))
    nothing = np.ones((1, len(task.labels)), np.float32)
    return {
        "examples": sides[0][0],
        "negatives": sides[1][0],
        "example_class": sides[0][1],
        "negative_class": sides[1][1],
        "no_example": nothing * np.float32(_NO_EXAMPLE),
        "no_negative": nothing * np.float32(_NO_NEGATIVE),
    }


def _at_least(threshold: float) -> npt.NDArray[np.float32]:
    """The least float32 that is not below the threshold: what the same scores reach.

    >>> float(_at_least(0.5)), float(_at_least(0.1)) > 0.1
    (0.5, True)
    """
    rounded = np.float32(threshold)
    return np.asarray(rounded if float(rounded) >= threshold else np.nextafter(rounded, np.float32(2)), np.float32)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _prove(bundle: Bundle, baked: Session, decision: Decision) -> None:
    """Compare the file with the runtime on the bundle's golden frames; raises where they differ."""
    embed = OrtSession(bundle.model("embed"))
    check_golden(bundle, embed)
    for frame in bundle.golden()[0]:
        answer = decision.answer(embed.run({"frames": frame[None]})[0][0])
        (label,), (probabilities,), (scores,) = baked.run({"frames": frame[None]})
        expected = decision.task.labels.index(answer.label) if answer.known and answer.label is not None else -1
        score = float(head.ABSENT) if answer.score is None else answer.score
        score_error = abs(float(scores.max()) - score)
        probability_error = abs(float(probabilities.max()) - answer.probability)
        close = score_error <= MAX_ERROR and probability_error <= MAX_ERROR * max(1, decision.scale / 2)
        if (label != expected and not _undecided(answer)) or not close:
            raise ExportError(
                f"The baked file differs from the runtime on a golden frame: label {label} for {expected}, the best "
                f"score off by {score_error:.1e} ({MAX_ERROR:.0e} allowed), its probability by "
                f"{probability_error:.1e}. Nothing was written. Try another version of onnxruntime."
            )


def _undecided(answer: Answer) -> bool:
    """Whether rounding may decide: two classes are equally near, or the best is as near as the threshold."""
    distances = [answer.margin]
    if answer.score is not None and answer.threshold is not None:
        distances.append(answer.score - answer.threshold)
    return any(distance is not None and abs(distance) <= MAX_ERROR for distance in distances)

"""A drift watch kept in a file between runs, bound to what it watches."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .answer import Answer
from .bundle import check_outside
from .classifier import Classifier
from .consensus import TrackAnswer
from .drift import LEAST_REFERENCE, DriftStatus, DriftWatch
from .errors import EdgeFewError
from .operating_point import is_number
from .regular_file import read_regular

try:
    import fcntl
except ImportError:  # Windows: there, one process at a time may keep a watch
    fcntl = None  # type: ignore[assignment]

_LARGEST = 4_000_000
"""Bytes: many times what a thousand scores take."""


@dataclass(frozen=True)
class Watched:
    """What a watch belongs to: scores of another bundle, gallery or threshold cannot be compared with its reference.

    Attributes:
        bundle_id: the bundle.
        gallery: the hash of the gallery's first event, which no other gallery has.
        false_accept_rate: the rate that decides which answers are accepted; None where all are.
    """

    bundle_id: str
    gallery: str
    false_accept_rate: float | None

    @classmethod
    def by(cls, classifier: Classifier) -> Watched:
        """What this classifier works with."""
        promised = classifier.promise()
        rate = None if promised is None else promised.false_accept_rate
        return cls(classifier.bundle.id, classifier.gallery.log()[0].sha256, rate)

    @classmethod
    def from_dict(cls, data: Any) -> Watched:
        """What `asdict` told of.

        Raises:
            ValueError: it is no such thing.
        """
        if not isinstance(data, Mapping) or set(data) != {"bundle_id", "gallery", "false_accept_rate"}:
            raise ValueError("it does not say what it watches")
        rate = data["false_accept_rate"]
        if not isinstance(data["bundle_id"], str) or not isinstance(data["gallery"], str):
            raise ValueError("it does not say which bundle and gallery it watches")
        if rate is not None and not is_number(rate):
            raise ValueError("its false-accept rate is no number")
        return cls(data["bundle_id"], data["gallery"], rate)


def keep_watch(file: Path, classifier: Classifier, answers: Sequence[Answer | TrackAnswer]) -> DriftStatus:
    """What the watch in the file says after these answers; the first ones make the file.

    Raises:
        EdgeFewError: the file is no watch, or one of another bundle, gallery or false-accept rate; too few examples
            are accepted to make one; nothing is accepted; the file cannot be written.
    """
    watched = Watched.by(classifier)
    with _alone(file):
        if file.exists():
            kept, watch = _read(file)
            _check(file, kept, watched)
        else:
            check_outside(file, EdgeFewError)
            watch = _begun(classifier)
        for answer in answers:
            if answer.known and answer.score is not None:
                watch.add(answer.score)
        _write(file, watched, watch)
    return watch.status


def read_watch(file: Path, *, reset: bool = False) -> tuple[Watched, DriftStatus]:
    """What the watch in a file belongs to, and what it says; on request after its alarm was taken back.

    Raises:
        EdgeFewError: the file is no watch, or cannot be written.
    """
    with _alone(file) if reset else contextlib.nullcontext():
        watched, watch = _read(file)
        if reset:
            watch.reset()
            _write(file, watched, watch)
    return watched, watch.status


def _begun(classifier: Classifier) -> DriftWatch:
    promised = classifier.promise()
    scores = [float(score) for score in classifier.enrolment_scores()]
    if promised is None:
        return DriftWatch(scores)
    if promised.threshold is None:
        raise EdgeFewError(f"Nothing is accepted, so there is nothing to watch: {promised.reason}")
    accepted = [score for score in scores if score >= promised.threshold]
    if len(accepted) < LEAST_REFERENCE <= len(scores):
        raise EdgeFewError(
            f"{len(accepted)} of the {len(scores)} enrolled examples would be accepted if they were left out (score "
            f"{promised.threshold:.2f} or more, for a false-accept rate of {promised.false_accept_rate:g}); a watch "
            f"needs {LEAST_REFERENCE}. Use a higher --false-accept-rate, or enroll examples that are more alike."
        )
    return DriftWatch(accepted)


def _check(file: Path, kept: Watched, watched: Watched) -> None:
    if kept == watched:
        return
    names = {"bundle_id": "bundle", "gallery": "gallery", "false_accept_rate": "false-accept rate"}
    ours = asdict(watched)
    other = [names[key] for key, value in asdict(kept).items() if value != ours[key]]
    rates = f" ({kept.false_accept_rate}, now {watched.false_accept_rate})" if other == ["false-accept rate"] else ""
    raise EdgeFewError(
        f"{file} is the watch of another {' and '.join(other)}{rates}: its scores cannot be compared with these. Give "
        "another file, and a new watch begins there."
    )


def _read(file: Path) -> tuple[Watched, DriftWatch]:
    try:
        data = json.loads(read_regular(file, _LARGEST))
        if not isinstance(data, Mapping) or set(data) != {"watched", "watch"}:
            raise ValueError("it does not hold what a watch's file holds")
        return Watched.from_dict(data["watched"]), DriftWatch.from_dict(data["watch"])
    except OSError as error:
        raise EdgeFewError(f"The drift watch {file} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError, EdgeFewError) as error:
        raise EdgeFewError(f"{file} is no drift watch ({error}). Give another file, or delete it.") from None


def _write(file: Path, watched: Watched, watch: DriftWatch) -> None:
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps({"watched": asdict(watched), "watch": watch.to_dict()}), encoding="utf-8")
        part.replace(file)
    except OSError as error:
        raise EdgeFewError(f"{file} cannot be written: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """No other process updates a watch in this folder meanwhile; it takes milliseconds."""
    if fcntl is None:
        yield
        return
    try:
        # The folder's, not the file's: the file is replaced by each update.
        folder = os.open(file.absolute().parent, os.O_RDONLY)
    except OSError as error:
        raise EdgeFewError(f"{file} cannot be written: {error.strerror or error}.") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)

"""The device's API: open a bundle with a gallery, enroll, classify, forget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from . import head
from .bundle import Bundle
from .errors import BundleError, FrameError
from .frames import Frame, FrameLike, load_frame
from .gallery import EnrolledClass, Event, Example, Gallery
from .selftest import check_golden
from .session import OrtSession, Session

FALSE_ACCEPT_RATE = 0.05
"""The default promise: at most 1 in 20 frames of something not enrolled is taken for something enrolled."""

_BATCH = 32
_BATCH_PIXELS = 4_000_000


@dataclass(frozen=True)
class Answer:
    """What a frame is taken for.

    Attributes:
        label: the nearest enrolled class, whether near enough or not; None if nothing is enrolled.
        probability: of that class among the enrolled ones, 0 to 1.
        score: its cosine, -1 to 1; None if nothing is enrolled.
        known: whether the score passes the threshold. If not, the answer is "unknown": do not act on `label`.
        runner_up: the next class; None if fewer than two are enrolled.
        threshold: what the score was compared with; None if no threshold was asked for.
    """

    label: str | None
    probability: float
    score: float | None
    known: bool
    runner_up: str | None
    threshold: float | None

    def __str__(self) -> str:
        return self.label if self.known and self.label is not None else "unknown"

    def to_dict(self) -> dict[str, Any]:
        """As a line of `edgefew classify --json`, without the file."""
        return asdict(self)


@dataclass(frozen=True)
class Enrollment:
    """What became of an enrolment.

    Attributes:
        label: the class.
        examples: how many examples the class has now.
        accepted: names of the frames that were added.
        skipped: names of the frames that the class had already.
    """

    label: str
    examples: int
    accepted: tuple[str, ...]
    skipped: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As `edgefew enroll --json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class _Task:
    """One state of the gallery, ready to classify with; replaced whole when the gallery changes."""

    version: tuple[int, int]
    labels: tuple[str, ...]
    prototypes: head.Embeddings
    absent: npt.NDArray[np.int64] | None  # classes whose examples cancel out: they have no direction
    threshold: float | None
    measured_classes: int | None  # None where the threshold was measured for this many classes or more


class Classifier:
    """A bundle and a gallery at work. `classify` changes nothing and may be called from many threads.

    ```python
    classifier = Classifier.open("signs.edgefew", gallery="site.gallery")
    classifier.enroll("no entry", ["a.jpg", "b.jpg"])
    str(classifier.classify("frame.jpg"))  # "no entry" or "unknown"
    ```
    """

    def __init__(
        self,
        bundle: Bundle,
        gallery: Gallery,
        session: Session,
        false_accept_rate: float | None = FALSE_ACCEPT_RATE,
    ) -> None:
        self.bundle = bundle
        self.gallery = gallery
        self._session = session
        self._scale = np.float32(bundle.manifest.scale)
        self._false_accept_rate = false_accept_rate
        rates = sorted({p.false_accept_rate for p in bundle.manifest.operating_points})
        if false_accept_rate is not None and false_accept_rate not in rates:
            raise BundleError(
                f"{bundle.path} has no threshold for a false-accept rate of {false_accept_rate:g}; it has "
                f"{', '.join(f'{r:g}' for r in rates) or 'none'}. Ask for one of these, or for None to never "
                "answer unknown."
            )
        self._task = self._read_task()

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle,
        gallery: str | Path | None = None,
        *,
        provider: str = "cpu",
        threads: int = 1,
        false_accept_rate: float | None = FALSE_ACCEPT_RATE,
    ) -> Classifier:
        """A classifier that has checked the bundle's hashes and computed its golden vectors right.

        Args:
            bundle: a directory or packed file, or an opened bundle.
            gallery: the SQLite file, made if it is not there; None keeps the classes in memory.
            provider: "cpu", "cuda", "tensorrt" or ONNX Runtime's own name; never exchanged silently.
            threads: threads for one frame.
            false_accept_rate: the share of frames of things not enrolled that may be called known, one of the rates
                that the bundle was calibrated for; None never answers "unknown".

        Raises:
            BundleError: the bundle is damaged, unknown or does not compute here what it should.
            GalleryError: the gallery is none, damaged, or of another bundle.
            ProviderError: the provider is not there.
        """
        if not isinstance(bundle, Bundle):
            bundle = Bundle.open(bundle)
        # The gallery first: a wrong one is found without waiting for the model.
        store = Gallery(gallery, bundle.id, bundle.manifest.dimension)
        try:
            session = OrtSession(bundle.model("embed"), provider=provider, threads=threads)
            check_golden(bundle, session)
            return cls(bundle, store, session, false_accept_rate)
        except BaseException:
            store.close()
            raise

    def __enter__(self) -> Classifier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the gallery. Nothing is pending."""
        self.gallery.close()

    @property
    def provider(self) -> str:
        """The execution provider that runs the network."""
        return self._session.provider

    def embed(self, frames: Iterable[FrameLike]) -> head.Embeddings:
        """Unit vectors of the frames: float32 [n, d]. Frames of one size run together."""
        return self._embed(load_frame(frame) for frame in frames)

    def enroll(self, label: str, frames: FrameLike | Sequence[FrameLike], actor: str = "") -> Enrollment:
        """Add examples of a class, all or none; durable when it returns.

        Args:
            label: the class's name; a new one, or one that is enrolled already.
            frames: one or more frames: paths, bytes, arrays uint8 [H, W, 3] or Pillow images.
            actor: who enrolls, for the log.

        Raises:
            FrameError: a frame cannot be read or gives no embedding; nothing was enrolled.
        """
        many = cast("Sequence[FrameLike]", frames if isinstance(frames, (list, tuple)) else [frames])
        if not many:
            raise FrameError(f"No frame was given for {label!r}; at least one was expected.")
        sources: list[tuple[str, str]] = []

        def loaded() -> Iterator[Frame]:
            for given in many:
                frame = load_frame(given)
                sources.append((frame.name, frame.sha256()))
                yield frame

        embeddings = self._embed(loaded())
        for (name, _), good in zip(sources, head.valid_rows(embeddings), strict=True):
            if not good:
                raise FrameError(f"{name} gives no usable embedding (zero or not a number). Leave it out.")
        examples = [
            Example(row, name, digest) for row, (name, digest) in zip(head.to_grid(embeddings), sources, strict=True)
        ]
        added = self.gallery.enroll(label, examples, actor)
        label = label.strip()
        count = next((c.examples for c in self.classes() if c.label == label), 0)
        names = [(name, new) for (name, _), new in zip(sources, added, strict=True)]
        return Enrollment(label, count, tuple(n for n, new in names if new), tuple(n for n, new in names if not new))

    def classify(self, frame: FrameLike) -> Answer:
        """What the frame is taken for."""
        return self._answer(self._session.run({"frames": load_frame(frame).pixels[None]})[0][0])

    def classify_many(self, frames: Iterable[FrameLike]) -> list[Answer]:
        """What each frame is taken for; frames of one size run together."""
        return [self._answer(row) for row in self.embed(frames)]

    def threshold_note(self) -> str | None:
        """What to know about the threshold now in use; None if it was measured for a gallery of this size."""
        task = self._current_task()
        if task.measured_classes is None:
            return None
        return (
            f"{len(task.labels)} classes are enrolled; the threshold for “unknown” was measured with up to "
            f"{task.measured_classes} and is extrapolated from there, so the false-accept rate is not promised"
        )

    def classes(self) -> list[EnrolledClass]:
        """The enrolled classes, oldest first."""
        return self.gallery.classes()

    def forget(self, label: str, actor: str = "") -> int:
        """Take a class out; gives how many examples it had."""
        return self.gallery.forget(label, actor)

    def undo(self, actor: str = "") -> Event:
        """Take back the last enroll or forget; gives what was undone."""
        return self.gallery.undo(actor)

    def _embed(self, frames: Iterable[Frame]) -> head.Embeddings:
        """Unit vectors: float32 [n, d]. Holds only so many pixels at once; frames of one size run together."""
        parts: list[head.Embeddings] = []
        for batch in _batches(frames):
            result = np.empty((len(batch), self.bundle.manifest.dimension), np.float32)
            by_shape: dict[tuple[int, ...], list[int]] = {}
            for index, frame in enumerate(batch):
                by_shape.setdefault(frame.pixels.shape, []).append(index)
            for indices in by_shape.values():
                result[indices] = self._session.run({"frames": np.stack([batch[i].pixels for i in indices])})[0]
            parts.append(result)
        return np.concatenate(parts) if parts else np.empty((0, self.bundle.manifest.dimension), np.float32)

    def _current_task(self) -> _Task:
        if self._task.version != self.gallery.version():
            self._task = self._read_task()
        return self._task

    def _read_task(self) -> _Task:
        # The version first: a change in between is then seen at the next call, not missed.
        version = self.gallery.version()
        state = self.gallery.state()
        threshold = measured = None
        if self._false_accept_rate is not None:
            shot = int(np.median(state.counts)) if len(state.counts) else 1
            point = self.bundle.manifest.operating_point(len(state.labels), shot, self._false_accept_rate)
            threshold = None if point is None else point.threshold
            if point is not None and not point.episodes:
                measured = max(p.way for p in self.bundle.manifest.operating_points)
        prototypes = head.unit(state.sums)
        present = prototypes.any(axis=1)
        absent = None if present.all() else np.flatnonzero(~present)
        return _Task(version, state.labels, prototypes, absent, threshold, measured)

    def _answer(self, embedding: head.Embeddings) -> Answer:
        task = self._current_task()
        # NaN fails both comparisons. It must not reach argmax, where it would win.
        if not task.labels or not head.SHORTEST**2 < float(embedding @ embedding) < head.LONGEST**2:
            return Answer(None, 0.0, None, False, None, task.threshold)
        scores = task.prototypes @ embedding
        if task.absent is not None:
            scores[task.absent] = head.ABSENT
        best = int(scores.argmax())
        score = float(scores[best])
        if score <= head.ABSENT:
            return Answer(None, 0.0, None, False, None, task.threshold)
        weights = np.exp(self._scale * (scores - score))
        if task.absent is not None:
            weights[task.absent] = 0
        probability = 1 / float(weights.sum())
        runner_up = None
        if len(task.labels) > 1:
            scores[best] = -np.inf
            runner_up = task.labels[int(scores.argmax())]
        known = task.threshold is None or score >= task.threshold
        return Answer(task.labels[best], probability, score, known, runner_up, task.threshold)


def _batches(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """The frames in lists of up to `_BATCH` frames or `_BATCH_PIXELS` pixels."""
    batch: list[Frame] = []
    held = 0
    for frame in frames:
        batch.append(frame)
        held += frame.pixels.shape[0] * frame.pixels.shape[1]
        if len(batch) == _BATCH or held >= _BATCH_PIXELS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch

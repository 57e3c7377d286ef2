"""The device's API: open a bundle with a gallery, enroll, classify, forget."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from . import head
from .answer import Answer, Decision
from .bundle import VARIANT, Bundle
from .errors import EnrollmentRefusedError, FrameError, RefinementError, UnknownClassError
from .frames import Frame, FrameLike
from .gallery import EnrolledClass, Event, Example, Gallery, pack_frame
from .gallery.records import Stored, check_label
from .hallucination import COMPONENT
from .loading import AUTO, load_embedder
from .model_cache import cache_folder
from .operating_point import Promise, coverage_score, promise
from .refinement import Refinement
from .session import CPU, DEFAULT_PROFILE, OrtSession, Session

if TYPE_CHECKING:
    from .doctor import Diagnosis
    from .frame_quality import FrameQuality
    from .signal_quality import SignalQuality
    from .sound_quality import SoundQuality
    from .text_quality import TextQuality

FALSE_ACCEPT_RATE = 0.05
"""The default promise: at most 1 in 20 frames of something not enrolled is taken for something enrolled."""

_BATCH = 32
"""Frames that are read together, so that the code which looks at them stays in the caches; and that run together, but
not on a CPU: its caches take one. Measured on two cores, in batches of 24 each frame took 1.3 times as long (64 × 64
pixels) and in batches of 25 1.5 times (224 × 224).
"""

_BATCH_PIXELS = 4_000_000


@dataclass(frozen=True)
class Enrollment:
    """What became of an enrolment.

    Attributes:
        label: the class.
        examples: how many examples the class has now.
        accepted: names of the frames that were added.
        skipped: names of the frames that the class had already.
        diagnosis: what looks wrong, and what would help.
        frames_added: how many of the skipped ones are kept now that were not (`keep_frames`).
    """

    label: str
    examples: int
    accepted: tuple[str, ...]
    skipped: tuple[str, ...]
    diagnosis: Diagnosis
    frames_added: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As `edgefew enroll --json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class Added:
    """What became of frames that were given to calibrate with.

    Attributes:
        accepted: names of the frames that were added.
        skipped: names of the frames that were there already.
        frames_added: how many of the skipped ones are kept now that were not (`keep_frames`).
    """

    accepted: tuple[str, ...]
    skipped: tuple[str, ...]
    frames_added: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As `edgefew calibrate --json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class Rejection:
    """What became of frames that were rejected for a class.

    Attributes:
        label: the class.
        accepted: names of the frames that were added.
        skipped: names of the frames that were there already.
        turned_away: names of the class's examples that, left out, would now be turned away and were not before: they
            are nearer to a rejected frame than to every other example.
        frames_added: of how many that were there already without their frame it is kept now.
    """

    label: str
    accepted: tuple[str, ...]
    skipped: tuple[str, ...]
    turned_away: tuple[str, ...]
    frames_added: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As `edgefew reject --json` prints it."""
        return asdict(self)


@dataclass(frozen=True)
class Refined:
    """What became of unlabelled frames, and what the classes take of all that there are.

    Attributes:
        accepted: names of the frames that were added.
        skipped: names of the frames that were there already.
        taken: of each enrolled class, as how many further examples the unlabelled frames count in it.
        of_no_class: as how many they count in none.
        frames_added: of how many that were there already without their frame it is kept now.
    """

    accepted: tuple[str, ...]
    skipped: tuple[str, ...]
    taken: dict[str, float]
    of_no_class: float
    frames_added: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As a part of what `edgefew refine --json` prints."""
        return asdict(self)


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
        coverage: float | None = None,
        variant: str = VARIANT,
        generator: Session | None = None,
    ) -> None:
        self.bundle = bundle
        self.variant = variant
        self.gallery = gallery
        self._session = session
        self._generator = generator
        self._values = bundle.manifest.input.values
        self._version = gallery.version
        self._false_accept_rate = false_accept_rate
        self._coverage = coverage
        self._refreshing = threading.Lock()
        self._ready = self._read()

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle,
        gallery: str | Path | None = None,
        *,
        provider: str = "cpu",
        profile: str = DEFAULT_PROFILE,
        threads: int | None = None,
        variant: str = AUTO,
        cache: str | Path | None = None,
        public_key: str | Path | None = None,
        false_accept_rate: float | None = FALSE_ACCEPT_RATE,
        coverage: float | None = None,
        hallucinate: bool = True,
    ) -> Classifier:
        """A classifier that has checked the bundle's hashes and computed its golden vectors right.

        Args:
            bundle: a directory or packed file, or an opened bundle.
            gallery: the SQLite file, made if it is not there; None keeps the classes in memory.
            provider: "cpu", "cuda", "tensorrt" or ONNX Runtime's own name; never exchanged silently.
            profile: "power" (one thread that sleeps while it waits) or "latency" (every core, and no sleep).
            threads: threads for one frame; None leaves it to the profile.
            variant: "fp32" or another variant of the bundle's network; "auto" takes the fastest here, measured the
                first time and remembered in the cache.
            cache: a folder for the network as optimised for this machine, and for the memory that it passed its test
                here; "" for none. Default: EDGEFEW_CACHE, or edgefew in the user's folder for caches.
            public_key: a PEM file with the key that the bundle must be signed for. Default: the one that
                EDGEFEW_PUBLIC_KEY names; where that is not set either, no signature is asked for.
            false_accept_rate: the share of frames of things not enrolled that may be called known. Where that cannot be
                promised for the gallery's size, every answer is "unknown", and `promise()` says what would be enough.
                None never answers "unknown".
            coverage: also give every class that a frame may be of, right with this probability (`Answer.labels`).
            hallucinate: complete prototypes by generated examples, where all classes have a number of examples at which
                the bundle has a generator and its report says that it gains.

        Raises:
            BundleError: the bundle is damaged, unknown, not signed for the key that is set, or does not compute here
                what it should.
            GalleryError: the gallery is none, damaged, or of another bundle.
            ProviderError: the provider is not there.
        """
        if isinstance(bundle, Bundle):
            bundle.check_signature(public_key)
        else:
            bundle = Bundle.open(bundle, public_key)
        # The gallery first: a wrong one is found without waiting for the model.
        store = Gallery(gallery, bundle.id, bundle.manifest.dimension)
        try:
            folder = cache_folder(cache)
            if variant == AUTO:
                variant = VARIANT
                if bundle.manifest.variants:
                    from .variant_choice import choose_variant  # not needed for bundles of fp32 alone, which are most

                    variant = choose_variant(bundle, provider=provider, threads=threads, profile=profile, cache=folder)
            bundle = bundle.for_variant(variant)
            session = load_embedder(
                bundle, provider=provider, threads=threads, profile=profile, variant=variant, cache=folder
            )
            generator = None
            if hallucinate and (made := bundle.manifest.hallucination) is not None and made.shots:
                generator = OrtSession(bundle.model(COMPONENT))
            return cls(bundle, store, session, false_accept_rate, coverage, variant, generator)
        except BaseException:
            store.close()
            raise

    def at_rate(self, false_accept_rate: float | None) -> Classifier:
        """A classifier on the same network and gallery with another promise; neither needs to be closed but once."""
        return Classifier(
            self.bundle,
            self.gallery,
            self._session,
            false_accept_rate,
            self._coverage,
            self.variant,
            self._generator,
        )

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
        return self._embed(self.bundle.manifest.input.load(frame) for frame in frames)

    def enroll(
        self,
        label: str,
        frames: FrameLike | Sequence[FrameLike],
        actor: str = "",
        *,
        strict: bool = False,
        keep_frames: bool = False,
        dry_run: bool = False,
    ) -> Enrollment:
        """Add examples of a class, all or none; durable when it returns.

        Args:
            label: the class's name; a new one, or one that is enrolled already.
            frames: one or more frames: paths, bytes, arrays uint8 [H, W, 3] or Pillow images; for a bundle of signals
                paths, bytes or arrays [samples, channels], of sounds paths, bytes or arrays [samples];
                of texts the text itself, or a `Path`.
            actor: who enrolls, for the log.
            strict: enroll none if something looks wrong with one of them.
            keep_frames: keep the frames in the gallery, so that a later bundle can enroll them again (`migrate`); those
                of examples that are there already too.
            dry_run: say what would become of it, or raise what would be raised, and change nothing.

        Raises:
            FrameError: a frame cannot be read or gives no embedding; nothing was enrolled.
            EnrollmentRefusedError: `strict`, and something looks wrong; nothing was enrolled.
            ClassConflictError: a frame is of another class, was rejected for this one, or given as a stranger; nothing
                was enrolled.
        """
        label = check_label(label)
        examples, quality = self._examples(frames, keep_frames, measured=True)
        diagnosis = self._diagnose(label, examples, quality)
        if strict and not diagnosis.healthy:
            raise EnrollmentRefusedError(diagnosis)
        added = _added(examples, self.gallery.enroll(label, examples, actor, dry_run=dry_run))
        count = self.gallery.count(label) + (len(added.accepted) if dry_run else 0)
        return Enrollment(label, count, added.accepted, added.skipped, diagnosis, added.frames_added)

    def diagnose(self, label: str, frames: FrameLike | Sequence[FrameLike]) -> Diagnosis:
        """What would look wrong if these frames were enrolled, and what would help; changes nothing."""
        return self._diagnose(check_label(label), *self._examples(frames, measured=True))

    def reject(
        self,
        label: str,
        frames: FrameLike | Sequence[FrameLike],
        actor: str = "",
        *,
        keep_frames: bool = False,
    ) -> Rejection:
        """Remember that these frames are not of an enrolled class, all or none.

        From then on, a frame that is nearer to one of them than to every example of the class is not taken for it.

        Raises:
            UnknownClassError: no class of that name is enrolled.
            ClassConflictError: a frame is enrolled as an example of it; nothing was remembered.
        """
        from .leave_one_out import turned_away

        label = check_label(label)
        examples, _ = self._examples(frames, keep_frames)
        stored = self.gallery.reject(label, examples, actor)
        held, rejected = self._sides(label)
        rows, others = (
            np.array([example.embedding for example in side], np.float32).reshape(-1, self.bundle.manifest.dimension)
            for side in (held, rejected)
        )
        new = {example.source_sha256 for example in compress(examples, stored.new)}
        before = others[[example.source_sha256 not in new for example in rejected]]
        lost = turned_away(rows, others) & ~turned_away(rows, before)
        names = tuple(example.source for example, gone in zip(held, lost, strict=True) if gone)
        added = _added(examples, stored)
        return Rejection(label, added.accepted, added.skipped, names, added.frames_added)

    def calibrate(
        self,
        strangers: FrameLike | Sequence[FrameLike],
        actor: str = "",
        *,
        keep_frames: bool = False,
        replace: bool = False,
    ) -> Added:
        """Keep frames of this site that are of no class, so that the threshold is measured on them; all or none.

        With `replace` they take the place of those that were given before.

        `promise()` then says what they are enough for. The threshold follows the gallery as it grows.

        Raises:
            ClassConflictError: a frame is enrolled; nothing was kept.
        """
        examples, _ = self._examples(strangers, keep_frames)
        return _added(examples, self.gallery.calibrate(examples, actor, replace=replace))

    def refine(
        self,
        unlabelled: FrameLike | Sequence[FrameLike],
        actor: str = "",
        *,
        keep_frames: bool = False,
        replace: bool = False,
    ) -> Refined:
        """Keep frames of this site whose class nobody said, so that they refine the prototypes; all or none.

        With `replace` they take the place of those that were given before.

        From then on the choice between the classes follows the refined prototypes. `score`, `known` and conformal sets
        stay with the own examples, which the thresholds were measured with. What is stored of the classes does not
        change; `undo` takes the frames out again.

        Raises:
            RefinementError: the bundle has no graph `refine`, or nothing is enrolled; nothing was kept.
        """
        self._refinement()
        if not self._current().task.labels:
            raise RefinementError(
                "Unlabelled frames refine what is enrolled, and nothing is. Enroll at least one class first."
            )
        examples, _ = self._examples(unlabelled, keep_frames)
        added = _added(examples, self.gallery.refine(examples, actor, replace=replace))
        taken, of_no_class = self.refined()
        return Refined(added.accepted, added.skipped, taken, of_no_class, added.frames_added)

    def refined(self) -> tuple[dict[str, float], float]:
        """As how many examples the unlabelled frames count in each class, and in none.

        Raises:
            RefinementError: the bundle has no graph `refine`.
        """
        task = self._current().task
        if task.unlabelled is None:
            return dict.fromkeys(task.labels, 0.0), 0.0
        counts = task.counts.astype(np.float32)
        _, refined = self._refinement().refine(task.unlabelled.embeddings, task.unlabelled.sums, counts)
        taken = (refined - counts).astype(float)
        shown = dict(zip(task.labels, taken.tolist(), strict=True))
        return shown, max(0.0, len(task.unlabelled.embeddings) - float(taken.sum()))

    def _refinement(self) -> Refinement:
        if (refinement := self.bundle.manifest.refinement) is None:
            raise RefinementError(
                f"{self.bundle.path} has no graph to refine with: it was exported before there was one. Export it "
                "again, and migrate the gallery (edgefew migrate)."
            )
        return refinement

    def promise(self, false_accept_rate: float | None = None) -> Promise | None:
        """What the answers promise now, at the rate in use or at another; None if this classifier always answers."""
        ready = self._current()
        if false_accept_rate is None:
            return ready.promise
        return promise(self.bundle.manifest.operating_points, ready.task, false_accept_rate)

    def classify(self, frame: FrameLike) -> Answer:
        """What the frame is taken for."""
        # A network has emptied the caches when what follows runs: each call costs 10 µs, so no `_current` in between.
        embedding = self._session.run({"frames": self._values(frame)[None]})[0][0]
        ready = self._ready
        return (ready if ready.version == self._version() else self._current()).answer(embedding)

    def answer(self, embedding: npt.NDArray[np.float32]) -> Answer:
        """What an embedding that `embed` gave, float32 [d], is taken for."""
        return self._current().answer(embedding)

    def classify_many(self, frames: Iterable[FrameLike]) -> list[Answer]:
        """What each frame is taken for; frames of one size run together."""
        return [self._current().answer(row) for row in self.embed(frames)]

    def enrolment_scores(self) -> npt.NDArray[np.float32]:
        """What each example scores with the others of its class, float32 [n]: what a `DriftWatch` compares with."""
        from .leave_one_out import leave_one_out

        result = leave_one_out(self.gallery.content())
        return result.own[result.judged]

    def classes(self) -> list[EnrolledClass]:
        """The enrolled classes, oldest first."""
        return self.gallery.classes()

    def forget(self, label: str, actor: str = "") -> int:
        """Take a class out; gives how many examples it had."""
        return self.gallery.forget(label, actor)

    def undo(self, actor: str = "") -> Event:
        """Take back the last change; gives what was undone."""
        return self.gallery.undo(actor)

    def _embed(self, frames: Iterable[Frame]) -> head.Embeddings:
        """Unit vectors: float32 [n, d]. Holds only so many pixels at once; frames of one size run together."""
        parts: list[head.Embeddings] = []
        on_cpu = self._session.provider == CPU
        for batch in _batches(frames):
            result = np.empty((len(batch), self.bundle.manifest.dimension), np.float32)
            together: dict[tuple[int, ...], list[int]] = {}
            for index, frame in enumerate(batch):
                together.setdefault((index,) if on_cpu else frame.values.shape, []).append(index)
            for indices in together.values():
                values = [batch[i].values for i in indices]
                stacked = values[0][None] if len(values) == 1 else np.stack(values)  # one frame need not be copied
                result[indices] = self._session.run({"frames": stacked})[0]
            parts.append(result)
            batch.clear()  # or it would be held while the next is read
        return np.concatenate(parts) if parts else np.empty((0, self.bundle.manifest.dimension), np.float32)

    def _examples(
        self, frames: FrameLike | Sequence[FrameLike], keep_frames: bool = False, *, measured: bool = False
    ) -> tuple[list[Example], list[FrameQuality | SignalQuality | SoundQuality | TextQuality]]:
        """The frames as examples, and on request what can be told of each without the network."""
        many = cast("Sequence[FrameLike]", frames if isinstance(frames, (list, tuple)) else [frames])
        if not many:
            raise FrameError("No frame was given; at least one was expected.")
        spec = self.bundle.manifest.input
        seen: list[tuple[str, str, bytes | None]] = []
        quality: list[FrameQuality | SignalQuality | SoundQuality | TextQuality] = []

        def loaded() -> Iterator[Frame]:
            for given in many:
                frame = spec.load(given)
                seen.append((frame.name, frame.sha256(), pack_frame(frame) if keep_frames else None))
                if measured:
                    quality.append(spec.quality(frame.values))
                yield frame

        embeddings = self._embed(loaded())
        for (name, _, _), good in zip(seen, head.valid_rows(embeddings), strict=True):
            if not good:
                raise FrameError(f"{name} gives no usable embedding (flat, zero or not a number). Leave it out.")
        examples = [
            Example(row, name, digest, frame=kept)
            for row, (name, digest, kept) in zip(head.to_grid(embeddings), seen, strict=True)
        ]
        return examples, quality

    def _diagnose(
        self,
        label: str,
        examples: list[Example],
        quality: Sequence[FrameQuality | SignalQuality | SoundQuality | TextQuality],
    ) -> Diagnosis:
        # What a program needs that enrolls, and one that only classifies does not.
        from .doctor import diagnose

        task = self._current().task
        held, rejected = self._sides(label)
        known = {example.source_sha256 for example in held}
        # A picture that is there already, or twice in this call, is not enrolled: nothing to say of it.
        first = {e.source_sha256: i for i, e in reversed(list(enumerate(examples)))}
        new = sorted(i for digest, i in first.items() if digest not in known)
        strangers = dict(zip(task.stranger_ids, task.strangers, strict=True))
        chosen, measured = [examples[i] for i in new], [quality[i] for i in new]
        return diagnose(label, chosen, measured, held, rejected, task, strangers, self.bundle.manifest)

    def _sides(self, label: str) -> tuple[list[Example], list[Example]]:
        """The examples of a class, and what was rejected for it; none where it is not enrolled."""
        try:
            content = self.gallery.content([label])[label]
        except UnknownClassError:
            return [], []
        return [e for e in content if not e.negative], [e for e in content if e.negative]

    def _current(self) -> Decision:
        if self._ready.version != self.gallery.version():
            # A large gallery takes long to read: once is enough, however many threads have seen that it changed.
            with self._refreshing:
                if self._ready.version != self.gallery.version():
                    self._ready = self._read()
        return self._ready

    def _read(self) -> Decision:
        # The version first: a change in between is then seen at the next call, not missed.
        version = self.gallery.version()
        task = self.gallery.task()
        manifest = self.bundle.manifest
        rate, coverage = self._false_accept_rate, self._coverage
        stated = None if rate is None else promise(manifest.operating_points, task, rate)
        covering = None if coverage is None else coverage_score(manifest.coverage_points, task, coverage)
        # In float32, as the classify graph has it.
        completed = None
        if task.unlabelled is not None and manifest.refinement is not None:
            # What the site showed goes before what a generator makes up.
            refined, _ = manifest.refinement.refine(
                task.unlabelled.embeddings, task.unlabelled.sums, task.counts.astype(np.float32)
            )
            completed = head.unit(refined)
        elif self._generator is not None and manifest.hallucination is not None:
            completed = manifest.hallucination.complete(self._generator, task.prototypes, task.counts)
        return Decision(version, task, float(np.float32(manifest.scale)), stated, covering, completed)


def _added(examples: Sequence[Example], stored: Stored) -> Added:
    names = [(example.source, new) for example, new in zip(examples, stored.new, strict=True)]
    accepted, skipped = (tuple(name for name, new in names if new is side) for side in (True, False))
    return Added(accepted, skipped, stored.frames_added)


def _batches(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """The frames in lists of up to `_BATCH` frames or `_BATCH_PIXELS` pixels."""
    batch: list[Frame] = []
    held = 0
    for frame in frames:
        batch.append(frame)
        held += math.prod(frame.values.shape[:2])
        if len(batch) == _BATCH or held >= _BATCH_PIXELS:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch

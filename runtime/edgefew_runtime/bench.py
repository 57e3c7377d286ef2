"""What a bundle costs on this machine: time for a frame, for an enrolment, for the first answer; memory."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import head
from .bundle import Bundle
from .classifier import Classifier
from .errors import EdgeFewError
from .frames import RawFrame
from .gallery import Example, Gallery
from .loading import load_embedder
from .processor import physical_cores, processor_name
from .session import PROFILES, Session, runtime_version, thread_count

CLASSES = 20
"""In the gallery, where the caller gives none."""

SHOTS = 25
"""Frames of the larger enrolment."""

STARTS = 5
"""Programs started to measure start-up, after one that finds an empty cache."""

_WARM_UP = 3
_LABEL = "bench"
_CHILD = "from edgefew_runtime.first_answer import main; main()"


@dataclass(frozen=True)
class Timing:
    """How long something took, over a number of runs, in milliseconds."""

    median_ms: float
    p99_ms: float
    runs: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """The summary of these runs.

        >>> Timing.of([0.002, 0.001, 0.003])
        Timing(median_ms=2.0, p99_ms=2.98, runs=3)
        """
        median, p99 = np.percentile(seconds, [50, 99])
        return cls(round(float(median) * 1e3, 4), round(float(p99) * 1e3, 4), len(seconds))


@dataclass(frozen=True)
class FrameCost:
    """What frames of one size cost.

    Attributes:
        shape: of the frame: height, width and 3 colours in pixels, or samples and channels.
        embed: one run of the embed graph on one frame, and nothing else.
        classify: `Classifier.classify` of the same frame, in turn with `embed`.
        classify_adds_ms: the median difference between the two.
        enroll_1: `Classifier.enroll` of one frame, on the disk when it returns.
        enroll_25: the same for 25 frames in one call.
    """

    shape: tuple[int, ...]
    embed: Timing
    classify: Timing
    classify_adds_ms: float
    enroll_1: Timing
    enroll_25: Timing


@dataclass(frozen=True)
class StartCost:
    """What a program costs that opens the bundle and classifies one frame, each time in a new process.

    Attributes:
        first_ms: from its start to its first answer, where nothing is cached yet.
        median_ms: the same, later.
        peak_memory_mb: the most memory that it held, in 10⁶ bytes, later; None where the system does not tell.
        runs: programs that the later figures are of.
    """

    first_ms: float
    median_ms: float
    peak_memory_mb: float | None
    runs: int


@dataclass(frozen=True)
class Measurement:
    """What one way to run the bundle costs.

    Attributes:
        variant: of the embed graph.
        profile: a key of `session.PROFILES`.
        threads: for one run of the graph.
        provider: the execution provider asked for.
        provider_used: the one that ran, as ONNX Runtime reports it.
        start: the first answer of a program.
        frames: what frames cost, by their size.
    """

    variant: str
    profile: str
    threads: int
    provider: str
    provider_used: str
    start: StartCost
    frames: tuple[FrameCost, ...]

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON of `edgefew bench`."""
        return asdict(self)


@dataclass(frozen=True)
class Machine:
    """What the figures were measured on."""

    processor: str
    physical_cores: int
    logical_cores: int
    onnxruntime: str

    @classmethod
    def this(cls) -> Machine:
        """The machine that this runs on."""
        return cls(processor_name(), physical_cores(), os.cpu_count() or 1, runtime_version())

    def to_dict(self) -> dict[str, Any]:
        """As in the JSON of `edgefew bench`."""
        return asdict(self)


def bench(
    bundle: Bundle,
    *,
    runs: int,
    gallery: Path | None = None,
    profiles: Sequence[str] = tuple(PROFILES),
    threads: Sequence[int] = (),
    provider: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> list[Measurement]:
    """One measurement for each variant of the bundle, profile and number of threads.

    Nothing of the user's is changed: enrolments go into a throw-away gallery, optimised graphs into a throw-away cache.

    Args:
        bundle: the opened bundle.
        runs: of embed, classify and enroll; a tenth as many of enroll with 25 frames.
        gallery: what `classify` is measured with; `CLASSES` random classes in memory if not given.
        profiles: keys of `session.PROFILES`.
        threads: each in turn overrides the profile's own number.
        provider: as for `Classifier.open`.
        progress: told each step.

    Raises:
        ProviderError: the provider is not there.
        GalleryError: the gallery is none, or is of another bundle.
        EdgeFewError: there is no such profile, fewer than one thread was asked for, or no folder can be made.
    """
    ways = list(dict.fromkeys(itertools.product(bundle.variants(), profiles, threads or (None,))))
    for _, profile, count in ways:
        thread_count(count, profile)
    if gallery is not None:
        Gallery(gallery, bundle.id, bundle.manifest.dimension).close()
    measured = []
    for variant, profile, count in ways:
        progress(f"{variant}, {profile}, threads: {thread_count(count, profile)}")
        # The throw-away gallery lies where the given one does: how long a commit takes depends on the disk.
        with _scratch(gallery) as scratch:
            settings = _Way(variant, profile, count, provider, Path(scratch))
            measured.append(settings.measure(bundle, gallery, runs))
    return measured


@dataclass(frozen=True)
class _Way:
    """One way to run a bundle, and a folder for what measuring it leaves behind."""

    variant: str
    profile: str
    threads: int | None
    provider: str
    scratch: Path

    def measure(self, bundle: Bundle, gallery: Path | None, runs: int) -> Measurement:
        session = load_embedder(
            bundle,
            provider=self.provider,
            threads=self.threads,
            profile=self.profile,
            variant=self.variant,
            cache=self.scratch / "session-cache",
        )
        shapes = dict.fromkeys([bundle.manifest.input.raw_shape, bundle.manifest.input.larger_shape])
        return Measurement(
            self.variant,
            self.profile,
            thread_count(self.threads, self.profile),
            self.provider,
            session.provider,
            self._start(bundle, gallery),
            tuple(_frame_cost(bundle, session, gallery, self.scratch, shape, runs) for shape in shapes),
        )

    def _start(self, bundle: Bundle, gallery: Path | None) -> StartCost:
        settings = {
            "bundle": str(bundle.path.absolute()),
            "gallery": None if gallery is None else str(gallery.absolute()),
            "variant": self.variant,
            "provider": self.provider,
            "threads": self.threads,
            "profile": self.profile,
            "cache": str(self.scratch / "program-cache"),
        }
        first, *later = [_first_answer(settings) for _ in range(STARTS + 1)]
        memory = [megabytes for _, megabytes in later if megabytes is not None]
        return StartCost(
            round(first[0] * 1e3, 1),
            round(statistics.median(seconds for seconds, _ in later) * 1e3, 1),
            round(statistics.median(memory), 1) if memory else None,
            len(later),
        )


def _first_answer(settings: dict[str, Any]) -> tuple[float, float | None]:
    """Seconds from a new program's start to its answer, and its peak memory in 10⁶ bytes."""
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, json.dumps(settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as child:
        assert child.stdout is not None  # noqa: S101
        line = child.stdout.readline()
        seconds = time.perf_counter() - started
        _, errors = child.communicate()
    if child.returncode:
        reason = errors.strip().rpartition("\n")[2]
        raise EdgeFewError(f"A new program could not open and use {settings['bundle']}: {reason}")
    return seconds, json.loads(line)["peak_memory_mb"]


def _frame_cost(
    bundle: Bundle, session: Session, gallery: Path | None, scratch: Path, shape: tuple[int, ...], runs: int
) -> FrameCost:
    rng = np.random.default_rng(0)

    def frames(count: int) -> list[RawFrame]:
        return [bundle.manifest.input.noise(rng, shape) for _ in range(count)]

    dimension = bundle.manifest.dimension
    with Classifier(bundle, Gallery(gallery, bundle.id, dimension), session) as classifier:
        if gallery is None:
            _fill(classifier.gallery, dimension)
        (frame,) = frames(1)
        inputs = {"frames": frame[None]}
        embed, classify = in_turn([lambda: session.run(inputs), lambda: classifier.classify(frame)], runs)
    added = float(np.median(np.subtract(classify, embed))) * 1e3
    with Classifier(bundle, Gallery(scratch / f"{shape[0]}.gallery", bundle.id, dimension), session) as classifier:
        _fill(classifier.gallery, dimension)
        one = [_enroll(classifier, frames(1)) for _ in range(_WARM_UP + runs)][_WARM_UP:]
        many = [_enroll(classifier, frames(SHOTS)) for _ in range(1 + max(_WARM_UP, runs // 10))][1:]
    return FrameCost(shape, Timing.of(embed), Timing.of(classify), round(added, 4), Timing.of(one), Timing.of(many))


def in_turn(calls: Sequence[Callable[[], Any]], runs: int) -> list[list[float]]:
    """Seconds of each call's runs, after a few that are not counted. In turn: other load on the machine hits all.

    And in another order each round: what a call finds in the processor's caches depends on the one before it.
    """
    taken: list[list[float]] = [[] for _ in calls]
    order = np.random.default_rng(0)
    for _ in range(_WARM_UP + runs):
        for index in order.permutation(len(calls)).tolist():
            taken[index].append(_seconds(calls[index]))
    return [seconds[_WARM_UP:] for seconds in taken]


def _enroll(classifier: Classifier, frames: list[RawFrame]) -> float:
    seconds = _seconds(lambda: classifier.enroll(_LABEL, frames))
    classifier.forget(_LABEL)  # so that every run finds the same gallery
    return seconds


def _seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _fill(gallery: Gallery, dimension: int) -> None:
    """Enroll `CLASSES` classes of one random vector each."""
    vectors = np.random.default_rng(1).standard_normal((CLASSES, dimension)).astype(np.float32)
    for number, row in enumerate(head.to_grid(vectors)):
        gallery.enroll(f"class {number}", [Example(row, "random", f"{number:064}")])


def _scratch(gallery: Path | None) -> tempfile.TemporaryDirectory[str]:
    folder = None if gallery is None else gallery.absolute().parent
    try:
        return tempfile.TemporaryDirectory(prefix=".edgefew-bench-", dir=folder)
    except OSError as error:
        raise EdgeFewError(
            f"No folder for a throw-away gallery can be made in {folder or tempfile.gettempdir()}: "
            f"{error.strerror or error}. Make it writable, or copy the gallery to where one can write."
        ) from None

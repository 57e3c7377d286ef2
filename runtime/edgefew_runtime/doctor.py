"""The enrolment doctor: what is wrong with an example before it is enrolled, and what would help the class most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from . import frame_quality as fq
from . import head
from . import sound_quality as sq
from . import text_quality as tq
from .frame_quality import FrameQuality
from .gallery import Example, Task
from .leave_one_out import LeaveOneOut, left_out, turned_away
from .manifest import Manifest
from .operating_point import NEAR_DUPLICATE, CoveragePoint, OperatingPoint, around, bundle_point
from .signal_quality import CLIPPED, SignalQuality
from .sound_quality import SoundQuality
from .text_quality import TextQuality

SMALL = 0.5
"""A frame with a side under this share of what the network sees is mostly made up by enlarging."""

OUTLIER_COVERAGE = 0.95
"""An example is an outlier where 95 of 100 frames of unseen classes lie nearer to their own class."""

TYPICAL_COVERAGE = 0.8
"""A first example looks like another class where 80 of 100 frames lie no nearer to their own class."""

_BADLY_RECORDED = ("too short", "too quiet", "flat", "clipped")
_ENOUGH_TO_COMPARE = 5
_LEAST_SPREAD = 0.05
_WORTH_IT = 0.05
_FEW = 3
_MOST = 0.8
_RATE = 0.05


@dataclass(frozen=True)
class Finding:
    """One thing that looks wrong with an example.

    Attributes:
        kind: of an image "too small", "too dark", "blank" or "blurred"; of a signal "too short", "flat" or "clipped";
            of a sound "too short", "too quiet" or "clipped"; of a text "too short" or "unknown language"; of all
            "near-duplicate", "outlier", "closer to another class" or "closer to what it is not".
        text: the same for people, with what was measured.
        other: the class or example that it is about, if any.
    """

    kind: str
    text: str
    other: str | None = None


@dataclass(frozen=True)
class ExampleReport:
    """What the doctor says of one new example: its name, and what looks wrong with it."""

    name: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says of a class with its new examples.

    Attributes:
        label: the class.
        examples: of each new example what looks wrong with it.
        judged: examples of the class, new and old, that could be left out in turn.
        recognised: how many of these are then still taken for the class.
        confused_with: the class that most of the others are taken for; None if there is none.
        strangers: numbers of the gallery's strangers that look like the class.
        advice: what would help, the most helpful first.
    """

    label: str
    examples: tuple[ExampleReport, ...]
    judged: int
    recognised: int
    confused_with: str | None
    strangers: tuple[int, ...]
    advice: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing looks wrong with any new example."""
        return not any(example.findings for example in self.examples)

    def to_dict(self) -> dict[str, Any]:
        """As `edgefew enroll --json` prints it."""
        return asdict(self)


def diagnose(
    label: str,
    new: Sequence[Example],
    quality: Sequence[FrameQuality | SignalQuality | SoundQuality | TextQuality],
    held: Sequence[Example],
    rejected: Sequence[Example],
    task: Task,
    strangers: Mapping[int, npt.NDArray[np.float32]],
    manifest: Manifest,
) -> Diagnosis:
    """The diagnosis of new examples of a class, before they are enrolled.

    Args:
        label: the class, new or not.
        new: the new examples, at least one.
        quality: what was measured of each new frame.
        held: the class's examples that are enrolled already.
        rejected: what the class is not.
        task: the gallery as it is.
        strangers: embeddings of the gallery's strangers, by number.
        manifest: the bundle's.
    """
    rows = np.array([example.embedding for example in (*held, *new)], np.float32)
    names = [example.source for example in (*held, *new)]
    # A blank picture shows nothing: beside it, what does show the class would look like the outlier.
    shows = np.array([True] * len(held) + [not measured.blank for measured in quality])
    negatives = np.array([example.embedding for example in rejected], np.float32).reshape(-1, rows.shape[1])
    scores = _score(rows[shows], label, negatives, task)
    outlier = _outlier_score(scores, manifest.coverage_points)
    typical = _coverage_score(manifest.coverage_points, 1, TYPICAL_COVERAGE)
    similar = rows @ rows.T
    reports = []
    for number, (example, measured) in enumerate(zip(new, quality, strict=True), start=len(held)):
        findings = [
            *_bad_frame(measured, manifest.input.size),
            *_duplicates(similar[number, :number], names, manifest.input.noun),
        ]
        if shows[number]:
            place = int(shows[:number].sum())
            findings += _misplaced(scores, place, outlier, typical)
            if scores.turned_away[place]:
                findings.append(_denied(rows[number], np.delete(rows[shows], place, axis=0), rejected, negatives))
        reports.append(ExampleReport(example.source, tuple(findings)))
    lost = np.flatnonzero(scores.judged & ~scores.right)
    confused = Counter(name for i in lost if (name := scores.nearest[i]) is not None).most_common(1)
    diagnosis = Diagnosis(
        label,
        tuple(reports),
        int(scores.judged.sum()),
        int(scores.right.sum()),
        confused[0][0] if confused else None,
        _alike(strangers, rows[shows], scores),
        advice=(),
    )
    return replace(diagnosis, advice=tuple(_advice(diagnosis, len(rows), task, manifest)))


def _score(rows: head.Embeddings, label: str, negatives: head.Embeddings, task: Task) -> LeaveOneOut:
    place = task.labels.index(label) if label in task.labels else -1
    sums = rows.sum(axis=0, dtype=np.float64)[None]
    others = np.full(len(rows), place)
    away = turned_away(rows, negatives)
    return left_out((label,) * len(rows), rows, sums, others, task.prototypes, task.labels, task.rejected, away)


def _bad_frame(
    measured: FrameQuality | SignalQuality | SoundQuality | TextQuality, size: tuple[int, ...]
) -> Iterator[Finding]:
    if isinstance(measured, TextQuality):
        return _texts(measured)
    if isinstance(measured, SoundQuality):
        return _sounds(measured, size[0])
    return _looks(measured, size) if isinstance(measured, FrameQuality) else _signal_looks(measured, size[0])


def _signal_looks(measured: SignalQuality, samples: int) -> Iterator[Finding]:
    if measured.samples < SMALL * samples:
        seen = f"{measured.samples} samples; the network looks at {samples}"
        yield Finding("too short", f"too short: {seen}. Record at a higher rate, or cut out a whole window")
    if measured.flat:
        which = f"channel {', '.join(map(str, measured.flat))} (from 0)" if measured.channels > 1 else "it"
        yield Finding("flat", f"flat: {which} does not vary. Check that the sensor is connected")
    if measured.clipped > CLIPPED:
        seen = f"{measured.clipped:.0%} of a channel's samples lie flat at its extremes"
        yield Finding("clipped", f"clipped: {seen} ({CLIPPED:.0%} is the most). Lower the sensor's gain")


def _sounds(measured: SoundQuality, samples: int) -> Iterator[Finding]:
    if measured.samples < sq.SHORT * samples:
        seen = f"{measured.samples} samples; the network hears {samples}"
        yield Finding("too short", f"too short: {seen}. Record all of it")
    if measured.peak < sq.QUIET:
        seen = f"the loudest sample has {measured.peak:.0f} dB ({sq.QUIET:.0f} dB is the least)"
        yield Finding("too quiet", f"too quiet: {seen}. Come nearer, or raise the gain")
    if measured.clipped > sq.CLIPPED:
        seen = f"{measured.clipped:.1%} of the samples are at full scale ({sq.CLIPPED:.1%} is the most)"
        yield Finding("clipped", f"clipped: {seen}. Lower the gain, or go farther away")


def _texts(measured: TextQuality) -> Iterator[Finding]:
    if measured.tokens < tq.SHORT:
        yield Finding("too short", "too short: a single piece of a word. Give a whole sentence")
    if measured.foreign:
        seen = f"{measured.unknown:.0%} of its pieces are unknown, the others have {measured.letters:.1f} letters each"
        yield Finding("unknown language", f"its language seems to be none that the network knows: {seen}")


def _looks(measured: FrameQuality, size: tuple[int, ...]) -> Iterator[Finding]:
    height, width = size
    if measured.height < SMALL * height or measured.width < SMALL * width:
        seen = f"{measured.width} × {measured.height} pixels; the network looks at {width} × {height}"
        yield Finding("too small", f"too small: {seen}. Come nearer, or cut out less")
    if measured.blank:
        yield Finding("blank", f"blank: the contrast is {measured.contrast:.1f} (at least {fq.BLANK:g} is needed)")
    elif measured.blur > fq.BLURRED:
        yield Finding(
            "blurred", f"blurred: {measured.blur:.2f} ({fq.BLURRED:g} is the most). Hold still, focus, clean the lens"
        )
    if measured.bright < fq.DARK:
        yield Finding("too dark", f"too dark: the brightest parts reach {measured.bright:.0f} of 255. Give more light")


def _duplicates(similar: npt.NDArray[np.float32], names: Sequence[str], noun: str) -> Iterator[Finding]:
    """Of two that are alike, the later one is the duplicate."""
    if len(similar) and similar.max() > NEAR_DUPLICATE:
        twin = names[int(similar.argmax())]
        name = PurePath(twin).name
        yield Finding("near-duplicate", f"nearly the same {noun} as {name}: it adds nothing", twin)


def _misplaced(scores: LeaveOneOut, number: int, outlier: float, typical: float | None) -> Iterator[Finding]:
    own, rival, nearest = float(scores.own[number]), float(scores.other[number]), scores.nearest[number]
    if nearest is not None and rival > own:
        text = f"closer to {nearest!r} ({rival:.2f}) than to the rest of its own class ({own:.2f})"
        yield Finding("closer to another class", text, nearest)
    elif nearest is not None and np.isnan(own) and typical is not None and rival >= typical:
        text = f"looks like {nearest!r} (score {rival:.2f}), which is enrolled already. Is it the same thing?"
        yield Finding("closer to another class", text, nearest)
    elif own < outlier:
        yield Finding("outlier", f"unlike the rest of its class: score {own:.2f}, at least {outlier:.2f} is usual")


def _denied(
    row: npt.NDArray[np.float32], rest: head.Embeddings, rejected: Sequence[Example], negatives: head.Embeddings
) -> Finding:
    similar = negatives @ row
    source = rejected[int(similar.argmax())].source
    text = (
        f"closer to {PurePath(source).name}, which was rejected for this class ({similar.max():.2f}), than to the rest "
        f"of it ({(rest @ row).max():.2f})"
    )
    return Finding("closer to what it is not", text, source)


def _outlier_score(scores: LeaveOneOut, points: Sequence[CoveragePoint]) -> float:
    """Below it an example is unlike the rest of its class, by what is usual for unseen classes or within this one."""
    limits = [-1.0]
    if (usual := _coverage_score(points, len(scores.own) - 1, OUTLIER_COVERAGE)) is not None:
        limits.append(usual)
    own = scores.own[scores.judged]
    if len(own) >= _ENOUGH_TO_COMPARE:
        # Three robust standard deviations below the median: Leys et al., Detecting Outliers, 2013.
        median = float(np.median(own))
        spread = 1.4826 * float(np.median(np.abs(own - median)))
        limits.append(median - 3 * max(spread, _LEAST_SPREAD))
    return max(limits)


def _coverage_score(points: Sequence[CoveragePoint], shot: int, coverage: float) -> float | None:
    fitting = [p for p in points if p.coverage == coverage]
    if not fitting or shot < 1:
        return None
    return float(min(p.score for p in around(fitting, (shot, shot))))


def _alike(
    strangers: Mapping[int, npt.NDArray[np.float32]], rows: head.Embeddings, scores: LeaveOneOut
) -> tuple[int, ...]:
    """Strangers at least as near to the class as the farthest of its own examples that is still recognised."""
    if not strangers or not scores.right.any():
        return ()
    prototype = head.unit(rows.sum(axis=0, dtype=np.float64)[None])[0]
    usual = float(scores.own[scores.right].min())
    return tuple(number for number, row in strangers.items() if float(row @ prototype) >= usual)


def _advice(diagnosis: Diagnosis, examples: int, task: Task, manifest: Manifest) -> Iterator[str]:
    """What would help, the most helpful first."""
    bad = [
        PurePath(r.name).name
        for r in diagnosis.examples
        if any(f.kind in ("outlier", "closer to another class", "closer to what it is not") for f in r.findings)
    ]
    if bad:
        yield f"look at {', '.join(bad[:3])}{' …' * (len(bad) > 3)}: leave out what does not show {diagnosis.label!r}"
    if any(f.kind in ("blank", "blurred", "too dark", "too small") for r in diagnosis.examples for f in r.findings):
        yield "take the pictures that are blank, blurred, dark or small again"
    if any(f.kind in _BADLY_RECORDED for r in diagnosis.examples for f in r.findings):
        weak = "quiet" if manifest.input.kind == "audio" else "flat"
        yield f"record the {manifest.input.noun}s that are short, {weak} or clipped again"
    if diagnosis.confused_with is not None and diagnosis.recognised < _MOST * diagnosis.judged:
        missed = diagnosis.judged - diagnosis.recognised
        other = diagnosis.confused_with
        yield (
            f"{missed} of {diagnosis.judged} examples would be taken for {other!r}: enroll examples of both that show "
            f"the difference, or say what it is not: edgefew reject … {other!r}"
        )
    if diagnosis.strangers:
        listed = ", ".join(map(str, diagnosis.strangers[:5]))
        yield (
            f"{len(diagnosis.strangers)} of the strangers given to calibrate with look like {diagnosis.label!r} "
            f"(examples {listed}): if they are, take them out with edgefew forget --example"
        )
    if (
        gain := _gain(manifest.operating_points, max(1, len(task.labels)), examples, manifest.input.variety)
    ) is not None:
        yield gain


def _gain(points: Sequence[OperatingPoint], way: int, examples: int, variety: str) -> str | None:
    """What more examples would bring, by what the bundle measured on unseen classes."""
    now = bundle_point(points, way, (examples, examples), _RATE)
    if now is None or now.recall is None:
        return f"add examples from other {variety}" if examples < _FEW else None
    like = [p for p in points if (p.way, p.false_accept_rate) == (now.way, now.false_accept_rate)]
    better = [p for p in like if p.shot > examples and p.recall is not None and p.recall > now.recall + _WORTH_IT]
    if not better:
        return None
    best = min(better, key=lambda p: p.shot)
    return (
        f"add {best.shot - examples} more from other {variety}: of unseen classes, {best.recall:.0%} of "
        f"frames were recognised with {best.shot} examples, {now.recall:.0%} with {now.shot}"
    )

"""What is kept of a patient's enrolment: who enrolled what, the lock, the drift watch, and the evidence to file.

One gallery on disk: a nurse enrolls the first fifteen beats of each kind, the physician locks it. A change without the
pass-phrase is refused, answers go on. A watch compares the scores of later beats with those of enrolment: half of them
as they were, then the others as a moved electrode gives them. The evidence is written as `edgefew evidence` does it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from edgefew_runtime import Answer, Classifier, GalleryLockedError
from edgefew_runtime.classifier import FALSE_ACCEPT_RATE
from edgefew_runtime.drift import DriftWatch
from edgefew_runtime.evidence import evidence, page
from edgefew_runtime.watch_file import keep_watch

WATCHED = 15
"""Enrolled of each kind: a watch needs 20 scores, and five of each kind give 10."""

NURSE, PHYSICIAN, STRANGER = "nurse", "physician", "somebody else"
Array = np.ndarray[Any, Any]


def watched(reference: Sequence[float], before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    """What a watch says of beats as they were, and then of those after a change.

    Returns:
        `before`, `after`: how many beats; `false_alarm`: after how many of the first it cried, None if it did not;
        `alarm`: after how many of the second. An alarm in the first is taken back, as a person would who looked.
    """
    watch = DriftWatch(reference)
    told: dict[str, Any] = {"before": len(before), "after": len(after), "false_alarm": None, "alarm": None}
    for name, scores in (("false_alarm", before), ("alarm", after)):
        for number, score in enumerate(scores, 1):
            if watch.add(score).alarm:
                told[name] = number
                watch.reset()
                break
    return told


def scores(answers: Sequence[Answer]) -> list[float]:
    """The score of each answer; none is unknown, as no rate is promised."""
    return [float(answer.score) for answer in answers if answer.score is not None]


def refused(bundle: Path, gallery: Path, frame: Array) -> list[str]:
    """What is said to somebody who changes the locked gallery without the pass-phrase, and with a wrong one."""
    said = []
    for phrase in (None, "a wrong pass-phrase"):
        with Classifier.open(bundle, gallery, false_accept_rate=None) as classifier:
            if phrase is not None:
                classifier.gallery.unlock(phrase)
            try:
                classifier.enroll("other", [frame], actor=STRANGER)
            except GalleryLockedError as error:
                said.append(str(error))
    return said


def kept(
    bundle: Path,
    place: Path,
    name: str,
    enrolled: Mapping[str, Sequence[Array]],
    later: Mapping[str, Array],
    further: Array,
    at: datetime,
) -> dict[str, Any]:
    """Enroll, lock, watch and file: what came of each. The evidence lies at `place`/evidence-`name`.json and .html.

    Args:
        bundle: the network.
        place: a folder for the gallery, the watch and the evidence.
        name: the patient's.
        enrolled: of each kind the windows that are enrolled.
        later: later windows by what became of the electrode; the first entry as it was.
        further: a window that somebody tries to enroll as `other`.
        at: the time of the record, UTC.
    """
    files = {suffix: place / f"evidence-{name}.{suffix}" for suffix in ("json", "html")}
    gallery, watch = place / f"{name}.gallery", place / f"{name}.watch.json"
    for old in (*files.values(), watch, *place.glob(f"{name}.gallery*")):
        old.unlink(missing_ok=True)
    usual, *_ = later.values()
    half = len(usual) // 2
    with Classifier.open(bundle, gallery, false_accept_rate=None) as classifier:
        for kind, windows in enrolled.items():
            classifier.enroll(kind, list(windows), actor=NURSE)
        phrase = secrets.token_urlsafe(16)
        classifier.gallery.lock(phrase, actor=PHYSICIAN)
        reference = [float(score) for score in classifier.enrolment_scores()]
        unmoved = classifier.classify_many(list(usual))
        told = {}
        for change, changed in later.items():
            answers = scores(classifier.classify_many(list(changed[half:].astype(np.float32))))
            told[change] = watched(reference, scores(unmoved)[:half], answers)
        keep_watch(watch, classifier, unmoved)
    said = refused(bundle, gallery, further)
    with Classifier.open(bundle, gallery, false_accept_rate=None) as classifier:
        counts = {c.label: c.examples for c in classifier.classes()}
        classifier.gallery.unlock(phrase)
        accepted = classifier.enroll("other", [further], actor=PHYSICIAN).accepted
        document = evidence(classifier.bundle, classifier.gallery, at, FALSE_ACCEPT_RATE, watch)
    files["json"].write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    files["html"].write_text(page(document), encoding="utf-8")
    return {
        "watch": told,
        "lock": {
            "answered": len(unmoved),
            "refused": said,
            "unchanged": counts,
            "accepted_with_the_pass_phrase": len(accepted),
        },
        "evidence": {
            "verified": document["verified"],
            "locked": document["gallery"]["locked"],
            "enrolled_by": [
                {"by": by, "label": entry["label"], "examples": sum(e["enrolled_by"] == by for e in entry["examples"])}
                for entry in document["classes"]
                for by in sorted({e["enrolled_by"] for e in entry["examples"]})
            ],
            "acceptance": {
                entry["label"]: {key: entry["leave_one_out"][key] for key in ("right", "judged", "right_95")}
                for entry in document["classes"]
            },
            "drift": document["drift"]["alarm"],
        },
    }

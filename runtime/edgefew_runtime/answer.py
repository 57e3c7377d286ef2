"""From an embedding to an answer: which enrolled class, how sure, or unknown."""

from __future__ import annotations

import functools
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import head
from .gallery import Task
from .operating_point import Promise

_FEW = 64
_ABSENT = float(head.ABSENT)
_MAX_COSINE = 1.01
"""A score beyond it, rounding included, is no cosine."""


@dataclass(frozen=True, init=False)
class Answer:
    """What a frame is taken for.

    Attributes:
        label: the nearest enrolled class, whether near enough or not; None if nothing is enrolled.
        probability: of that class among the enrolled ones, 0 to 1.
        score: its cosine, -1 to 1; None if nothing is enrolled.
        known: whether the score passes the threshold. If not, the answer is "unknown": do not act on `label`.
        runner_up: the next class; None if fewer than two are enrolled.
        margin: by how much the score is above the runner-up's, of both as refined by unlabelled frames or completed by
            generated examples, where there are such; None if there is none.
        threshold: what the score was compared with; None if no threshold was asked for, or none can be stated.
        labels: every class that may be it at the coverage asked for (a conformal set), best first; empty where
            none may, None if no coverage was asked for.
    """

    label: str | None
    probability: float
    score: float | None
    known: bool
    runner_up: str | None
    margin: float | None
    threshold: float | None
    labels: tuple[str, ...] | None

    def __init__(
        self,
        label: str | None,
        probability: float,
        score: float | None,
        known: bool,
        runner_up: str | None,
        margin: float | None,
        threshold: float | None,
        labels: tuple[str, ...] | None = None,
    ) -> None:
        # What a frozen dataclass generates makes a call for each field: 15 µs when a network has emptied the caches.
        self.__dict__.update(
            label=label,
            probability=probability,
            score=score,
            known=known,
            runner_up=runner_up,
            margin=margin,
            threshold=threshold,
            labels=labels,
        )

    def __str__(self) -> str:
        return self.label if self.known and self.label is not None else "unknown"

    def to_dict(self) -> dict[str, Any]:
        """As a line of `edgefew classify --json`, without the file."""
        return asdict(self)


@dataclass(frozen=True)
class Decision:
    """One state of the gallery, ready to answer with; replaced whole when the gallery changes.

    Attributes:
        version: of the gallery.
        task: the classes.
        scale: what scores are multiplied by before the softmax.
        promise: what makes an answer known; None to always answer.
        coverage_score: the least score of a class of the conformal set; None if none was asked for.
        completed: float32 [c, d], prototypes refined by unlabelled frames or completed by generated examples, which
            choose between the classes in the place of the task's; None if those do. Whether a frame is known, and its
            conformal set, are decided by the task's own all the same: that is what the thresholds were measured with.
    """

    version: tuple[int, int]
    task: Task
    scale: float
    promise: Promise | None
    coverage_score: float | None
    completed: head.Embeddings | None = None

    @functools.cached_property
    def absent(self) -> list[int]:
        """Classes whose examples cancel out: they have no direction."""
        absent: list[int] = np.flatnonzero(~self.task.prototypes.any(axis=1)).tolist()
        return absent

    def answer(self, embedding: npt.NDArray[np.float32]) -> Answer:
        """The answer for one embedding, float32 [d]."""
        # A network has emptied the caches when this runs: what it touches counts, not what it computes.
        task, promise = self.task, self.promise
        threshold = None if promise is None else promise.threshold
        names = task.labels
        if not names:
            return self._nothing(threshold)
        scores = task.prototypes.dot(embedding)  # less on the way to the product than `@` has
        gone = self._gone(embedding) if task.rejected else self.absent
        if gone:
            scores[gone] = head.ABSENT
        ranked = scores
        if self.completed is not None:
            ranked = self.completed.dot(embedding)
            ranked[gone] = head.ABSENT
        rank = _rank_few if len(names) <= _FEW else _rank_many
        best, score, second, next_score, total = rank(ranked, self.scale)
        # No cosine: an embedding with NaN or Inf (NaN fails every comparison), or none of the classes is present.
        # Exactly 0 is what an embedding of zeros scores with all of them.
        if not _ABSENT < score < _MAX_COSINE or (score == 0 and not embedding.any()):
            return self._nothing(threshold)
        runner_up = margin = None
        if next_score > _ABSENT:
            runner_up, margin = names[second], score - next_score
        if ranked is not scores:
            score = float(scores[best])
        known = promise is None or (threshold is not None and score >= threshold)
        labels = None if self.coverage_score is None else self._conformal_set(scores, self.coverage_score)
        return Answer(names[best], 1 / total, score, known, runner_up, margin, threshold, labels)

    def _gone(self, embedding: npt.NDArray[np.float32]) -> list[int]:
        """Classes that cannot be it: without direction, or with a rejected example nearer to the frame than any own."""
        rejected = [
            index
            for index, (examples, rejected) in self.task.rejected.items()
            if (rejected @ embedding).max() >= (examples @ embedding).max()
        ]
        return [*self.absent, *rejected]

    def _conformal_set(self, scores: npt.NDArray[np.float32], least: float) -> tuple[str, ...]:
        inside = np.flatnonzero((scores >= least) & (scores > head.ABSENT))
        return tuple(self.task.labels[i] for i in inside[np.argsort(-scores[inside], kind="stable")])

    def _nothing(self, threshold: float | None) -> Answer:
        return Answer(None, 0.0, None, False, None, None, threshold, None if self.coverage_score is None else ())


_Ranked = tuple[int, float, int, float, float]
"""Place and score of the best class and of the next (`ABSENT` if there is none), and the sum of exp(scale × (score -
best score)) over the classes that are not absent."""


def _rank_few(scores: npt.NDArray[np.float32], scale: float) -> _Ranked:
    """The ranking in plain Python: a network has emptied the caches, and then every call into C costs 5 to 10 µs."""
    values: list[float] = scores.tolist()
    best = second = 0
    score = next_score = _ABSENT
    for place, value in enumerate(values):
        if value > next_score:  # never true of NaN
            if value > score:
                second, next_score = best, score
                best, score = place, value
            else:
                second, next_score = place, value
    exp, total = math.exp, 0.0
    for value in values:
        if value > _ABSENT:
            total += exp(scale * (value - score))
    return best, score, second, next_score, total


def _rank_many(scores: npt.NDArray[np.float32], scale: float) -> _Ranked:
    """The ranking in numpy."""
    best = int(scores.argmax())
    score = float(scores[best])
    if not score > head.ABSENT:
        return 0, score, 0, _ABSENT, 1.0
    weights = scores - np.float32(score)
    weights *= np.float32(scale)
    np.exp(weights, out=weights)
    weights[scores <= head.ABSENT] = 0
    scores[best] = head.ABSENT
    second = int(scores.argmax())
    next_score = float(scores[second])
    scores[best] = score
    return best, score, second, next_score, float(weights.sum())

"""How the enrolled examples would be answered if they were not enrolled: each one left out in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import head
from .gallery import Example

_BLOCK = 4096
"""Examples scored at once: what is held is so many rows of scores."""


@dataclass(frozen=True)
class LeaveOneOut:
    """Scores of `n` examples, each against the gallery without it.

    Attributes:
        labels: the class of each.
        own: float32 [n], cosine with the other examples of its class; NaN where there is none.
        other: float32 [n], the best cosine with another class; -2 where there is none.
        nearest: that class of each; None where there is none.
        turned_away: bool [n], nearer to what its class is not than to every other example of it.
    """

    labels: tuple[str, ...]
    own: npt.NDArray[np.float32]
    other: npt.NDArray[np.float32]
    nearest: tuple[str | None, ...]
    turned_away: npt.NDArray[np.bool_]

    @property
    def judged(self) -> npt.NDArray[np.bool_]:
        """Bool [n]: the examples whose class has another example."""
        return ~np.isnan(self.own)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Bool [n]: the examples that are still recognised."""
        return (self.own > self.other) & ~self.turned_away

    def accuracy(self) -> float | None:
        """Share of the judged examples that are still recognised; None if none can be judged."""
        return float(self.right[self.judged].mean()) if self.judged.any() else None


def leave_one_out(content: Mapping[str, Sequence[Example]]) -> LeaveOneOut:
    """The scores of a gallery's examples (`Gallery.content`), which respect what each class is not."""
    groups, rejected = (
        [[e.embedding for e in examples if e.negative is side] for examples in content.values()]
        for side in (False, True)
    )
    labels = tuple(label for label, group in zip(content, groups, strict=True) for _ in group)
    if not labels:
        empty = np.empty(0, np.float32)
        return LeaveOneOut((), empty, empty, (), empty > 0)
    embeddings = np.array([row for group in groups for row in group], np.float32)
    index = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    sums = np.zeros((len(groups), embeddings.shape[1]))
    np.add.at(sums, index, embeddings)
    sides = {i: (embeddings[index == i], np.array(rows)) for i, rows in enumerate(rejected) if rows and groups[i]}
    away = np.zeros(len(labels), np.bool_)
    for i, (rows, others) in sides.items():
        away[index == i] = turned_away(rows, others)
    return left_out(labels, embeddings, sums[index], index, head.unit(sums), tuple(content), sides, away)


def turned_away(examples: head.Embeddings, rejected: head.Embeddings) -> npt.NDArray[np.bool_]:
    """Which examples of a class, each left out in turn, are nearer to what it is not than to all others of it.

    Args:
        examples: float32 [n, d], all of the class.
        rejected: float32 [m, d], what it is not.
    """
    result = np.zeros(len(examples), np.bool_)
    if len(examples) < 2 or not len(rejected):  # the only example cannot be left out
        return result
    for start in range(0, len(examples), _BLOCK):
        part = examples[start : start + _BLOCK]
        similar = part @ examples.T
        similar[np.arange(len(part)), np.arange(start, start + len(part))] = head.ABSENT
        result[start : start + _BLOCK] = (part @ rejected.T).max(axis=1) >= similar.max(axis=1)
    return result


def left_out(
    labels: tuple[str, ...],
    embeddings: head.Embeddings,
    sums: head.Sums,
    own_place: npt.NDArray[np.int64],
    prototypes: head.Embeddings,
    names: tuple[str, ...],
    rejected: Mapping[int, tuple[head.Embeddings, head.Embeddings]],
    away: npt.NDArray[np.bool_],
) -> LeaveOneOut:
    """The scores of examples, each against its class without it and against the other classes.

    Args:
        labels: n, the class of each example.
        embeddings: float32 [n, d], the examples.
        sums: float64 [n, d] or [1, d], the sum of each one's class, the example among it.
        own_place: int64 [n], where in `names` its class stands; -1 where it does not.
        prototypes: float32 [c, d], of the classes.
        names: c, of the classes.
        rejected: for each class (by index) that has rejected examples: its own [k, d] and the rejected [m, d].
        away: bool [n], what `turned_away` says of them.
    """
    rest = head.unit(sums - embeddings)
    own = np.where(rest.any(axis=1), (rest * embeddings).sum(axis=1), np.nan).astype(np.float32)
    other = np.full(len(embeddings), head.ABSENT)
    nearest: list[str | None] = [None] * len(embeddings)
    for start in range(0, len(embeddings) if names else 0, _BLOCK):
        part = slice(start, start + _BLOCK)
        scores = head.cosine_scores(embeddings[part], prototypes)
        for place, (examples, others) in rejected.items():
            nearer = (embeddings[part] @ others.T).max(axis=1) >= (embeddings[part] @ examples.T).max(axis=1)
            scores[nearer, place] = head.ABSENT
        standing = np.flatnonzero(own_place[part] >= 0)
        scores[standing, own_place[part][standing]] = head.ABSENT
        best = scores.argmax(axis=1)
        other[part] = scores[np.arange(len(scores)), best]
        nearest[part] = [names[i] if score > head.ABSENT else None for i, score in zip(best, other[part], strict=True)]
    return LeaveOneOut(labels, own, other, tuple(nearest), away)

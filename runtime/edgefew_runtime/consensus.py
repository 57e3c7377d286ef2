"""One answer for one thing in view, from many frames: they vote, and one wrong frame does not flip the answer.

```python
consensus = Consensus()
for frame in camera:
    verdict = consensus.add(classifier.classify(frame))
    print(verdict)  # "no entry" or "unknown"
```

Each frame has one vote, for its label or for unknown, with a weight from 1 to 2 (`vote_weight`). Over the last `window`
frames:

- A label with at least `QUORUM` frames and more than half of the votes becomes the answer.
- Without such a label, the answer stays while at least `QUORUM - 1` frames of the window vote for it; after that it is
  unknown.

The bounds on the weight make two things certain, whatever the scores. Three frames that agree weigh at least 3 and any
one frame at most 2, so one frame never flips what three say. `k` of `w` frames that agree weigh at least `k` and the
others at most `2 (w - k)`, so `k = floor(2 w / 3) + 1` of them are always more than half (`frames_to_follow`).
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .errors import EdgeFewError

if TYPE_CHECKING:
    from .answer import Answer

QUORUM = 3
"""The fewest frames that make an answer. With two, one wrong frame would be as many as one right one."""

CLEAR = 0.2
"""A frame this far (cosine) from being answered otherwise has the full weight of 2."""


@dataclass(frozen=True)
class TrackAnswer:
    """What the frames of one thing are taken for, together.

    Attributes:
        label: the class; None for unknown.
        share: of the votes, those for this answer, 0 to 1.
        frames: how many voted.
        agreeing: how many of them voted for this answer.
        since: the number of the frame (the first is 1) from which on this is the answer; 0 before the first frame.
        score: the median score (cosine) of the frames that agree; None for unknown. It stands for the whole track
            where a `DriftWatch` is told of it.
    """

    label: str | None
    share: float
    frames: int
    agreeing: int
    since: int
    score: float | None

    @property
    def known(self) -> bool:
        """Whether the frames agree on an enrolled class."""
        return self.label is not None

    def __str__(self) -> str:
        return "unknown" if self.label is None else self.label

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"known": self.known, **asdict(self)}


@dataclass(frozen=True)
class _Vote:
    label: str | None
    weight: float
    score: float | None


class Consensus:
    """The answer over the last frames of a video. Not for use from several threads; keep one for each thing tracked.

    Args:
        window: how many frames vote. A longer one is steadier and follows a change later (`frames_to_follow`).

    Raises:
        EdgeFewError: the window is no integer above `QUORUM`.
    """

    def __init__(self, window: int = 7) -> None:
        if isinstance(window, bool) or not isinstance(window, int) or window <= QUORUM:
            raise EdgeFewError(
                f"A window of {window!r} frames was asked for; an integer of at least {QUORUM + 1} was expected, "
                f"because {QUORUM} frames must agree and one may be wrong."
            )
        self._votes: deque[_Vote] = deque(maxlen=window)
        self.reset()

    def reset(self) -> None:
        """Begin anew, as for another thing."""
        self._votes.clear()
        self._label: str | None = None
        self._seen = self._since = 0

    def add(self, answer: Answer) -> TrackAnswer:
        """The answer after one more frame."""
        self._votes.append(_vote(answer))
        self._seen += 1
        label = self._next_label()
        if label != self._label or self._seen == 1:
            self._label, self._since = label, self._seen
        return _tally(self._votes, label, self._since)

    def _next_label(self) -> str | None:
        challenger = _majority(self._votes)
        if challenger is not None:
            return challenger.label
        standing = sum(vote.label == self._label for vote in self._votes)
        return self._label if standing >= QUORUM - 1 else None


def track_answer(answers: Iterable[Answer]) -> TrackAnswer:
    """What the frames of a finished track are taken for, whatever their order.

    It is the label with at least `QUORUM` frames and more than half of the votes of the whole track; else unknown.
    So fewer than `QUORUM` frames are always unknown: they cannot outvote a wrong one.
    """
    votes = [_vote(answer) for answer in answers]
    winner = _majority(votes)
    return _tally(votes, None if winner is None else winner.label, min(1, len(votes)))


def frames_to_follow(window: int) -> int:
    """How many frames of the window are enough, whatever the others say: so late is a true change followed at most.

    >>> frames_to_follow(7)
    5
    """
    return 2 * window // 3 + 1


def vote_weight(answer: Answer) -> float:
    """The weight of one frame's vote, 1 to 2.

    It grows with the distance to the nearest other answer: the margin to the runner-up, or the distance of the score to
    the threshold, whichever is less, because that is the change of the scores (cosine) that would alter the answer. For
    an unknown it is the distance below the threshold. At `CLEAR` or more it is 2. Where there is neither, it is 1.
    """
    score, threshold = answer.score, answer.threshold
    distances = []
    if score is not None and threshold is not None:
        distances.append(score - threshold if _known(answer) else threshold - score)
    if answer.margin is not None and _known(answer):
        distances.append(answer.margin)
    # NaN is not above 0 in any comparison: such a frame keeps its one vote and no more.
    if not distances or not all(distance > 0 for distance in distances):
        return 1.0
    return 1 + min(1.0, min(distances) / CLEAR)


def _known(answer: Answer) -> bool:
    return answer.known and answer.label is not None


def _vote(answer: Answer) -> _Vote:
    known = _known(answer)
    return _Vote(answer.label if known else None, vote_weight(answer), answer.score if known else None)


def _weight(votes: Iterable[_Vote]) -> float:
    # fsum rounds once, so the sum is the same in any order.
    return math.fsum(vote.weight for vote in votes)


def _majority(votes: Iterable[_Vote]) -> _Vote | None:
    """A vote for the answer that has the quorum and more than half of all votes; None if there is no such answer."""
    groups: dict[str | None, list[_Vote]] = {}
    for vote in votes:
        groups.setdefault(vote.label, []).append(vote)
    half = _weight(votes) / 2
    return next((group[0] for group in groups.values() if len(group) >= QUORUM and _weight(group) > half), None)


def _tally(votes: Iterable[_Vote], label: str | None, since: int) -> TrackAnswer:
    every = list(votes)
    agreeing = [vote for vote in every if vote.label == label]
    share = _weight(agreeing) / _weight(every) if every else 0.0
    scores = [vote.score for vote in agreeing if vote.score is not None]
    return TrackAnswer(label, share, len(every), len(agreeing), since, statistics.median(scores) if scores else None)

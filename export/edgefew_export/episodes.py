"""Episodes: which images are support and which are query, as index arrays.

An episode is decided by `(seed, number)` alone, so that training can resume anywhere, and a checkpoint and its
bundle are asked exactly the same questions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from edgefew_runtime import DataError

_TRIES = 200


@dataclass(frozen=True)
class Episode:
    """One task: `way` classes, `shot` labelled examples of each, `query` questions about each.

    Attributes:
        support: int64 [way, shot], index of the image.
        query: int64 [way, query], index of the image.
        classes: int64 [way], which class each row is.
    """

    support: npt.NDArray[np.int64]
    query: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]


class EpisodeSampler:
    """Draws episodes of one kind from labelled images.

    >>> labels = np.repeat(np.arange(10), 4)
    >>> sampler = EpisodeSampler(labels, way=5, shot=1, query=3, seed=0)
    >>> sampler.episode(0).support.shape, sampler.episode(0).query.shape
    ((5, 1), (5, 3))

    With sources, each episode splits them in two by coin flips: support comes from one side, queries from the other.

    Args:
        labels: int64 [n], class of each image.
        sources: int64 [n] or None, where each image comes from.
        groups: int64 [c] or None; if given, all classes of an episode are of one group (the characters of one
            alphabet).
        way: classes in an episode.
        shot: support examples of each class.
        query: queries of each class.
        seed: decides every episode.

    Raises:
        DataError: no episode of this kind can be drawn from these images.
    """

    def __init__(
        self,
        labels: npt.NDArray[np.int64],
        *,
        sources: npt.NDArray[np.int64] | None = None,
        groups: npt.NDArray[np.int64] | None = None,
        way: int,
        shot: int,
        query: int,
        seed: int,
    ) -> None:
        if min(way - 1, shot, query) < 1:
            raise DataError(f"way {way}, shot {shot}, query {query}: at least 2, 1 and 1 were expected.")
        self.way, self.shot, self.query, self.seed = way, shot, query, seed
        self._labels = labels
        self._groups = groups
        self._order = np.argsort(labels, kind="stable")
        self._count = int(labels.max()) + 1 if len(labels) else 0
        self._sources = sources
        self._source_count = 0 if sources is None else int(sources.max()) + 1
        self._check()

    def episode(self, number: int) -> Episode:
        """The episode with this number; always the same one."""
        rng = np.random.default_rng([self.seed, number])
        for _ in range(_TRIES):
            support_side = self._flip_sources(rng)
            classes = self._choose_classes(self._eligible(support_side), rng)
            if classes is not None:
                return self._draw(classes, support_side, rng)
        raise DataError(self._why_not(f"none found in {_TRIES} tries"))

    def _flip_sources(self, rng: np.random.Generator) -> npt.NDArray[np.bool_] | None:
        """Bool [n], True where an image may be support; None if every image may be either."""
        if self._sources is None:
            return None
        side = rng.random(self._source_count) < 0.5
        return np.asarray(side[self._sources])

    def _eligible(self, support_side: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.int64]:
        if support_side is None:
            counts = np.bincount(self._labels, minlength=self._count)
            return np.flatnonzero(counts >= self.shot + self.query)
        support = np.bincount(self._labels[support_side], minlength=self._count)
        query = np.bincount(self._labels[~support_side], minlength=self._count)
        return np.flatnonzero((support >= self.shot) & (query >= self.query))

    def _choose_classes(
        self, eligible: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> npt.NDArray[np.int64] | None:
        if self._groups is not None:
            groups, sizes = np.unique(self._groups[eligible], return_counts=True)
            groups = groups[sizes >= self.way]
            if not len(groups):
                return None
            eligible = eligible[self._groups[eligible] == rng.choice(groups)]
        return rng.choice(eligible, self.way, replace=False) if len(eligible) >= self.way else None

    def _draw(
        self,
        classes: npt.NDArray[np.int64],
        support_side: npt.NDArray[np.bool_] | None,
        rng: np.random.Generator,
    ) -> Episode:
        support = np.empty((self.way, self.shot), np.int64)
        query = np.empty((self.way, self.query), np.int64)
        sorted_labels = self._labels[self._order]
        for row, label in enumerate(classes):
            first, last = np.searchsorted(sorted_labels, [label, label + 1])
            members = rng.permutation(self._order[first:last])
            if support_side is None:
                support[row], query[row] = members[: self.shot], members[self.shot : self.shot + self.query]
            else:
                on_support = support_side[members]
                support[row] = members[on_support][: self.shot]
                query[row] = members[~on_support][: self.query]
        return Episode(support, query, classes)

    def _check(self) -> None:
        """Refuse at once what no episode can satisfy, and say what the data has."""
        if self._groups is not None and not self._enough_in_one_group():
            raise DataError(self._why_not("no group has that many classes with enough images"))
        if self._source_count == 1:
            raise DataError(self._why_not("all images have the same source, and support and query never share one"))
        if len(self._possible_classes()) < self.way:
            raise DataError(self._why_not(f"{len(self._possible_classes())} classes have that many"))
        self.episode(0)

    def _possible_classes(self) -> npt.NDArray[np.int64]:
        counts = np.bincount(self._labels, minlength=self._count)
        possible = counts >= self.shot + self.query
        if self._sources is not None:
            pairs = np.unique(np.stack([self._labels, self._sources], axis=1), axis=0)
            possible &= np.bincount(pairs[:, 0], minlength=self._count) > 1
        return np.flatnonzero(possible)

    def _enough_in_one_group(self) -> bool:
        groups = self._groups[self._possible_classes()] if self._groups is not None else np.empty(0, np.int64)
        return bool(len(groups) and np.bincount(groups).max() >= self.way)

    def _why_not(self, reason: str) -> str:
        sides = " from another source" if self._sources is not None else ""
        return (
            f"{self.way}-way {self.shot}-shot episodes need {self.way} classes with {self.shot} support and "
            f"{self.query} query images"
            f"{sides}: {reason}. Add images, or ask for a smaller --way, --shot or --query."
        )

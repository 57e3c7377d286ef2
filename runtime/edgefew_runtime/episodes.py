"""Episodes: which images are support and which are query, as index arrays.

An episode is decided by `(seed, number)` alone, so that training can resume anywhere, and a checkpoint and its
bundle are asked exactly the same questions.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import DataError

_TRIES = 100
_CHECKED = 20
_ENUMERATED = 8
_SAMPLED = 256


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

    With sources, each episode puts every source on one of two sides: support comes from one, queries from the other,
    for all of its classes.

    Args:
        labels: int64 [n], class of each image.
        sources: int64 [n] or None, where each image comes from.
        groups: int64 [c] or None; if given, all classes of an episode are of one group (the characters of one
            alphabet).
        classes: int64 [k] or None; if given, only these are drawn.
        fill: where one group has too few classes, take those of further groups, too.
        way: classes in an episode.
        shot: support examples of each class.
        query: queries of each class.
        seed: decides every episode.
        checked: episodes that are drawn at once, so that what cannot be drawn is known now.

    Raises:
        DataError: no episode of this kind can be drawn from these images.
    """

    def __init__(
        self,
        labels: npt.NDArray[np.int64],
        *,
        sources: npt.NDArray[np.int64] | None = None,
        groups: npt.NDArray[np.int64] | None = None,
        classes: npt.NDArray[np.int64] | None = None,
        fill: bool = False,
        way: int,
        shot: int,
        query: int,
        seed: int,
        checked: int = _CHECKED,
    ) -> None:
        if min(way - 1, shot, query) < 1:
            raise DataError(f"way {way}, shot {shot}, query {query}: at least 2, 1 and 1 were expected.")
        self.way, self.shot, self.query, self.seed = way, shot, query, seed
        self._sources, self._groups, self._fill = sources, groups, fill
        order = np.argsort(labels, kind="stable")
        count = int(labels.max()) + 1 if len(labels) else 0
        self._members = np.split(order, np.searchsorted(labels[order], np.arange(1, count))) if count else []
        # Of each class: its sources, and how many of its images each gave.
        self._origins = (
            [np.unique(sources[m], return_counts=True) for m in self._members] if sources is not None else []
        )
        drawn = range(count) if classes is None else classes.tolist()
        self._possible = np.array([c for c in drawn if self._is_possible(c)], np.int64)
        self._check(checked)

    def episode(self, number: int) -> Episode:
        """The episode with this number; always the same one."""
        rng = np.random.default_rng([self.seed, number])
        for _ in range(_TRIES):
            chosen = self._choose(rng)
            if chosen is not None:
                return self._draw(*chosen, rng)
        raise DataError(self._why_not(f"none found in {_TRIES} tries for episode {number}"))

    def _is_possible(self, label: int) -> bool:
        if not self._origins:
            return len(self._members[label]) >= self.shot + self.query
        return len(_splits(tuple(self._origins[label][1]), self.shot, self.query)) > 0

    def _choose(self, rng: np.random.Generator) -> tuple[list[int], dict[int, bool]] | None:
        """Classes, and for each of their sources whether it gives support (True) or queries.

        Class after class in random order; each may put those of its sources that no earlier class has placed on either
        side. A class for which no placing works is passed over.
        """
        sides: dict[int, bool] = {}
        chosen: list[int] = []
        for label in self._candidates(rng).tolist():
            if not self._origins or self._place(label, sides, rng):
                chosen.append(label)
                if len(chosen) == self.way:
                    return chosen, sides
        return None

    def _candidates(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Classes in the order in which to try them: int64 [k]."""
        if self._groups is None:
            return rng.permutation(self._possible)
        of = self._groups[self._possible]
        groups, sizes = np.unique(of, return_counts=True)
        if self._fill:
            turn = rng.permutation(int(groups.max()) + 1)[of]
            order = rng.permutation(len(turn))
            return self._possible[order[np.argsort(turn[order], kind="stable")]]
        large = groups[sizes >= self.way]
        return rng.permutation(self._possible[of == rng.choice(large)]) if len(large) else large

    def _place(self, label: int, sides: dict[int, bool], rng: np.random.Generator) -> bool:
        """Give each source of the class that has no side yet one, with enough images on both; tells if that worked."""
        shot, query, free, counts = self.shot, self.query, [], []
        for source, count in zip(*self._origins[label], strict=True):
            side = sides.get(source)
            if side is None:
                free.append(source)
                counts.append(count)
            elif side:
                shot -= count
            else:
                query -= count
        splits = _splits(tuple(counts), max(shot, 0), max(query, 0))
        if not len(splits):
            return False
        sides.update(zip(free, splits[rng.integers(len(splits))].tolist(), strict=True))
        return True

    def _draw(self, classes: list[int], sides: dict[int, bool], rng: np.random.Generator) -> Episode:
        support = np.empty((self.way, self.shot), np.int64)
        query = np.empty((self.way, self.query), np.int64)
        for row, label in enumerate(classes):
            members = rng.permutation(self._members[label])
            if self._sources is None:
                support[row], query[row] = members[: self.shot], members[self.shot : self.shot + self.query]
            else:
                on_support = np.array([sides[source] for source in self._sources[members].tolist()])
                support[row] = members[on_support][: self.shot]
                query[row] = members[~on_support][: self.query]
        return Episode(support, query, np.array(classes, np.int64))

    def _check(self, episodes: int) -> None:
        """Refuse at once what no episode can satisfy, and say what the data has."""
        if self._sources is not None and len(np.unique(self._sources)) == 1:
            raise DataError(self._why_not("all images have the same source, and support and query never share one"))
        if len(self._possible) < self.way:
            raise DataError(self._why_not(f"{len(self._possible)} classes have that many"))
        if self._groups is not None and not self._fill and np.bincount(self._groups[self._possible]).max() < self.way:
            raise DataError(self._why_not("no group has that many classes with enough images"))
        for number in range(episodes):
            self.episode(number)

    def _why_not(self, reason: str) -> str:
        sides = " from another source" if self._sources is not None else ""
        return (
            f"{self.way}-way {self.shot}-shot episodes need {self.way} classes with {self.shot} support and "
            f"{self.query} query images"
            f"{sides}: {reason}. Add images, or ask for a smaller --way, --shot or --query."
        )


def _sources_of(sources: npt.NDArray[np.int64]) -> tuple[list[int], list[int]]:
    names, counts = np.unique(sources, return_counts=True)
    return names.tolist(), counts.tolist()


@functools.lru_cache(maxsize=65536)
def _splits(counts: tuple[int, ...], shot: int, query: int) -> npt.NDArray[np.bool_]:
    """Ways to put sources with these numbers of images on the support side (True) or the query side.

    bool [splits, sources], with enough images on both sides: all there are for up to `_ENUMERATED` sources; for more,
    those among `_SAMPLED` random ones (always the same), or if none of these will do, among the ones that leave one
    source alone on a side.
    """
    m = len(counts)
    if m <= _ENUMERATED:
        return _enough((np.arange(2**m)[:, None] >> np.arange(m) & 1).astype(bool), counts, shot, query)
    found = _enough(np.random.default_rng(m).random((_SAMPLED, m)) < 0.5, counts, shot, query)
    if len(found):
        return found
    alone = np.eye(m, dtype=bool)
    return _enough(np.concatenate([alone, ~alone]), counts, shot, query)


def _enough(splits: npt.NDArray[np.bool_], counts: tuple[int, ...], shot: int, query: int) -> npt.NDArray[np.bool_]:
    """The splits that have enough images on both sides."""
    support = splits @ np.array(counts, np.int64)
    return np.asarray(splits[(support >= shot) & (sum(counts) - support >= query)])

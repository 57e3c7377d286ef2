"""Episodes: what they hold, that they repeat, and that support and query never share a source."""

from __future__ import annotations

import numpy as np
import pytest
from edgefew_export.episodes import EpisodeSampler
from edgefew_runtime import DataError
from hypothesis import given
from hypothesis import strategies as st

LABELS = np.repeat(np.arange(12), 8)
SOURCES = np.tile(np.repeat(np.arange(4), 2), 12)


def sampler(**changes: object) -> EpisodeSampler:
    arguments = {"labels": LABELS, "sources": SOURCES, "way": 5, "shot": 2, "query": 2, "seed": 0} | changes
    return EpisodeSampler(arguments.pop("labels"), **arguments)  # type: ignore[arg-type]


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_support_and_query_share_neither_image_nor_source(seed: int, number: int) -> None:
    episode = sampler(seed=seed).episode(number)
    assert len(set(episode.classes)) == 5
    for rows in (episode.support, episode.query):
        assert (LABELS[rows] == episode.classes[:, None]).all()
        assert all(len(set(row)) == 2 for row in rows.tolist())
    assert not set(SOURCES[episode.support].ravel()) & set(SOURCES[episode.query].ravel())


def test_without_sources_no_image_is_in_both() -> None:
    draws = sampler(sources=None)
    for number in range(50):
        episode = draws.episode(number)
        assert not set(episode.support.ravel()) & set(episode.query.ravel())


def test_an_episode_is_decided_by_seed_and_number() -> None:
    one, again, other = sampler(), sampler(), sampler(seed=1)
    assert all(np.array_equal(one.episode(n).query, again.episode(n).query) for n in (7, 3, 7))
    assert not all(np.array_equal(one.episode(n).query, other.episode(n).query) for n in range(5))


def test_every_class_and_image_takes_part() -> None:
    draws = sampler()
    episodes = [draws.episode(n) for n in range(300)]
    used = np.concatenate([np.concatenate([e.support.ravel(), e.query.ravel()]) for e in episodes])
    counts = np.bincount(used, minlength=len(LABELS))
    assert counts.min() > 0.5 * counts.mean()


def test_within_a_group_all_classes_are_of_one_group() -> None:
    groups = np.repeat([0, 1], 6)
    draws = sampler(groups=groups)
    seen = {tuple(set(groups[draws.episode(n).classes])) for n in range(30)}
    assert seen == {(0,), (1,)}


def test_a_group_with_too_few_classes_is_filled_up_from_as_few_others_as_will_do() -> None:
    groups = np.repeat([0, 1, 2, 3], 3)
    draws = sampler(groups=groups, fill=True, way=5)
    seen = [np.bincount(groups[draws.episode(n).classes], minlength=4) for n in range(60)]
    assert all(sorted(counts) == [0, 0, 2, 3] for counts in seen)
    assert all(np.array(seen).any(axis=0))
    small = sampler(groups=groups, fill=True, way=3)
    assert all(len(set(groups[small.episode(n).classes])) == 1 for n in range(30))


def test_only_some_classes_are_drawn_if_asked() -> None:
    draws = sampler(classes=np.array([1, 3, 4, 7, 8, 11]))
    assert set(np.concatenate([draws.episode(n).classes for n in range(50)]).tolist()) == {1, 3, 4, 7, 8, 11}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"way": 13}, "12 classes have that many"),
        ({"shot": 7}, "0 classes have that many"),
        ({"sources": np.zeros(96, np.int64)}, "same source"),
        ({"way": 1}, "way 1"),
        ({"query": 0}, "query 0"),
        ({"groups": np.arange(12) // 4}, "no group"),
        ({"labels": np.empty(0, np.int64), "sources": None}, "0 classes have that many"),
    ],
)
def test_what_cannot_be_drawn_is_said_at_once(changes: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match=says):
        sampler(**changes)


def test_sources_of_one_class_each_work_with_every_class_in_the_episode() -> None:
    labels = np.repeat(np.arange(30), 6)
    tracks = np.arange(180) // 3  # two tracks a class, of no other class
    draws = EpisodeSampler(labels, sources=tracks, way=30, shot=3, query=3, seed=0)
    for number in range(100):
        episode = draws.episode(number)
        assert not set(tracks[episode.support].ravel()) & set(tracks[episode.query].ravel())


def test_many_sources_are_split_too() -> None:
    labels, smears = np.repeat([0, 1, 2], 40), np.tile(np.arange(40), 3)
    draws = EpisodeSampler(labels, sources=smears, way=3, shot=15, query=15, seed=0)
    for number in range(50):
        episode = draws.episode(number)
        assert not set(smears[episode.support].ravel()) & set(smears[episode.query].ravel())


def test_classes_that_share_only_some_of_many_sources_work() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(12), 60)
    smears = np.concatenate([rng.choice(rng.permutation(100)[:25], 60) for _ in range(12)])
    draws = EpisodeSampler(labels, sources=smears, way=12, shot=5, query=5, seed=0)
    for number in range(100):
        episode = draws.episode(number)
        assert len(set(episode.classes.tolist())) == 12
        assert not set(smears[episode.support].ravel()) & set(smears[episode.query].ravel())

"""How well known and unknown are told apart on classes that training never saw, and whether the thresholds hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from edgefew_runtime import DataError, head
from edgefew_runtime.episode_accuracy import episode_scores
from edgefew_runtime.episodes import EpisodeSampler
from edgefew_runtime.operating_point import bundle_point

from .calibration import WAYS, calibrate

GALLERIES = 200
"""Random galleries that a figure is the mean of."""

MAX_WAY = 20
SHOT = 1

RECALL = 0.9
"""The share of frames of enrolled classes that must be accepted where false accepts are stated for a recall."""

Labels = npt.NDArray[np.int64]


def open_set(
    embeddings: head.Embeddings, labels: Labels, sources: Labels | None, rates: tuple[float, ...], seed: int
) -> dict[str, Any]:
    """What the report says of known against unknown; galleries of random classes, asked about themselves and the rest.

    The area under the ROC curve is that of the best score: the probability that a frame of an enrolled class scores
    higher than one of a class that is not enrolled, ties counted half (Hanley and McNeil, The Meaning and Use of the
    Area under a ROC Curve, Radiology 143, 1982).

    False accepts are measured on classes apart from those that made the threshold: the classes are cut in two halves,
    and each is asked at thresholds from the other. So these thresholds come from half as many classes as the bundle's,
    and are stricter.

    Args:
        embeddings: float32 [n, d].
        labels: int64 [n], from 0 without gaps.
        sources: int64 [n], or None where every frame is its own source.
        rates: false-accept rates that the bundle promises.
        seed: decides the halves and the galleries.
    """
    galleries = list(_galleries(embeddings, labels, sources, seed))
    if not galleries:
        return {"galleries": 0, "why": "the classes are too few to enroll some and ask about others"}
    areas = [_area(known, strangers) for known, _, strangers in galleries]
    return {
        "galleries": len(galleries),
        "way": len(galleries[0][0]),
        "shot": SHOT,
        "auroc": _mean(areas),
        "false_accepts": [found for rate in rates if (found := _crossed(embeddings, labels, sources, rate, seed))],
    }


def episodes_with_strangers(
    embeddings: head.Embeddings, sampler: EpisodeSampler, way: int, episodes: int
) -> dict[str, Any]:
    """How well the queries of enrolled classes and of others are told apart, over the sampler's first episodes.

    Args:
        embeddings: float32 [n, d].
        sampler: its episodes have more than `way` classes; the further ones are asked about and not enrolled.
        way: how many are enrolled.
        episodes: how many episodes, at least 2.

    Returns:
        `auroc` of the best score, the mean over episodes, and `false_accepts`, the share of strangers that are
        accepted at the one threshold which accepts `recall` of all queries of enrolled classes; each with half the
        width of its 95 % interval over episodes.
    """
    known, strangers = [], []
    for number in range(episodes):
        episode = sampler.episode(number)
        best = episode_scores(embeddings, episode.support[:way], episode.query).max(axis=1)
        known.append(best[: way * sampler.query])
        strangers.append(best[way * sampler.query :])
    threshold = np.quantile(np.concatenate(known), 1 - RECALL)
    return {
        "strangers": sampler.way - way,
        "auroc": _mean([_area(own, others) for own, others in zip(known, strangers, strict=True)]),
        "recall": RECALL,
        "false_accepts": _mean([float((others >= threshold).mean()) for others in strangers]),
    }


def _galleries(
    embeddings: head.Embeddings, labels: Labels, sources: Labels | None, seed: int, most: int = MAX_WAY
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.float32]]]:
    """For each gallery: best scores of frames of its classes, whether by the right class, and those of strangers."""
    for way in reversed([way for way in WAYS if 1 < way <= most]):
        try:
            sampler = EpisodeSampler(
                labels, sources=sources, way=2 * way, shot=SHOT, query=1, seed=seed, checked=GALLERIES
            )
        except DataError:
            continue
        for number in range(GALLERIES):
            episode = sampler.episode(number)
            prototypes = head.unit(embeddings[episode.support[:way]].sum(axis=1, dtype=np.float64))
            scores = embeddings[episode.query[:, 0]] @ prototypes.T
            best = scores.max(axis=1)
            yield best[:way], scores[:way].argmax(axis=1) == np.arange(way), best[way:]
        return


def _crossed(
    embeddings: head.Embeddings, labels: Labels, sources: Labels | None, rate: float, seed: int
) -> dict[str, Any] | None:
    """Strangers accepted and known frames recognised at thresholds of other classes; None if these are too few."""
    order = np.random.default_rng(seed).permutation(int(labels.max()) + 1)
    accepted: list[float] = []
    recognised: list[float] = []
    way = 0
    for half in (order[::2], order[1::2]):
        asked = np.isin(labels, half)
        galleries = list(_galleries(embeddings[asked], *_numbered(labels[asked], sources, asked), seed))
        if not galleries:
            return None
        way = len(galleries[0][0])
        points, _ = calibrate(
            embeddings[~asked],
            *_numbered(labels[~asked], sources, ~asked),
            seed,
            ways=(way,),
            shots=(SHOT,),
            rates=(rate,),
        )
        point = bundle_point(points, way, (SHOT, SHOT), rate)
        if point is None:
            return None
        for known, right, strangers in galleries:
            accepted.append(float((strangers >= point.threshold).mean()))
            recognised.append(float(((known >= point.threshold) & right).mean()))
    return {"rate": rate, "way": way, "accepted": _mean(accepted), "recognised": _mean(recognised)}


def _numbered(labels: Labels, sources: Labels | None, chosen: npt.NDArray[np.bool_]) -> tuple[Labels, Labels | None]:
    """Labels from 0 without gaps, and the sources of the chosen frames."""
    return np.unique(labels, return_inverse=True)[1].reshape(-1), None if sources is None else sources[chosen]


def _area(known: npt.NDArray[np.float32], strangers: npt.NDArray[np.float32]) -> float:
    """The share of pairs in which the known frame scores higher.

    >>> _area(np.array([0.9, 0.5], np.float32), np.array([0.5, 0.1], np.float32))
    0.875
    """
    higher = (known[:, None] > strangers).mean() + (known[:, None] == strangers).mean() / 2
    return float(higher)


def _mean(values: list[float]) -> dict[str, float]:
    """The mean over galleries with half the width of its 95 % interval."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": round(float(np.mean(values)), 4), "ci95": round(1.96 * spread / len(values) ** 0.5, 4)}

"""Episode accuracy: the field's measure of few-shot learning, with its 95 % interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import head
from .bundle import REPORT_FILE, VARIANT, Bundle
from .episodes import EpisodeSampler
from .errors import BundleFormatError, SelfTestError
from .labelled_folder import LabelledFolder, read_frames
from .operating_point import is_number
from .selftest import embed_frame
from .session import Session

EPISODES = 600
"""How many episodes of `edgefew verify --data`: enough for an interval of about ± 1.5 % at 20 ways."""


@dataclass(frozen=True)
class Evaluation:
    """Accuracy over episodes.

    Attributes:
        accuracy: mean share of right answers, 0 to 1.
        ci95: half the width of its 95 % interval: 1.96 standard errors over episodes; None for a single one.
        way: classes in an episode.
        shot: support examples of each.
        query: queries of each.
        episodes: how many.
        seed: which.
    """

    accuracy: float
    ci95: float | None
    way: int
    shot: int
    query: int
    episodes: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """As `edgefew evaluate --json` prints it."""
        return asdict(self)


def episode_scores(
    embeddings: head.Embeddings, support: npt.NDArray[np.int64], query: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """The cosine of each query with each prototype, as a device would compute it: float32 [queries, way].

    Args:
        embeddings: float32 [n, d].
        support: int64 [way, shot], rows of `embeddings`.
        query: int64, any shape, rows of `embeddings`.
    """
    way, shot = support.shape
    sums = head.to_grid(embeddings[support.ravel()]).reshape(way, shot, -1).sum(axis=1)
    return head.cosine_scores(embeddings[query.ravel()], head.unit(sums))


def decisions(embeddings: head.Embeddings, sampler: EpisodeSampler, episodes: int) -> npt.NDArray[np.int64]:
    """Which row of its episode each query is taken for: int64 [episodes, way, query]. A right answer is its own row."""
    rows = np.empty((episodes, sampler.way, sampler.query), np.int64)
    for number in range(episodes):
        episode = sampler.episode(number)
        scores = episode_scores(embeddings, episode.support, episode.query)
        rows[number] = scores.argmax(axis=1).reshape(sampler.way, sampler.query)
    return rows


def evaluate(embeddings: head.Embeddings, sampler: EpisodeSampler, episodes: int) -> Evaluation:
    """Accuracy of the nearest prototype over the sampler's first episodes."""
    return summarize(decisions(embeddings, sampler, episodes), sampler)


def summarize(rows: npt.NDArray[np.int64], sampler: EpisodeSampler) -> Evaluation:
    """The accuracy of decisions that `decisions` gave."""
    right = (rows == np.arange(sampler.way)[None, :, None]).mean(axis=(1, 2))
    ci95 = float(1.96 * right.std(ddof=1) / np.sqrt(len(right))) if len(right) > 1 else None
    return Evaluation(float(right.mean()), ci95, sampler.way, sampler.shot, sampler.query, len(right), sampler.seed)


def check_episodes(bundle: Bundle, session: Session, data: LabelledFolder, variant: str = VARIANT) -> str:
    """The accuracy over episodes of a labelled folder beside the one that the bundle's report states, as text.

    The episodes are drawn as the report's were: its way, shot, queries and seed. On the images that the bundle was
    proved on they are the same ones. On others, the classes are others too, and by how much accuracy varies from class
    to class says what their choice alone may change.

    Raises:
        SelfTestError: it is lower than the report's by more than the 95 % interval of their difference.
        DataError: the folder allows no such episodes, or holds frames of another kind.
        FrameError: a frame cannot be read.
        BundleFormatError: the report states no accuracy.
    """
    data.check_kind(bundle.manifest.input)
    report = bundle.report()
    stated = _stated_accuracy(bundle.path, report, variant)
    sampler = EpisodeSampler(
        data.labels, sources=data.sources, way=stated.way, shot=stated.shot, query=stated.query, seed=stated.seed
    )
    embeddings = np.stack(
        [embed_frame(bundle, session, frame) for _, frame in read_frames(data, load=bundle.manifest.input.load)]
    )
    rows = decisions(embeddings, sampler, EPISODES)
    measured = summarize(rows, sampler)
    proved_on = report.get("proved_on")
    proved_on = proved_on if isinstance(proved_on, dict) else {}
    same = proved_on.get("data_sha256") == data.content_sha256()
    by_classes = 0.0 if same else _choice_of_classes(rows, sampler, proved_on.get("classes"))
    seen = (
        f"{stated.way}-way {stated.shot}-shot {_shown(measured)} over {EPISODES} episodes of {len(data)} frames; the "
        f"report states {_shown(stated)} of "
        + ("the same frames" if same else f"other frames (whose classes may change it by {by_classes:.1%})")
    )
    # Two measurements of one accuracy lie further apart than this, in this direction, 1 time in 40.
    if measured.accuracy < stated.accuracy - np.hypot(np.hypot(measured.ci95 or 0, stated.ci95 or 0), by_classes):
        why = (
            "Sources may be told apart otherwise (--source-pattern), or this machine computes something else."
            if same
            else "These are harder than those that the bundle was proved on, or not taken as those were: compare "
            "colours, crop and sources (--source-pattern)."
        )
        raise SelfTestError(f"{seen}: lower than chance explains. {why}")
    return seen


def _choice_of_classes(rows: npt.NDArray[np.int64], sampler: EpisodeSampler, others: Any) -> float:
    """Half the width of the 95 % interval of what another choice of classes changes in the accuracy.

    The difference of two means, over the classes asked here and over so many others, of an accuracy that varies from
    class to class as it does here.
    """
    classes = np.stack([sampler.episode(number).classes for number in range(len(rows))])
    right = (rows == np.arange(sampler.way)[None, :, None]).mean(axis=2)
    asked = np.bincount(classes.ravel())
    accuracy = np.bincount(classes.ravel(), right.ravel())[asked > 0] / asked[asked > 0]
    count = others if type(others) is int and others > 0 else len(accuracy)
    return float(1.96 * accuracy.std(ddof=1) * np.sqrt(1 / len(accuracy) + 1 / count))


def _stated_accuracy(path: Path, report: Mapping[str, Any], variant: str) -> Evaluation:
    """The accuracy that the report states for a variant; where it has none of its own, the bundle's."""
    try:
        own = report["variants"][variant].get("episodes", report["episodes"])["bundle"]
        stated = Evaluation(**{field.name: own[field.name] for field in fields(Evaluation)})
        whole = (stated.way, stated.shot, stated.query, stated.episodes, stated.seed)
        if not all(type(number) is int and 0 <= number < 2**31 for number in whole):
            raise ValueError("a way, shot or seed that is no number of things")
        shares = [stated.accuracy] if stated.ci95 is None else [stated.accuracy, stated.ci95]
        if not all(is_number(share) and 0 <= share <= 1 for share in shares):
            raise ValueError("an accuracy that is no share")
        return stated
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleFormatError(
            f"{REPORT_FILE} of {path} states no accuracy to compare with ({type(error).__name__}: {error}). Export the "
            "bundle again."
        ) from None


def _shown(evaluation: Evaluation) -> str:
    interval = "" if evaluation.ci95 is None else f" ± {evaluation.ci95:.1%}"
    return f"{evaluation.accuracy:.1%}{interval}"

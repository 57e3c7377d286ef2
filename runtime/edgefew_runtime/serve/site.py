"""The one classifier that all requests share, and the few threads in which it works."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import numpy as np
import numpy.typing as npt

from ..classifier import Classifier
from ..head import Embeddings
from ..operating_point import Promise
from .chosen_rate import ChosenRate

_Result = TypeVar("_Result")

MAP_EXAMPLES = 5000
"""The most examples that the map shows: the first of each class count as much as the others."""


class Site:
    """A classifier at the rate that was last asked for.

    Args:
        classifier: at the rate to begin with.
        keep_frames: keep the frames of what is enrolled.
        chosen: where a rate that a teacher chooses is kept.
        workers: threads that embed or change the gallery; more requests wait.
    """

    def __init__(self, classifier: Classifier, keep_frames: bool, chosen: ChosenRate, workers: int) -> None:
        self.classifier = classifier
        self._chosen = chosen
        self.keep_frames = keep_frames
        self._workers = anyio.CapacityLimiter(workers)
        self._start = secrets.token_hex(4)
        self._map: tuple[str, Plane] | None = None

    async def run(self, work: Callable[..., _Result], *arguments: Any, **options: Any) -> _Result:
        """What the work gives, done in a worker thread; not given up when the client goes away."""
        return await anyio.to_thread.run_sync(functools.partial(work, *arguments, **options), limiter=self._workers)

    def set_rate(self, rate: float | None) -> Promise | None:
        """Answer from now on with this promise, after the next start too; gives it.

        Raises:
            EdgeFewError: it is no rate, or cannot be kept.
        """
        changed = self.classifier.at_rate(rate)
        promised = changed.promise()
        self._chosen.write(rate)
        self.classifier = changed
        return promised

    def revision(self) -> str:
        """Another text whenever the gallery, the rate or the server is another."""
        promised = self.classifier.promise()
        rate = None if promised is None else promised.false_accept_rate
        return f"{self._start}-{'.'.join(map(str, self.classifier.gallery.version()))}-{rate}"

    def plane(self) -> Plane:
        """The map of the gallery as it is now."""
        revision = self.revision()
        if self._map is None or self._map[0] != revision:
            self._map = revision, Plane.of(self.classifier)
        return self._map[1]


class Plane:
    """The two directions in which the enrolled embeddings differ most: principal components.

    Args:
        mean: float64 [d].
        axes: float64 [2, d].
        points: what the map shows: class, number of the example and place.
    """

    def __init__(
        self, mean: npt.NDArray[np.float64], axes: npt.NDArray[np.float64], points: list[dict[str, Any]]
    ) -> None:
        self.mean, self.axes, self.points = mean, axes, points

    @classmethod
    def of(cls, classifier: Classifier) -> Plane:
        """That of a gallery; of an empty one, one that puts everything in the middle."""
        content = classifier.gallery.content()
        most = max(1, MAP_EXAMPLES // max(1, len(content)))
        kept = [(label, e) for label, group in content.items() for e in [x for x in group if not x.negative][:most]]
        dimension = classifier.bundle.manifest.dimension
        rows = np.array([e.embedding for _, e in kept], np.float64).reshape(-1, dimension)
        if len(rows) < 2:
            mean = rows.mean(axis=0) if len(rows) else np.zeros(dimension)
            plane = cls(mean, np.eye(2, dimension), [])
        else:
            mean = rows.mean(axis=0)
            axes = np.linalg.svd(rows - mean, full_matrices=False)[2][:2]
            # Which way round a component points is chance: its largest part is to be positive.
            axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
            plane = cls(mean, np.concatenate([axes, np.zeros((2 - len(axes), dimension))]), [])
        plane.points = [{"label": label, "source": e.source, "point": plane.place(e.embedding)} for label, e in kept]
        return plane

    def place(self, embedding: Embeddings) -> list[float]:
        """Where an embedding, float32 [d], lies."""
        x, y = (self.axes @ (embedding.astype(np.float64) - self.mean)).tolist()
        return [round(x, 5), round(y, 5)]

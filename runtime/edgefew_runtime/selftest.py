"""Does this bundle compute here what it computed where it was exported?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import head
from .bundle import COMPONENTS, Bundle
from .errors import EdgeFewError, SelfTestError
from .gallery import Gallery
from .session import OrtSession, Session

GOLDEN_LENGTH = 1e-3
"""How far the length of an embedding may be from 1."""

HEAD_TOLERANCE = 1e-4
"""The largest difference between the enroll and classify graphs and the runtime's own arithmetic.

Where a unit vector's component lies between two steps of the grid (`head.GRID`, 1.5e-5), two libraries may round it to
different ones; a wrong graph is off by far more.
"""


@dataclass(frozen=True)
class Verdict:
    """One check: what was checked, whether it passed, and what was seen."""

    check: str
    passed: bool
    seen: str

    def to_dict(self) -> dict[str, Any]:
        """As a line of `edgefew verify --json`."""
        return asdict(self)


def check_golden(bundle: Bundle, session: Session) -> float:
    """The least cosine between the golden embeddings and those computed here.

    Raises:
        SelfTestError: it is under the manifest's `golden_cosine`.
    """
    frames, expected = bundle.golden()
    computed = np.empty_like(expected)
    for row, frame in zip(computed, frames, strict=True):
        (given, *_) = session.run({"frames": frame[None]})
        if not (isinstance(given, np.ndarray) and given.dtype == np.float32 and given.shape == (1, len(row))):
            seen = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else type(given).__name__
            raise SelfTestError(
                f"{bundle.path} gives {seen} for a frame where its manifest says float32 {(1, len(row))}. "
                "Export the bundle again."
            )
        row[:] = given[0]
    # Scores are products: vectors that are too long would pass every threshold.
    if not np.abs(np.linalg.norm(computed, axis=1) - 1).max() <= GOLDEN_LENGTH:
        raise SelfTestError(f"{bundle.path} gives embeddings that are no unit vectors. Export the bundle again.")
    cosines = np.sum(head.unit(computed) * head.unit(expected), axis=1)
    # min() of an array with NaN is NaN, and no comparison with NaN holds: hence "not … >=".
    if not cosines.min() >= bundle.manifest.golden_cosine:
        raise SelfTestError(
            f"{bundle.path} is intact, but computes other embeddings here than where it was exported (cosine "
            f"{cosines.min():.4f}, at least {bundle.manifest.golden_cosine} expected). Try the provider cpu or another "
            "onnxruntime."
        )
    return float(cosines.min())


def check_head(enroll: Session, classify: Session, embeddings: head.Embeddings, scale: float) -> float:
    """The largest difference between the two head graphs and this runtime's arithmetic, on these embeddings [n, d].

    Raises:
        SelfTestError: it is over `HEAD_TOLERANCE`.
    """
    n, d = embeddings.shape
    labels = np.arange(n) // 2
    classes = int(labels[-1]) + 2  # the last class stays without examples
    support: dict[str, npt.NDArray[Any]] = {
        "embeddings": embeddings,
        "labels": labels,
        "weights": np.ones(n, np.float32),
        "sums": np.zeros((classes, d), np.float32),
        "counts": np.zeros(classes, np.float32),
    }
    sums, counts, accepted = enroll.run(support)
    ours = np.zeros((classes, d))
    np.add.at(ours, labels, head.to_grid(embeddings))
    inputs = {"embeddings": embeddings, "sums": sums, "counts": counts}
    settings = {"scale": np.asarray(scale, np.float32), "threshold": np.asarray(0, np.float32)}
    probabilities, scores, best, _ = classify.run(inputs | settings)
    our_scores = head.cosine_scores(head.unit(embeddings), head.unit(ours))
    difference = max(
        float(np.abs(sums - ours).max()),
        float(np.abs(scores - our_scores).max()),
        float(np.abs(probabilities - head.probabilities(our_scores, scale)).max()),
        float((best == classes - 1).any()),
    )
    if not (accepted.all() and difference <= HEAD_TOLERANCE):
        raise SelfTestError(
            f"The enroll and classify graphs differ from the runtime's arithmetic by {difference:.1e} "
            f"(at most {HEAD_TOLERANCE:.0e} expected). Export the bundle again."
        )
    return difference


def verify(path: str | Path, gallery: str | Path | None = None, provider: str = "cpu") -> Iterator[Verdict]:
    """One verdict for each thing that can be checked on a device; stops where nothing further can be."""
    try:
        bundle = Bundle.open(path)
    except EdgeFewError as error:
        yield Verdict("hashes and manifest", False, str(error))
        return
    yield Verdict("hashes and manifest", True, f"bundle {bundle.id[:12]}…, every byte as exported")
    sessions = {}
    for component in COMPONENTS:
        try:
            sessions[component] = OrtSession(bundle.model(component), provider=provider)
        except EdgeFewError as error:
            yield Verdict(f"{component} graph", False, str(error))
            return
        yield Verdict(f"{component} graph", True, f"loads, runs on {sessions[component].provider}")
    try:
        cosine = check_golden(bundle, sessions["embed"])
        yield Verdict("golden vectors", True, f"least cosine to PyTorch {cosine:.6f}")
    except EdgeFewError as error:
        yield Verdict("golden vectors", False, str(error))
    try:
        difference = check_head(sessions["enroll"], sessions["classify"], bundle.golden()[1], bundle.manifest.scale)
        yield Verdict("enroll and classify", True, f"graphs and runtime differ by {difference:.1e}")
    except EdgeFewError as error:
        yield Verdict("enroll and classify", False, str(error))
    if gallery is not None:
        yield _verify_gallery(bundle, gallery)


def _verify_gallery(bundle: Bundle, path: str | Path) -> Verdict:
    try:
        if not Path(path).exists() or not Path(path).stat().st_size:
            return Verdict("gallery", False, f"there is no gallery {path}, or it is empty")
        with Gallery(path, bundle.id, bundle.manifest.dimension) as gallery:
            problems = gallery.problems()
            seen = f"{len(gallery.classes())} classes, {len(gallery.log())} events, chain and sums hold"
    except EdgeFewError as error:
        return Verdict("gallery", False, str(error))
    return Verdict("gallery", not problems, "; ".join(problems) or seen)

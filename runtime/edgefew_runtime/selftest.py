"""Does this bundle compute here what it computed where it was exported?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
import numpy.typing as npt

from . import head
from .bundle import VARIANT, Bundle, public_key_file
from .errors import EdgeFewError, SelfTestError
from .gallery import Gallery
from .refinement import REFINE, Refinement
from .session import OrtSession, Session

if TYPE_CHECKING:
    from .labelled_folder import LabelledFolder

P = ParamSpec("P")

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


def embed_frame(bundle: Bundle, session: Session, frame: npt.NDArray[Any]) -> head.Embeddings:
    """What a graph that is not trusted yet makes of one frame: float32 [d].

    Raises:
        SelfTestError: it gives something else.
    """
    (given, *_) = session.run({"frames": frame[None]})
    expected = (1, bundle.manifest.dimension)
    if not (isinstance(given, np.ndarray) and given.dtype == np.float32 and given.shape == expected):
        seen = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else type(given).__name__
        raise SelfTestError(
            f"{bundle.path} gives {seen} for a frame where its manifest says float32 {expected}. Export the bundle "
            "again."
        )
    embedding: head.Embeddings = given[0]
    return embedding


def check_golden(bundle: Bundle, session: Session) -> float:
    """The least cosine between the golden embeddings and those computed here.

    Raises:
        SelfTestError: it is under the manifest's `golden_cosine`.
    """
    frames, expected = bundle.golden()
    computed = np.empty_like(expected)
    for row, frame in zip(computed, frames, strict=True):
        row[:] = embed_frame(bundle, session, frame)
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
    difference = _largest(
        sums - ours,
        scores - our_scores,
        probabilities - head.probabilities(our_scores, scale),
        np.asarray(best == classes - 1, np.float32),
    )
    if not (accepted.all() and difference <= HEAD_TOLERANCE):
        raise SelfTestError(
            f"The enroll and classify graphs differ from the runtime's arithmetic by {difference:.1e} "
            f"(at most {HEAD_TOLERANCE:.0e} expected). Export the bundle again."
        )
    return difference


def _largest(*differences: npt.NDArray[Any]) -> float:
    """The largest of all values, signs apart; NaN if one is, where `max` may pass over it: so it is above no bound."""
    return float(np.max([np.abs(difference).max() for difference in differences]))


def check_refine(session: Session, embeddings: head.Embeddings, refinement: Refinement) -> float:
    """The largest difference between the refine graph and this runtime's arithmetic, on these embeddings [n, d].

    Raises:
        SelfTestError: it is over `HEAD_TOLERANCE`.
    """
    unlabelled = head.unit(embeddings)
    labelled = head.to_grid(embeddings[: len(embeddings) // 2])
    # A class without examples, too, and a frame that is near to no other.
    sums = np.concatenate([labelled, np.zeros_like(labelled[:1])])
    counts = np.array([1] * len(labelled) + [0], np.float32)
    unlabelled = np.concatenate([unlabelled, -unlabelled[:1]])
    seen = session.run({"unlabelled": unlabelled, "sums": sums, "counts": counts})
    ours = refinement.refine(unlabelled, sums, counts)
    difference = _largest(*(theirs - mine for theirs, mine in zip(seen, ours, strict=True)))
    if not difference <= HEAD_TOLERANCE:
        raise SelfTestError(
            f"The refine graph differs from the runtime's arithmetic by {difference:.1e} (at most "
            f"{HEAD_TOLERANCE:.0e} expected). Export the bundle again."
        )
    return difference


def verify(
    path: str | Path,
    gallery: str | Path | None = None,
    provider: str = "cpu",
    *,
    public_key: str | Path | None = None,
    data: LabelledFolder | None = None,
) -> Iterator[Verdict]:
    """One verdict for each thing that can be checked on a device; stops where nothing further can be.

    Args:
        path: the bundle.
        gallery: check this gallery too.
        provider: where the graphs run.
        public_key: the key that the bundle must be signed for; default as for `Bundle.open`.
        data: ask episodes of these images, and compare the accuracy with what the report states.
    """
    try:
        bundle = Bundle.open_unsigned(path)
    except EdgeFewError as error:
        yield Verdict("hashes and manifest", False, str(error))
        return
    yield Verdict("hashes and manifest", True, f"bundle {bundle.id[:12]}…, every byte as exported")
    if (signature := _verify_signature(bundle, public_key)) is not None:
        yield signature
        if not signature.passed:
            return
    sessions: dict[tuple[str, str], OrtSession] = {}
    for component in bundle.components():
        for variant in _variants(bundle, component):
            verdict, session = _verify_graph(bundle, component, variant, provider)
            yield verdict
            if session is None:
                return
            sessions[component, variant] = session
    embedders = {variant: session for (component, variant), session in sessions.items() if component == "embed"}
    for variant, session in embedders.items():
        yield _verified(_named("golden vectors", variant), _golden, bundle.for_variant(variant), session)
    yield _verified("enroll and classify", _head, bundle, sessions["enroll", VARIANT], sessions["classify", VARIANT])
    if (refinement := bundle.manifest.refinement) is not None:
        yield _verified("refine", _refine, bundle, sessions[REFINE, VARIANT], refinement)
    if data is not None:
        from .episode_accuracy import check_episodes  # costs a start, which looks at the golden vectors alone

        for variant, session in embedders.items():
            yield _verified(_named("episodes", variant), check_episodes, bundle, session, data, variant)
    if gallery is not None:
        yield _verify_gallery(bundle, gallery)


def _named(check: str, variant: str) -> str:
    return check if variant == VARIANT else f"{check} ({variant})"


def _variants(bundle: Bundle, component: str) -> list[str]:
    """The variants that a component says it has; the one that it must have, if it does not say."""
    try:
        return bundle.variants(component) or [VARIANT]
    except EdgeFewError:
        return [VARIANT]  # asking for its model says what is wrong


def _verify_graph(bundle: Bundle, component: str, variant: str, provider: str) -> tuple[Verdict, OrtSession | None]:
    from .structure import check_structure  # as above

    check = _named(f"{component} graph", variant)
    try:
        session = OrtSession(bundle.model(component, variant), provider=provider)
        check_structure(component, session, bundle.manifest)
    except EdgeFewError as error:
        return Verdict(check, False, str(error)), None
    return Verdict(check, True, f"takes and gives what the format says, runs on {session.provider}"), session


def _golden(bundle: Bundle, session: Session) -> str:
    return f"least cosine to the source's own {check_golden(bundle, session):.6f}"


def _head(bundle: Bundle, enroll: Session, classify: Session) -> str:
    difference = check_head(enroll, classify, bundle.golden()[1], bundle.manifest.scale)
    return f"graphs and runtime differ by {difference:.1e}"


def _refine(bundle: Bundle, session: Session, refinement: Refinement) -> str:
    return f"graph and runtime differ by {check_refine(session, bundle.golden()[1], refinement):.1e}"


def _verified(check: str, look: Callable[P, str], *args: P.args, **kwargs: P.kwargs) -> Verdict:
    """The verdict of a check that gives what it saw, or raises."""
    try:
        return Verdict(check, True, look(*args, **kwargs))
    except EdgeFewError as error:
        return Verdict(check, False, str(error))


def _verify_signature(bundle: Bundle, public_key: str | Path | None) -> Verdict | None:
    """None where no key is set."""
    try:
        if (file := public_key_file(public_key)) is None:
            return None
        bundle.check_signature(file)
    except EdgeFewError as error:
        return Verdict("signature", False, str(error))
    return Verdict("signature", True, f"every file is what was signed for {file}")


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

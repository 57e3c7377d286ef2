"""Other precisions of the embed graph: each is tried, and kept only where it is faster and hardly less accurate.

A gallery may be enrolled by one variant and asked by another (a fleet of several boards, a board that changes its
provider), so a variant must lose no more than allowed whichever of the two computes which side.
"""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from edgefew_runtime import CoveragePoint, DataError, ExportError, OperatingPoint, head
from edgefew_runtime.bundle import VARIANT
from edgefew_runtime.manifest import GOLDEN_COSINE, VariantCalibration
from edgefew_runtime.session import DEFAULT_PROFILE, OrtSession, Session

from .calibration import calibrate, strictest
from .episodes import EpisodeSampler
from .evaluation import Embed, episode_scores, summarize
from .half import to_half
from .measured import has_gpu, time_in_turns
from .proof import BATCH_SIZES, EPISODES
from .quantisation import CALIBRATION_FRAMES, Quantiser, Setting, settings_for
from .scale import fit_scale

NAMES = ("int8", "fp16")
TARGETS = ("x86", "arm", "gpu")
MAX_LOSS = 0.5
"""Points of episode accuracy that a variant may lose, if nothing else is said."""

MIN_SPEEDUP = 1.1
"""A variant that is faster by less is not worth another set of embeddings, and may be faster by chance."""

MIN_GOLDEN_COSINE = 0.9
"""On the golden frames: below it, a device could not tell a variant that is imprecise from one that is wrong."""

_PROVED = 2
"""Of the settings that are fast enough, how many at most are asked for their episode accuracy."""

Frames = Sequence[npt.NDArray[Any]]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class VariantPlan:
    """What to try.

    Attributes:
        names: of `NAMES`.
        max_loss: points of episode accuracy that a variant may lose.
        target: one of `TARGETS` that the bundle is for; None is this machine.
    """

    names: tuple[str, ...] = ()
    max_loss: float = MAX_LOSS
    target: str | None = None


@dataclass(frozen=True)
class Proof:
    """What a variant is compared with.

    Attributes:
        model: the embed graph in float32.
        embeddings: what it makes of the frames to prove on, float32 [n, d].
        reference: what the source makes of them, float32 [n, d].
        golden: the golden frames.
        golden_embeddings: what the source makes of them.
        sampler: episodes over the frames to prove on.
        frames_at: the raw frames with these numbers.
        embed_all: what an embedder makes of all of them, float32 [n, d].
        others: made frames, none of them golden, that an integer graph's ranges must hold too.
    """

    model: bytes
    embeddings: head.Embeddings
    reference: head.Embeddings
    golden: Frames
    golden_embeddings: head.Embeddings
    sampler: EpisodeSampler
    frames_at: Callable[[npt.NDArray[np.int64]], Frames]
    embed_all: Callable[[Embed], head.Embeddings]
    others: Frames = ()


@dataclass(frozen=True)
class Variant:
    """A variant that is kept.

    Attributes:
        name: "int8" or "fp16".
        model: its embed graph.
        embeddings: what it makes of the frames to prove on, float32 [n, d].
        golden_cosine: the least cosine to the source on the golden frames.
        report: its figures.
    """

    name: str
    model: bytes
    embeddings: head.Embeddings
    golden_cosine: float
    report: Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """What became of the variants that were tried.

    Attributes:
        kept: those that are worth it.
        outcomes: for each setting tried, what became of it; no times, so that the same outcome gives the same bytes.
        speed: the times, by variant and setting.
    """

    kept: tuple[Variant, ...]
    outcomes: Sequence[Mapping[str, Any]]
    speed: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Calibrated:
    """What a variant's own embeddings were calibrated to, and the report of its scale."""

    calibration: VariantCalibration
    scale_report: Mapping[str, Any]


@dataclass(frozen=True)
class _Candidate:
    name: str
    model: bytes
    setting: Setting | None

    @property
    def described(self) -> str:
        return str(self.setting) if self.setting else "network in float16"


def this_machine() -> str:
    """What kind of processor this is: "x86", "arm" or "other"."""
    machine = platform.machine().lower()
    return "x86" if machine in ("x86_64", "amd64") else "arm" if machine.startswith(("arm", "aarch")) else "other"


def try_variants(proof: Proof, plan: VariantPlan, progress: Callable[[str], None] = lambda _: None) -> Trial:
    """Try the variants of a plan; gives those that are kept, and what became of each setting."""
    kept: list[Variant] = []
    outcomes: list[Mapping[str, Any]] = []
    speed: list[Mapping[str, Any]] = []
    for name in plan.names:
        if (why := _pointless(name, plan.target)) is not None:
            outcomes.append({"variant": name, "kept": False, "why": why})
            continue
        progress(f"trying {name}")
        provider = "cuda" if name == "fp16" and has_gpu() else "cpu"
        candidates = _candidates(name, proof, plan.target, outcomes)
        if _can_measure(name, plan.target):
            measured = measure_speed(proof, candidates, provider)
            speed += [{"variant": name, "setting": c.described, **m} for c, m in zip(candidates, measured, strict=True)]
            fast = [c for c, m in zip(candidates, measured, strict=True) if m["speedup"] >= MIN_SPEEDUP]
            outcomes += [_told(c, "not faster than fp32 on this machine") for c in candidates if c not in fast]
            candidates = fast
        variant, tried = _first_accurate(candidates, proof, plan, provider)
        outcomes += tried
        kept += [variant] if variant else []
    return Trial(tuple(kept), outcomes, speed)


def calibrate_variants(
    proof: Proof, kept: Sequence[Variant], labels: Labels, sources: Labels | None, seed: int
) -> tuple[list[OperatingPoint], list[CoveragePoint], dict[str, Calibrated]]:
    """Thresholds and coverages of fp32, and all that is calibrated of each variant.

    Those of each hold for galleries that any one of them enrolled: whoever opens a gallery does not know which it was.
    """
    embeddings = {VARIANT: proof.embeddings} | {variant.name: variant.embeddings for variant in kept}
    points = {
        asked: strictest(
            [calibrate(embeddings[asked], labels, sources, seed, enrolled=enrolled) for enrolled in embeddings.values()]
        )
        for asked in embeddings
    }
    calibrated = {}
    for variant in kept:
        scale, report = fit_scale(variant.embeddings, proof.sampler)
        # Other processors round otherwise, and so may be further away than this one, but not twice as far.
        tolerance = min(GOLDEN_COSINE, math.floor(1e4 * (1 - 2 * (1 - variant.golden_cosine))) / 1e4)
        thresholds, coverages = points[variant.name]
        calibrated[variant.name] = Calibrated(
            VariantCalibration(scale, tuple(thresholds), tuple(coverages), tolerance), report
        )
    return *points[VARIANT], calibrated


def _pointless(name: str, target: str | None) -> str | None:
    """Why a variant is not tried for a target at all; None if it is."""
    if name == "int8" and target == "gpu":
        return "the target is a GPU, and int8 is for processors"
    if name == "fp16" and target in ("x86", "arm"):
        return "the target is a processor, which computes float16 no faster than float32; float16 is for GPUs"
    if name == "fp16" and target is None and not has_gpu():
        return "there is no GPU here to measure it on; name the target with --target gpu to keep it unmeasured"
    return None


def _can_measure(name: str, target: str | None) -> bool:
    """Whether this machine is what the variant is for."""
    return has_gpu() if name == "fp16" else target in (None, this_machine())


def _candidates(name: str, proof: Proof, target: str | None, outcomes: list[Mapping[str, Any]]) -> list[_Candidate]:
    """The graphs to choose from, nearest to float32 first; settings that cannot be made are added to `outcomes`."""
    if name == "fp16":
        return [_Candidate(name, to_half(proof.model), None)]
    frames = proof.frames_at(_calibration_frames(proof.sampler))
    quantiser = Quantiser(proof.model, [*frames, *proof.others])
    made: list[tuple[float, _Candidate]] = []
    expected = _embed(OrtSession(proof.model), frames)
    for setting in settings_for(target or this_machine(), of_texts=frames[0].dtype == np.int64):
        try:
            candidate = _Candidate(name, quantiser.quantise(setting), setting)
        except ExportError as error:
            outcomes.append({"variant": name, "setting": setting.to_dict(), "kept": False, "why": str(error)})
            continue
        made.append((float(_cosines(_embed(OrtSession(candidate.model), frames), expected).mean()), candidate))
    return [candidate for _, candidate in sorted(made, key=lambda pair: -pair[0])]


def _calibration_frames(sampler: EpisodeSampler) -> npt.NDArray[np.int64]:
    """Support frames of the first episodes, without the doubles."""
    chosen: dict[int, None] = {}
    for number in range(EPISODES):
        chosen.update(dict.fromkeys(sampler.episode(number).support.ravel().tolist()))
        if len(chosen) >= CALIBRATION_FRAMES:
            break
    return np.array(list(chosen)[:CALIBRATION_FRAMES], np.int64)


def measure_speed(proof: Proof, candidates: Sequence[_Candidate], provider: str = "cpu") -> list[dict[str, Any]]:
    """How fast each candidate is beside float32, one frame at a time, in each profile.

    "speedup" is that of the default profile, of medians: a device measures for itself in the profile that it runs.
    """
    found: list[dict[str, Any]] = [{"profiles": {}} for _ in candidates]
    models = [proof.model, *(candidate.model for candidate in candidates)]
    for profile, (plain, *others) in time_in_turns(models, proof.golden[0], provider).items():
        for entry, timing in zip(found, others, strict=True):
            entry["profiles"][profile] = {
                VARIANT: {"median_ms": plain.median_ms, "p99_ms": plain.p99_ms},
                "variant": {"median_ms": timing.median_ms, "p99_ms": timing.p99_ms},
                "speedup": round(plain.median_ms / timing.median_ms, 3),
            }
    for entry in found:
        entry["speedup"] = entry["profiles"][DEFAULT_PROFILE]["speedup"]
    return found


def _first_accurate(
    candidates: Sequence[_Candidate], proof: Proof, plan: VariantPlan, provider: str
) -> tuple[Variant | None, list[Mapping[str, Any]]]:
    """The first candidate that loses no more than allowed, and what became of each."""
    outcomes: list[Mapping[str, Any]] = []
    kept: Variant | None = None
    for place, candidate in enumerate(candidates):
        if kept is not None:
            outcomes.append(_told(candidate, "further from float32 than the setting that is kept"))
        elif place >= _PROVED:
            outcomes.append(_told(candidate, "further from float32 than settings that lose too much"))
        else:
            variant = _prove(candidate, proof, OrtSession(candidate.model, provider=provider))
            losses = {side: variant.report["episodes"][side]["loss"] for side in _SIDES}
            worst = max(loss["points"] for loss in losses.values())
            if variant.golden_cosine < MIN_GOLDEN_COSINE:
                why = (
                    f"the cosine to the source falls to {variant.golden_cosine:.3f}, {MIN_GOLDEN_COSINE} are asked for"
                )
                outcomes.append(_told(candidate, why, losses))
            elif worst <= plan.max_loss:
                kept = variant
                speed = "" if _can_measure(candidate.name, plan.target) else f"speed on {plan.target} not measured; "
                outcomes.append(_told(candidate, f"{speed}loses {worst:.2f} points", losses, kept=True))
            else:
                why = f"loses {worst:.2f} points of episode accuracy, {plan.max_loss:g} are allowed"
                outcomes.append(_told(candidate, why, losses))
    return kept, outcomes


_SIDES = ("alone", "enrolled_by_fp32", "asked_by_fp32")


def _told(
    candidate: _Candidate, why: str, losses: Mapping[str, Any] | None = None, *, kept: bool = False
) -> Mapping[str, Any]:
    told: dict[str, Any] = {"variant": candidate.name, "kept": kept, "why": why}
    if candidate.setting is not None:
        told["setting"] = candidate.setting.to_dict()
    return told if losses is None else told | {"loss": losses}


def _prove(candidate: _Candidate, proof: Proof, session: Session) -> Variant:
    """Its figures, and what it makes of the frames to prove on."""
    ours = proof.embed_all(lambda frames: _embed(session, frames))
    golden = _embed(session, proof.golden)
    own = proof.embeddings
    rows = {
        "alone": _decisions(ours, ours, proof.sampler),
        "enrolled_by_fp32": _decisions(own, ours, proof.sampler),
        "asked_by_fp32": _decisions(ours, own, proof.sampler),
    }
    plain = _decisions(own, own, proof.sampler)
    accuracy = summarize(rows["alone"], proof.sampler).to_dict()
    golden_cosines = _cosines(golden, proof.golden_embeddings)
    report: dict[str, Any] = {
        "embedding": {
            "frames": len(ours),
            "to_fp32": _distance(ours, own),
            "to_reference": _distance(ours, proof.reference),
            "golden_cosine_min": float(golden_cosines.min()),
            "max_change_by_batch": _change_by_batch(session, proof.golden),
        },
        "episodes": {
            "bundle": accuracy,
            **{
                side: {"agreement_with_fp32": float((found == plain).mean()), "loss": _loss(plain, found)}
                for side, found in rows.items()
            },
        },
        "bytes": {"embed": len(candidate.model)},
        "sha256": {"embed": hashlib.sha256(candidate.model).hexdigest()},
    }
    if candidate.setting is not None:
        report["setting"] = candidate.setting.to_dict()
        report["calibration_frames"] = len(_calibration_frames(proof.sampler))
    return Variant(candidate.name, candidate.model, ours, float(golden_cosines.min()), report)


def _decisions(enrolled: head.Embeddings, asked: head.Embeddings, sampler: EpisodeSampler) -> npt.NDArray[np.int64]:
    """Which row of its episode each query is taken for, where support and query are embedded by two variants."""
    both = np.concatenate([enrolled, asked])
    rows = np.empty((EPISODES, sampler.way, sampler.query), np.int64)
    for number in range(EPISODES):
        episode = sampler.episode(number)
        scores = episode_scores(both, episode.support, episode.query + len(enrolled))
        rows[number] = scores.argmax(axis=1).reshape(sampler.way, sampler.query)
    return rows


def _loss(plain: npt.NDArray[np.int64], found: npt.NDArray[np.int64]) -> dict[str, float]:
    """Points of accuracy lost over the same episodes, with half the width of the 95 % interval of the difference."""
    truth = np.arange(plain.shape[1])[None, :, None]
    lost = 100 * ((plain == truth).mean(axis=(1, 2)) - (found == truth).mean(axis=(1, 2)))
    return {"points": float(lost.mean()), "ci95": float(1.96 * lost.std(ddof=1) / np.sqrt(len(lost)))}


def _distance(ours: head.Embeddings, theirs: head.Embeddings) -> dict[str, float]:
    cosines = _cosines(ours, theirs)
    return {
        "max_abs_error": float(np.abs(ours - theirs).max()),
        "mean_abs_error": float(np.abs(ours - theirs).mean()),
        "cosine_min": float(cosines.min()),
        "cosine_mean": float(cosines.mean()),
    }


def _change_by_batch(session: Session, golden: Frames) -> dict[str, float]:
    """By how much a component of an embedding changes with the rest of its batch, by the batch's size."""
    same = np.stack([frame for frame in golden if frame.shape == golden[0].shape])
    changes = {}
    for size in BATCH_SIZES:
        chosen = np.resize(same, (size, *same.shape[1:]))
        changes[str(size)] = float(np.abs(session.run({"frames": chosen})[0] - _embed(session, list(chosen))).max())
    return changes


def _embed(session: Session, frames: Frames) -> head.Embeddings:
    if not len(frames):
        raise DataError("No frames are left to compare a variant on.")
    return np.concatenate([session.run({"frames": frame[None]})[0] for frame in frames])


def _cosines(ours: head.Embeddings, theirs: head.Embeddings) -> npt.NDArray[np.float64]:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    return np.asarray((ours * theirs).sum(axis=1) / np.maximum(lengths, head.SHORTEST), np.float64)

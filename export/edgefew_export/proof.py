"""The proof that a bundle computes what its source computes. Its figures are the bundle's report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from edgefew_runtime import AudioInput, ExportError, ImageInput, InputSpec, head
from edgefew_runtime.frames import Pixels, RawFrame
from edgefew_runtime.session import Session
from edgefew_runtime.text_input import TextInput

from .episodes import EpisodeSampler
from .evaluation import Embed, decisions, summarize

BATCH_SIZES = (1, 2, 7)
MAX_ERROR = 1e-4
"""Largest difference of one embedding component, on frames that need no resize."""

MIN_COSINE = 0.999
"""Least cosine on frames that the graph resizes and Pillow resizes; the two differ by up to 1/255."""

MIN_AGREEMENT = 0.999
"""Least share of episode decisions that the source and the bundle take alike."""

EPISODES = 600

HELD_OUT = "the checkpoint's held-out classes"
"""How the report calls the frames that a checkpoint carries."""


@dataclass(frozen=True)
class ProofFrames:
    """Frames of classes that training never saw, with what both sides make of them.

    Attributes:
        reference: float32 [n, d].
        fitted: float32 [n, d], the bundle's, of frames that Pillow has brought to the backbone's size.
        bundle: float32 [n, d], the bundle's, of the frames as they are.
        labels: int64 [n].
        sources: int64 [n] or None.
    """

    reference: head.Embeddings
    fitted: head.Embeddings
    bundle: head.Embeddings
    labels: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64] | None


def golden_frames(spec: InputSpec, seed: int = 0) -> list[RawFrame]:
    """Frames to test a device with: smooth shapes and noise, at the backbone's size and at others, odd ones among them.

    They are made, not taken from the training data: a bundle travels, and must not carry anybody's pictures.
    """
    rng = np.random.default_rng(seed)
    if isinstance(spec, AudioInput):
        counts = [spec.size[0]] * 4 + [3 * spec.size[0] + 1, spec.size[0] // 2 + 1, spec.size[0] - 5]
        return [_tones(rng, count, spec.rate) for count in counts]
    if isinstance(spec, TextInput):
        return [spec.noise(rng, (count,)) for count in (*[spec.size[0]] * 4, 1, 3, 4 * spec.size[0] + 1)]
    if not isinstance(spec, ImageInput):
        samples, channels = spec.raw_shape
        counts = [samples] * 4 + [3 * samples, samples // 2 + 1, 2 * samples + 1, samples + 5]
        return [_waves(rng, count, channels) for count in counts]
    height, width = spec.size
    sizes = [(height, width)] * 4 + [
        (2 * height + 1, 3 * width),
        (47, 31),
        (120, 160),
        (height // 2 + 1, width + 5),
    ]
    return [_shapes(rng, *size) for size in sizes]


def _shapes(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Three soft discs and bars on a ground, with a little noise: uint8 [height, width, 3]."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    frame = np.full((height, width, 3), rng.uniform(120, 255, 3))
    for _ in range(3):
        cx, cy, radius, angle = rng.uniform([0.2, 0.2, 0.1, 0], [0.8, 0.8, 0.3, np.pi])
        distance = (
            np.hypot(x - cx, y - cy)
            if rng.random() < 0.5
            else abs((x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)) * 3
        )
        inside = 1 / (1 + np.exp((distance - radius) * 60))
        frame += inside[..., None] * (rng.uniform(0, 160, 3) - frame)
    return np.asarray(np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255), np.uint8)


def _waves(rng: np.random.Generator, samples: int, channels: int) -> npt.NDArray[np.float32]:
    """Three sines and a spike a channel, with a little noise and an offset: float32 [samples, channels]."""
    time = (np.arange(samples)[:, None] + 0.5) / samples
    window = rng.normal(0, 0.02, (samples, channels)) + rng.normal(0, 1, channels)
    for _ in range(3):
        cycles, phase, height = rng.uniform([1, 0, 0.2], [9, 2 * np.pi, 1], (channels, 3)).T
        window += height * np.sin(2 * np.pi * cycles * time + phase)
    place, height = rng.uniform([0.2, 1], [0.8, 3], (channels, 2)).T
    return np.asarray(window + height * np.exp(-0.5 * ((time - place) / 0.02) ** 2), np.float32)


def _tones(rng: np.random.Generator, samples: int, rate: int) -> npt.NDArray[np.float32]:
    """Three gliding tones with overtones and a little noise, louder in the middle: float32 [samples]."""
    time = np.arange(samples) / rate
    sound = rng.normal(0, 0.003, samples)
    for _ in range(3):
        pitch, glide, height = rng.uniform([80, -0.3, 0.05], [900, 0.3, 0.2])
        turns = 2 * np.pi * pitch * time * (1 + glide * time)
        sound += height * sum(np.sin(n * turns) / n for n in range(1, 5))
    return np.asarray(sound * np.sin(np.pi * (np.arange(samples) + 0.5) / samples), np.float32)


def compare_embeddings(
    frames: Sequence[RawFrame], reference: Embed, session: Session, native: tuple[int, ...]
) -> dict[str, Any]:
    """How far the bundle's embeddings are from the source's own.

    Raises:
        ExportError: further than `MAX_ERROR` or `MIN_COSINE` allow, or dependent on the rest of the batch.
    """
    same_size = np.stack([frame for frame in frames if frame.shape == native])
    sized: dict[str, dict[str, float]] = {}
    for batch in BATCH_SIZES:
        chosen = np.resize(same_size, (batch, *same_size.shape[1:]))
        ours, theirs = session.run({"frames": chosen})[0], reference(list(chosen))
        if ours.shape != theirs.shape:
            raise ExportError(f"A batch of {batch} gives embeddings of shape {ours.shape}, the source {theirs.shape}.")
        alone = np.concatenate([session.run({"frames": frame[None]})[0] for frame in chosen])
        sized[str(batch)] = {
            "max_abs_error": float(np.abs(ours - theirs).max()),
            "mean_abs_error": float(np.abs(ours - theirs).mean()),
            "cosine_min": float((ours * theirs).sum(axis=1).min()),
            "cosine_mean": float((ours * theirs).sum(axis=1).mean()),
            "max_change_by_batch": float(np.abs(ours - alone).max()),
        }
    resized = [frame for frame in frames if frame.shape != native]
    cosines = (np.concatenate([session.run({"frames": f[None]})[0] for f in resized]) * reference(resized)).sum(axis=1)
    worst = max(max(v["max_abs_error"], v["max_change_by_batch"]) for v in sized.values())
    if not worst <= MAX_ERROR:
        raise ExportError(
            f"The graph's embeddings differ from the source's by {worst:.1e} (at most {MAX_ERROR:.0e} allowed)."
        )
    if not cosines.min() >= MIN_COSINE:
        raise ExportError(
            f"On resized frames the cosine to the source is {cosines.min():.4f} (at least {MIN_COSINE} expected)."
        )
    return {
        "batch_sizes": sized,
        "resized_frames": {
            "cosine_min": float(cosines.min()),
            "cosine_mean": float(cosines.mean()),
            "frames": len(resized),
        },
    }


def compare_decisions(frames: ProofFrames, sampler: EpisodeSampler) -> dict[str, Any]:
    """Episode accuracy of the source and of the bundle on the same episodes, and the share of decisions that agree.

    They must agree on frames of the same pixels. Where the bundle resizes by itself, by up to 1/255 otherwise than
    Pillow, what that changes is reported beside it.

    Raises:
        ExportError: they agree on less than `MIN_AGREEMENT`.
    """
    theirs, fitted, ours = (decisions(e, sampler, EPISODES) for e in (frames.reference, frames.fitted, frames.bundle))
    agreement = float((theirs == fitted).mean())
    if not agreement >= MIN_AGREEMENT:
        raise ExportError(
            f"The source and the bundle agree on {agreement:.2%} of the decisions in {EPISODES} episodes "
            f"(at least {MIN_AGREEMENT:.1%} expected)."
        )
    return {
        "decisions": int(theirs.size),
        "agreement": agreement,
        "agreement_with_own_resize": float((theirs == ours).mean()),
        "reference": summarize(theirs, sampler).to_dict(),
        "bundle": summarize(ours, sampler).to_dict(),
    }

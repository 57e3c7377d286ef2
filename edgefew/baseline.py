"""The baselines that every figure stands beside: raw pixels, raw samples, raw spectra."""

from __future__ import annotations

import numpy as np
import torch
from edgefew_export.preprocessing import preprocessing_of, resample, resize
from edgefew_runtime import InputSpec, head
from edgefew_runtime.frames import RawFrame
from edgefew_runtime.labelled_folder import SOUND_RATE
from PIL import Image

SIZE = 28
SAMPLES = 256


def raw_pixels(frames: list[RawFrame]) -> head.Embeddings:
    """Each frame as a unit vector of its 28 × 28 grey values, dark as high: float32 [n, 784]."""
    grey = [
        255.0 - np.asarray(Image.fromarray(f).convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR), np.float32)
        for f in frames
    ]
    return head.unit(np.stack(grey).reshape(len(frames), -1))


def raw_signal(frames: list[RawFrame]) -> head.Embeddings:
    """Each window as a unit vector of 256 samples a channel, each of mean 0 and deviation 1: float32 [n, 256 · C]."""
    windows = np.stack([resample(frame, SAMPLES) for frame in frames])
    deviation = windows.std(axis=1, keepdims=True)
    scaled = (windows - windows.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1)
    return head.unit(scaled.reshape(len(frames), -1))


def raw_sound(frames: list[RawFrame]) -> head.Embeddings:
    """The middle second at 16 kHz as a unit vector of 40 log-mel bands in 10 parts of time: float32 [n, 400]."""
    spec = InputSpec.audio(SOUND_RATE, SOUND_RATE)
    preprocessing = preprocessing_of(spec)
    seconds = torch.from_numpy(np.stack([resize(frame, spec) for frame in frames]))
    spectra = preprocessing.scale(preprocessing.select_channels(seconds))
    parts = torch.nn.functional.adaptive_avg_pool2d(spectra, (40, 10)).flatten(1)
    return head.unit(parts.numpy())

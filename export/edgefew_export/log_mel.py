"""What comes before a network of sounds: a log-mel spectrogram, by matrix products alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from edgefew_runtime.sound_input import AudioInput
from edgefew_runtime.sound_quality import LARGEST

from .preprocessing import Preprocessing

FLOOR = 1e-6
"""Power below this share of the loudest band's (60 dB) is no sound but the microphone's own noise."""

QUIETEST = 1e-6
"""What varies by less is silence: less than a step of 16-bit integers by a factor of thirty."""


def mel_bands(bands: int, bins: int, rate: int) -> npt.NDArray[np.float32]:
    """Triangles on the mel scale over the bins from 0 Hz to half the rate: float32 [bands, bins].

    Mel as in O'Shaughnessy, Speech Communication, 1987: 2595 log10(1 + f / 700); triangles from 20 Hz up.
    """
    half = rate / 2
    low, high = (2595 * np.log10(1 + f / 700) for f in (20, half))
    edges = 700 * (10 ** (np.linspace(low, high, bands + 2) / 2595) - 1)
    bins_hz = np.linspace(0, half, bins)
    # At least a bin wide: at low frequencies a triangle may lie between two bins.
    width = np.maximum(np.diff(edges), half / (bins - 1))
    rising = (bins_hz - edges[1:-1, None]) / width[:-1, None] + 1
    falling = (edges[1:-1, None] - bins_hz) / width[1:, None] + 1
    return np.asarray(np.maximum(0, np.minimum(rising, falling)), np.float32)


class SoundPreprocessing(Preprocessing):
    """Recordings cut to the window: float32 [n, S] → log-mel spectra [n, 1, bands, spectra], or samples [n, 1, S].

    Spectra have mean 0 and deviation 1 over each recording, samples the peak 1: loudness does not count. A silent
    recording, or one with NaN, infinity or values beyond `LARGEST`, cannot be used: the network sees zeros in
    its place, and its vector becomes zero.

    The weights stand first in the products: a variant in integers or float16 leaves them as they are.
    """

    fourier: torch.Tensor
    bands: torch.Tensor

    def __init__(self, spec: AudioInput) -> None:
        super().__init__()
        self.hop, self.frame, self.spectra, self.is_mel = spec.hop, spec.frame, spec.spectra, spec.bands > 0
        if self.is_mel:
            time = np.arange(self.frame)
            hann = 0.5 - 0.5 * np.cos(2 * np.pi * time / self.frame)
            turns = 2 * np.pi * np.outer(np.arange(self.frame // 2 + 1), time) / self.frame
            fourier = np.concatenate([np.cos(turns), np.sin(turns)]) * hann
            bands = mel_bands(spec.bands, self.frame // 2 + 1, spec.rate)
            self.register_buffer("fourier", torch.tensor(fourier, dtype=torch.float32), persistent=False)
            self.register_buffer("bands", torch.from_numpy(bands), persistent=False)

    def select_channels(self, frames: torch.Tensor) -> torch.Tensor:
        """float32 [n, S] → [n, 1, S]."""
        return frames[:, None]

    def scale(self, images: torch.Tensor) -> torch.Tensor:
        """Samples [n, 1, S] → normalised log-mel spectra or samples, those of what is not usable zeros."""
        samples = torch.where(self.usable(images)[:, :, None], images, 0.0)
        peak = samples.abs().amax(dim=2, keepdim=True)
        samples = samples / torch.where(peak > 0, peak, 1.0)
        return self._log_mel(samples) if self.is_mel else samples

    def usable(self, images: torch.Tensor) -> torch.Tensor:
        """Whether a recording can be used: bool [n, 1], from float32 [n, 1, S]."""
        # By addition: the maximum of NaN and a number is either, as each runtime likes.
        size = images.abs().mean(dim=2)
        return (size <= LARGEST) & (images.amax(dim=2) - images.amin(dim=2) > QUIETEST)

    def mask(self, images: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """The vectors [n, d], with zeros where a recording cannot be used."""
        return torch.where(self.usable(images), vectors, 0.0)

    def _log_mel(self, samples: torch.Tensor) -> torch.Tensor:
        hops = samples.reshape(samples.shape[0], -1, self.hop)
        count = self.frame // self.hop
        frames = torch.cat([hops[:, i : i + self.spectra] for i in range(count)], dim=2)
        parts = torch.matmul(self.fourier, frames.transpose(1, 2))
        bins = parts.shape[1] // 2
        power = parts[:, :bins].square() + parts[:, bins:].square()
        mel = torch.matmul(self.bands, power)[:, None]
        loudest = mel.amax(dim=(2, 3), keepdim=True)
        log = torch.log((mel / torch.where(loudest > 0, loudest, 1.0)).clamp(min=FLOOR))
        centred = log - log.mean(dim=(2, 3), keepdim=True)
        deviation = centred.square().mean(dim=(2, 3), keepdim=True).sqrt()
        return centred / torch.where(deviation > 0, deviation, 1.0)

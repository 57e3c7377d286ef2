"""Augmentation of recordings as batched tensor operations on the training device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

_BENDS = 8
"""Points of the curve that makes some frequencies louder than others."""


@dataclass(frozen=True)
class SoundAugmentation:
    """How far each recording is changed; every change is drawn anew for each recording.

    Attributes:
        shift: largest shift, as a share of the window; what comes in is silence.
        speed: largest share that it runs faster or slower by; the pitch goes with it.
        equalise: largest gain or loss of a part of the frequencies, in decibels, as another microphone or room has it.
        masked: largest share of the frequencies that one gap takes out, and of the time that another does (Park et al.,
            SpecAugment, Interspeech 2019).
        noise: largest level of added white noise, as a share of the recording's deviation.
    """

    shift: float = 0.1
    speed: float = 0.15
    equalise: float = 6.0
    masked: float = 0.12
    noise: float = 0.1

    def __call__(self, sounds: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The recordings, changed: float32 [n, 1, S] in and out."""
        moved = _along_time(sounds, self, generator)
        spectrum = torch.fft.rfft(moved)
        bends = _uniform((len(sounds), 1, _BENDS), self.equalise, generator).to(sounds)
        curve = F.interpolate(bends, spectrum.shape[2], mode="linear", align_corners=True)
        heard = 10 ** (curve / 20) * _gap(len(sounds), spectrum.shape[2], self.masked, generator).to(sounds)
        changed = torch.fft.irfft(spectrum * heard, sounds.shape[2])
        changed = changed * _gap(len(sounds), sounds.shape[2], self.masked, generator).to(sounds)
        deviation = sounds.square().mean(dim=2, keepdim=True).sqrt()
        strength = torch.rand((len(sounds), 1, 1), generator=generator, device=generator.device) * self.noise
        noise = torch.randn(sounds.shape, generator=generator, device=generator.device) * strength
        noisy: torch.Tensor = changed + deviation * noise.to(sounds)
        return noisy


def _uniform(shape: tuple[int, ...], limit: float, generator: torch.Generator) -> torch.Tensor:
    return (torch.rand(shape, generator=generator, device=generator.device) * 2 - 1) * limit


def _along_time(sounds: torch.Tensor, by: SoundAugmentation, generator: torch.Generator) -> torch.Tensor:
    n, _, samples = sounds.shape
    speed = torch.exp(_uniform((n, 1), float(torch.log1p(torch.tensor(by.speed))), generator))
    # 2 × because grid_sample's coordinates run from -1 to 1
    shift = _uniform((n, 1), 2 * by.shift, generator)
    places = (torch.arange(samples, device=generator.device) * 2 + 1) / samples - 1
    across = places * speed + shift
    grid = torch.stack([across, torch.zeros_like(across)], dim=2)[:, None].to(sounds)
    moved = F.grid_sample(sounds[:, :, None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved[:, :, 0]


def _gap(n: int, places: int, largest: float, generator: torch.Generator) -> torch.Tensor:
    """1, and 0 in one stretch of up to that share: float32 [n, 1, places]."""
    start, share = torch.rand((2, n, 1, 1), generator=generator, device=generator.device)
    at = torch.arange(places, device=generator.device) / places
    inside: torch.Tensor = (at >= start) & (at < start + share * largest)
    return 1.0 - inside.float()

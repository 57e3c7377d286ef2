"""Augmentation of signals as batched tensor operations on the training device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class SignalAugmentation:
    """How far each training window is changed; every change is drawn anew for each window.

    Nothing is reversed or turned upside down: a heart beat run backwards is none.

    Attributes:
        shift: largest shift, as a share of the window; what comes in repeats the end.
        stretch: largest share that the window grows or shrinks by along time.
        scale: largest share that a channel's deviations grow or shrink by; each channel is drawn apart.
        noise: largest standard deviation of added noise, as a share of the channel's own.
        wander: largest height of a slow wave under each channel, as a share of its deviation; up to two periods.
        dropout: probability that one channel of several is set to its mean, as if its sensor were off.
    """

    shift: float = 0.05
    stretch: float = 0.1
    scale: float = 0.2
    noise: float = 0.1
    wander: float = 0.0
    dropout: float = 0.1

    def __call__(self, signals: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The windows, changed: float32 [n, C, S] in and out, any value range."""
        n, channels, _ = signals.shape
        moved = _along_time(signals, self, generator)
        mean = moved.mean(dim=2, keepdim=True)
        centred = moved - mean
        deviation = centred.square().mean(dim=2, keepdim=True).sqrt()
        factor = torch.exp(_uniform((n, channels, 1), 1.0, generator) * _log1p(self.scale))
        strength = torch.rand((n, 1, 1), generator=generator, device=generator.device) * self.noise
        noise = torch.randn(signals.shape, generator=generator, device=generator.device) * strength
        changed = centred * factor.to(signals) + deviation * noise.to(signals)
        if self.wander:
            changed = changed + deviation * _slow_waves(signals.shape, self.wander, generator).to(signals)
        return mean + changed * _kept(n, channels, self.dropout, generator).to(signals)


def _uniform(shape: tuple[int, ...], limit: float, generator: torch.Generator) -> torch.Tensor:
    return (torch.rand(shape, generator=generator, device=generator.device) * 2 - 1) * limit


def _slow_waves(shape: torch.Size, height: float, generator: torch.Generator) -> torch.Tensor:
    """A sine of up to two periods for each channel of each window: float32 [n, C, S]."""
    n, channels, samples = shape
    strength, periods, phase = torch.rand((3, n, channels, 1), generator=generator, device=generator.device)
    time = torch.linspace(0, 1, samples, device=generator.device)
    waves: torch.Tensor = height * strength * torch.sin(2 * torch.pi * (2 * periods * time + phase))
    return waves


def _log1p(share: float) -> float:
    return float(torch.log1p(torch.tensor(share)))


def _along_time(signals: torch.Tensor, by: SignalAugmentation, generator: torch.Generator) -> torch.Tensor:
    n, _, samples = signals.shape
    stretch = torch.exp(_uniform((n, 1), _log1p(by.stretch), generator))
    # 2 × because grid_sample's coordinates run from -1 to 1
    shift = _uniform((n, 1), 2 * by.shift, generator)
    places = (torch.arange(samples, device=generator.device) * 2 + 1) / samples - 1
    across = places * stretch + shift
    grid = torch.stack([across, torch.zeros_like(across)], dim=2)[:, None].to(signals)
    moved = F.grid_sample(signals[:, :, None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return moved[:, :, 0]


def _kept(n: int, channels: int, probability: float, generator: torch.Generator) -> torch.Tensor:
    """1, or 0 for the channel that is off: float32 [n, C, 1]; all 1 where there is one channel."""
    drawn = torch.rand(n, generator=generator, device=generator.device)
    which = torch.randint(channels, (n,), generator=generator, device=generator.device)
    off = F.one_hot(which, channels) * (drawn < (probability if channels > 1 else 0.0))[:, None]
    return 1.0 - off[:, :, None].float()

r"""A network for signals that EdgeFew did not train, for `edgefew export examples.signal_backbone:spectrum`.

Copy it and put your own in its place: a function without arguments that returns a torch.nn.Module, in evaluation mode,
which maps float32 [n, channels, samples] to float32 [n, d]. What a window is normalised and resampled by is declared on
the command line and becomes part of the bundle:

    edgefew export examples.signal_backbone:spectrum motor.edgefew \
        --kind signal --samples 128 --channels 2 --normalize window --seconds 0.5 --data windows/
"""

from __future__ import annotations

import math

import torch
from torch import nn

SAMPLES, CHANNELS, BANDS = 128, 2, 24


class Spectrum(nn.Module):
    """The strength of low frequencies, in decibels: float32 [n, channels, samples] → [n, channels · bands].

    The Fourier transform as two matrices: standard ONNX operators alone, and fast for so few bands. Nothing is learned,
    so it needs no weights; it does for vibration, where when a thing happens in the window tells nothing.

    Args:
        samples: of a window.
        bands: frequencies from one cycle a window on.
    """

    def __init__(self, samples: int, bands: int) -> None:
        super().__init__()
        turns = torch.outer(torch.arange(samples) / samples, torch.arange(1, bands + 1).float()) * 2 * math.pi
        window = torch.hann_window(samples)[:, None]
        self.register_buffer("real", window * turns.cos())
        self.register_buffer("imaginary", window * turns.sin())

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """One vector a window."""
        power = (signals @ self.real).square() + (signals @ self.imaginary).square()
        strength = torch.log10(power + 1e-2)
        return (strength - strength.mean(dim=2, keepdim=True)).flatten(1)


def spectrum() -> nn.Module:
    """The network, as `edgefew export` asks for it."""
    return Spectrum(SAMPLES, BANDS).eval()

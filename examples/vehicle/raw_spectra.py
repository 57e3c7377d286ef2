"""The baseline of sounds as a bundle, for `edgefew export examples.vehicle.raw_spectra:raw_spectra`: no network."""

from __future__ import annotations

import torch
from torch import nn


class RawSpectra(nn.Module):
    """Each recording's log-mel spectrum in ten parts of time: float32 [n, 1, 40, T] → [n, 400].

    As `edgefew.baseline.raw_sound`.
    """

    def forward(self, spectra: torch.Tensor) -> torch.Tensor:
        """One vector a recording."""
        return nn.functional.adaptive_avg_pool2d(spectra, (40, 10)).flatten(1)


def raw_spectra() -> nn.Module:
    """The network, as `edgefew export` asks for it."""
    return RawSpectra().eval()

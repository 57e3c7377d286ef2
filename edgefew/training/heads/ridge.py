"""Ridge regression from features to classes, solved in closed form for each episode.

Bertinetto, Henriques, Torr, Vedaldi, Meta-learning with Differentiable Closed-form Solvers, ICLR 2019: R2-D2, equation
6 (the Woodbury form: a system of as many unknowns as there are support examples). On unit vectors, as the device has
them; the device takes the nearest mean instead, so this head only shapes the backbone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from .head import FIRST_SCALE, EpisodeHead

FIRST_PENALTY = 1.0


class Ridge(EpisodeHead):
    """Scores of the regression, with a learned penalty and factor.

    Their offset (equation 7), the same for all classes, changes no softmax and is left out.
    """

    def __init__(self, first_scale: float = FIRST_SCALE) -> None:
        super().__init__(first_scale)
        self.log_penalty = nn.Parameter(torch.tensor(math.log(FIRST_PENALTY)))

    def forward(
        self, support: torch.Tensor, query: torch.Tensor, unlabelled: torch.Tensor | None = None
    ) -> torch.Tensor:
        """float32 [..., m, way]."""
        way, shot = support.shape[-3:-1]
        examples = F.normalize(support.flatten(-3, -2), dim=-1)
        wanted = torch.eye(way, device=support.device, dtype=support.dtype).repeat_interleave(shot, dim=0)
        penalty = self.log_penalty.exp() * torch.eye(way * shot, device=support.device, dtype=support.dtype)
        weights: torch.Tensor = examples.mT @ torch.linalg.solve(examples @ examples.mT + penalty, wanted)
        scores: torch.Tensor = F.normalize(query, dim=-1) @ weights
        return self.scale * scores

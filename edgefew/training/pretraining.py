"""Supervised pre-training on the training classes.

Cross-entropy over all of them with a cosine head (Chen, Liu, Kira, Wang, Huang, A Closer Look at Few-shot
Classification, ICLR 2019: Baseline++); a second head that tells by which quarter an image was turned and mixed images
(Mangla et al., Charting the Right Manifold, WACV 2020, S2M2; EASY, Bendou et al. 2022, section 3.1), if wanted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .training_frames import QUARTERS

FIRST_SCALE = 20.0


class PretrainingHead(nn.Module):
    """A weight vector for each class, compared by the cosine with a learned scale; and one for each quarter turn.

    Args:
        dimension: of the features.
        classes: how many.
        quarters: whether quarter turns are told apart, too.
    """

    def __init__(self, dimension: int, classes: int, quarters: bool) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(classes, dimension))
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))
        self.quarters = nn.Linear(dimension, QUARTERS) if quarters else None

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The logits: float32 [n, classes], from features [n, d]."""
        return self.log_scale.exp() * F.normalize(features, dim=1) @ F.normalize(self.weights, dim=1).T


@dataclass(frozen=True)
class Mixture:
    """Each image of a batch mixed with another of it (Zhang, Cisse, Dauphin, Lopez-Paz, mixup, ICLR 2018, equation 1).

    Attributes:
        partner: int64 [n], which other.
        share: of the image itself, 0 to 1; the rest is the partner's.
    """

    partner: torch.Tensor
    share: float

    @classmethod
    def draw(cls, n: int, alpha: float, rng: np.random.Generator) -> Mixture:
        """A random one, with a share from Beta(alpha, alpha); with alpha 0 each image stays itself."""
        share = float(rng.beta(alpha, alpha)) if alpha else 1.0
        return cls(torch.from_numpy(rng.permutation(n)), share)

    def mix(self, images: torch.Tensor) -> torch.Tensor:
        """The mixed images, of the same shape."""
        return torch.lerp(images[self.partner.to(images.device)], images, self.share) if self.share < 1 else images

    def loss(self, logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """The mean cross-entropy, mixed as the images are."""
        own = F.cross_entropy(logits, truth)
        if self.share == 1:
            return own
        return self.share * own + (1 - self.share) * F.cross_entropy(logits, truth[self.partner.to(truth.device)])

"""Prototypes refined by unlabelled embeddings: one step of soft k-means with a distractor cluster.

The same arithmetic as the bundle's graph `refine`, in numpy, as `head` has that of `enroll` and `classify`; `edgefew
verify` compares the two. Method: Ren et al., "Meta-Learning for Semi-Supervised Few-Shot Classification", ICLR 2018,
sections 3.1.1 and 3.1.2. As everywhere here, embeddings and prototypes are unit vectors, so that a squared distance is
2 - 2 cos. The length scales, which the paper learns, are all 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import head
from .operating_point import is_number

REFINE = "refine"
"""The name of the graph, of its entry in the manifest and of that in the report."""

_REPORTED = ("unlabelled", "gain", "gain_ci95")

MAX_SCALE = 1e6
_BLOCK_VALUES = 4_000_000
"""Assignments (embeddings × classes) that are held at once."""


@dataclass(frozen=True)
class Refinement:
    """How sharply unlabelled embeddings are assigned, and from where on to no class.

    Attributes:
        scale: what cosines are multiplied by before the softmax.
        distractor: the cosine that each embedding has with the distractor cluster, which takes what is of no class. At
            0.5 a unit vector is as far from a prototype as from the origin, where the paper has that cluster.
    """

    scale: float = 10.0
    distractor: float = 0.5

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Refinement:
        """From the manifest's JSON."""
        made = cls(data["scale"], data["distractor"])
        if not (is_number(made.scale) and 0 < made.scale <= MAX_SCALE):
            raise ValueError(f"refinement at the scale {made.scale}")
        if not (is_number(made.distractor) and -1 <= made.distractor <= 1):
            raise ValueError(f"refinement with a distractor at the cosine {made.distractor}")
        return made

    def to_dict(self) -> dict[str, float]:
        """As the manifest's JSON has it."""
        return asdict(self)

    def refine(
        self, unlabelled: head.Embeddings, sums: npt.NDArray[np.float32], counts: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Sums and counts with each unlabelled embedding added to the classes by its soft assignment to them.

        >>> sums, counts = np.eye(2, dtype=np.float32), np.ones(2, np.float32)
        >>> near, astray = np.array([[1, 0]], np.float32), np.array([[-1, 0]], np.float32)
        >>> Refinement(scale=100).refine(near, sums, counts)[1].round(3)
        array([2., 1.], dtype=float32)
        >>> Refinement(scale=100).refine(astray, sums, counts)[1].round(3)
        array([1., 1.], dtype=float32)

        Args:
            unlabelled: float32 [m, d], unit vectors; m may be 0.
            sums: float32 [c, d], of each class's labelled embeddings.
            counts: float32 [c], how many these are. A class of none takes nothing.

        Returns:
            Sums float32 [c, d] and counts float32 [c].
        """
        enrolled = counts > 0
        prototypes = head.unit(sums)
        added, taken = np.zeros(sums.shape), np.zeros(counts.shape)
        rows = max(1, _BLOCK_VALUES // (len(sums) + 1))
        for start in range(0, len(unlabelled), rows):
            block = unlabelled[start : start + rows]
            logits = np.full((len(block), len(sums) + 1), self.scale * self.distractor)
            logits[:, :-1] = np.where(enrolled, self.scale * (block @ prototypes.T), -np.inf)
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            shares = (weights / weights.sum(axis=1, keepdims=True))[:, :-1]
            added += shares.T @ block
            taken += shares.sum(axis=0)
        return (sums + added).astype(np.float32), (counts + taken).astype(np.float32)


def reported_gain(report: Mapping[str, Any]) -> dict[str, float] | None:
    """By a bundle's report, how many unlabelled frames of each class gain how much, give or take; None if unsaid.

    >>> reported_gain({"refine": {"unlabelled": 5, "gain": 0.029, "gain_ci95": 0.003, "way": 5}})
    {'unlabelled': 5, 'gain': 0.029, 'gain_ci95': 0.003}
    """
    told = report.get(REFINE)
    if not isinstance(told, dict) or not all(is_number(told.get(name)) for name in _REPORTED):
        return None
    return {name: told[name] for name in _REPORTED}

"""Prototypes of few examples, completed by embeddings that the bundle's `hallucinate` graph generates for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import head
from .operating_point import is_number
from .session import Session

COMPONENT = "hallucinate"
MAX_VALUES = 65_536
"""Values of noise in a manifest."""

MAX_WEIGHT = 1e6
_BLOCK = 64
"""Classes that are generated for at once."""


@dataclass(frozen=True)
class Hallucination:
    """How the generator is used.

    Attributes:
        shots: the numbers of examples at which the bundle's report says that it gains; may be empty.
        weight: as how many examples the generated ones count together.
        noise: k rows of z values, the same for every class: the same examples always give the same answer.
    """

    shots: tuple[int, ...]
    weight: float
    noise: tuple[tuple[float, ...], ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Hallucination:
        """From the manifest's JSON."""
        made = cls(tuple(data["shots"]), data["weight"], tuple(tuple(row) for row in data["noise"]))
        if not all(type(shot) is int and shot > 0 for shot in made.shots):
            raise ValueError(f"generated examples for {made.shots} shots")
        if not (is_number(made.weight) and 0 < made.weight <= MAX_WEIGHT):
            raise ValueError(f"generated examples that count as {made.weight}")
        values = [value for row in made.noise for value in row]
        if not (0 < len(values) <= MAX_VALUES and len({len(row) for row in made.noise}) == 1):
            raise ValueError(f"noise of {len(values)} values in {len(made.noise)} rows")
        if not all(is_number(value) and abs(value) <= MAX_WEIGHT for value in values):
            raise ValueError("noise that is no number")
        return made

    def to_dict(self) -> dict[str, Any]:
        """As the manifest's JSON has it."""
        return {"shots": list(self.shots), "weight": self.weight, "noise": [list(row) for row in self.noise]}

    def inputs(self, prototypes: head.Embeddings) -> dict[str, npt.NDArray[np.float32]]:
        """What the graph takes for these classes, float32 [c, d]."""
        noise = np.array(self.noise, np.float32)
        return {"prototypes": prototypes, "noise": np.repeat(noise[None], len(prototypes), axis=0)}

    def complete(
        self, session: Session, prototypes: head.Embeddings, counts: npt.NDArray[np.int64]
    ) -> head.Embeddings | None:
        """Each prototype, float32 [c, d], with what is generated for it, the same; None where they are not to be used.

        They are where all classes have the same number of examples, and that is one of `shots`: a class that is
        completed beside others that are not takes frames of those. A class without direction stays so.
        """
        if not len(counts) or counts.min() != counts.max() or counts[0] not in self.shots:
            return None
        rows = prototypes.copy()
        chosen = np.flatnonzero(prototypes.any(axis=1))
        for start in range(0, len(chosen), _BLOCK):
            block = chosen[start : start + _BLOCK]
            (generated,) = session.run(self.inputs(prototypes[block]))
            rows[block] = completed(prototypes[block], generated, int(counts[0]), self.weight)
        return rows


def completed(prototypes: head.Embeddings, generated: head.Embeddings, shot: int, weight: float) -> head.Embeddings:
    """The mean of `shot` examples at each prototype [c, d] and of those generated [c, k, d], as unit rows [c, d]."""
    return head.unit(shot * prototypes + np.float32(weight) * generated.mean(axis=1))

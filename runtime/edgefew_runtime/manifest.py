"""What a bundle says about itself, as records; JSON by `from_dict` and `to_dict`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import BundleFormatError
from .hallucination import COMPONENT, Hallucination
from .input_spec import InputSpec
from .operating_point import CoveragePoint, OperatingPoint, is_number
from .refinement import REFINE, Refinement

MAX_SCALE = 1e6
"""Beyond it the softmax is a maximum, and float32 comes to its end."""

MAX_DIMENSION = 65_536
"""Components of an embedding; networks have up to some thousands."""

GOLDEN_COSINE = 0.999
"""The least cosine between an embedding computed on a device and the one that the source gave for the same raw frame.

Two machines differ by about 1e-6. What is left is the resize: the graph's may differ from Pillow's by 1/255. A variant
of lower precision is further away, and says itself how far it may be.
"""

FORMAT = 1
"""The version of EdgeFew's part of the manifest. A reader refuses a higher one."""


@dataclass(frozen=True)
class VariantCalibration:
    """What holds for the embeddings of one variant of the embed graph in place of what holds for those of fp32.

    Attributes:
        scale: what scores are multiplied by before the softmax.
        operating_points: thresholds to choose from.
        coverage_points: scores that make conformal sets.
        golden_cosine: the least cosine to the golden embeddings.
    """

    scale: float
    operating_points: tuple[OperatingPoint, ...]
    coverage_points: tuple[CoveragePoint, ...]
    golden_cosine: float

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VariantCalibration:
        """From the manifest's JSON."""
        variant = cls(
            data["scale"],
            tuple(OperatingPoint.from_dict(p) for p in data["operating_points"]),
            tuple(CoveragePoint.from_dict(p) for p in data["coverage_points"]),
            data["golden_cosine"],
        )
        if not (is_number(variant.scale) and 0 < variant.scale <= MAX_SCALE):
            raise ValueError(f"a variant with the scale {variant.scale}")
        if not (is_number(variant.golden_cosine) and 0 < variant.golden_cosine <= GOLDEN_COSINE):
            raise ValueError(f"a variant with the golden cosine {variant.golden_cosine}")
        return variant

    def to_dict(self) -> dict[str, Any]:
        """As the manifest's JSON has it."""
        return {
            "scale": self.scale,
            "operating_points": [p.to_dict() for p in self.operating_points],
            "coverage_points": [p.to_dict() for p in self.coverage_points],
            "golden_cosine": self.golden_cosine,
        }


@dataclass(frozen=True)
class Manifest:
    """EdgeFew's part of a bundle's manifest.

    Attributes:
        name: the bundle's name.
        version: the bundle's own version.
        dimension: d, the length of an embedding.
        metric: "cosine".
        scale: what scores are multiplied by before the softmax.
        input: what goes in.
        operating_points: thresholds to choose from.
        coverage_points: scores that make conformal sets.
        lineage: what the backbone was made from.
        variants: what holds in place of this for other variants of the embed graph than fp32, by their names.
        golden_cosine: the least cosine to the golden embeddings.
        refinement: how unlabelled embeddings are assigned; None where the bundle has no graph for that.
        hallucination: how generated examples are used; None where the bundle has no graph that makes them.
    """

    name: str
    version: str
    dimension: int
    metric: str
    scale: float
    input: InputSpec
    operating_points: tuple[OperatingPoint, ...]
    coverage_points: tuple[CoveragePoint, ...]
    lineage: Mapping[str, Any]
    variants: Mapping[str, VariantCalibration] = field(default_factory=dict)
    golden_cosine: float = GOLDEN_COSINE
    hallucination: Hallucination | None = None
    refinement: Refinement | None = None

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Manifest:
        """From `manifest.json`.

        Raises:
            BundleFormatError: a key is missing or wrong, or the format is newer than this reader.
        """
        try:
            ours = document["additional_metadata"]["edgefew"]
            if ours["format"] != FORMAT:
                raise BundleFormatError(
                    f"The bundle's format is {ours['format']!r}; this version of edgefew-runtime reads {FORMAT}. "
                    "Upgrade edgefew-runtime, or export the bundle again."
                )
            embedding = ours["embedding"]
            manifest = cls(
                str(document["package_name"]),
                str(document["package_version"]),
                int(embedding["dimension"]),
                str(embedding["metric"]),
                float(embedding["scale"]),
                InputSpec.from_dict(ours["input"]),
                tuple(OperatingPoint.from_dict(p) for p in ours["operating_points"]),
                tuple(CoveragePoint.from_dict(p) for p in ours["coverage_points"]),
                dict(ours["lineage"]),
                {name: VariantCalibration.from_dict(v) for name, v in ours.get("variants", {}).items()},
                hallucination=Hallucination.from_dict(ours[COMPONENT]) if COMPONENT in ours else None,
                refinement=Refinement.from_dict(ours[REFINE]) if REFINE in ours else None,
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise BundleFormatError(
                f"manifest.json is not that of an EdgeFew bundle ({type(error).__name__}: {error}). Export the "
                "bundle again."
            ) from None
        scale_fits = is_number(manifest.scale) and 0 < manifest.scale <= MAX_SCALE
        if not (0 < manifest.dimension <= MAX_DIMENSION and scale_fits):
            raise BundleFormatError(
                f"manifest.json has the dimension {manifest.dimension} and the scale {manifest.scale}; above 0, and up "
                f"to {MAX_DIMENSION:,} and {MAX_SCALE:,.0f}, were expected. Export the bundle again."
            )
        if manifest.metric != "cosine":
            raise BundleFormatError(
                f"The bundle has the metric {manifest.metric!r}; this version of edgefew-runtime knows cosine. Upgrade "
                "edgefew-runtime."
            )
        return manifest

    def for_variant(self, variant: str) -> Manifest:
        """The same with what holds for the embeddings of a variant; as it is where nothing else does."""
        if variant not in self.variants:
            return self
        own = self.variants[variant]
        return replace(
            self,
            scale=float(own.scale),
            operating_points=own.operating_points,
            coverage_points=own.coverage_points,
            golden_cosine=float(own.golden_cosine),
        )

    def to_dict(self, components: tuple[str, ...]) -> dict[str, Any]:
        """As `manifest.json` has it, in ONNX Runtime's Model Package layout, schema 1.0."""
        return {
            "schema_version": "1.0",
            "package_name": self.name,
            "package_version": self.version,
            "layout": "portable",
            "components": {component: component for component in components},
            "additional_metadata": {
                "edgefew": {
                    "format": FORMAT,
                    "embedding": {"dimension": self.dimension, "metric": self.metric, "scale": self.scale},
                    "input": self.input.to_dict(),
                    "operating_points": [p.to_dict() for p in self.operating_points],
                    "coverage_points": [p.to_dict() for p in self.coverage_points],
                    "lineage": dict(self.lineage),
                    **({"variants": {n: v.to_dict() for n, v in self.variants.items()}} if self.variants else {}),
                    **({REFINE: self.refinement.to_dict()} if self.refinement is not None else {}),
                    **({COMPONENT: self.hallucination.to_dict()} if self.hallucination is not None else {}),
                }
            },
        }

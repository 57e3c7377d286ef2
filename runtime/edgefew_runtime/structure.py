"""Whether a bundle's graphs take and give what docs/bundle-format.md says: names, types, and which axes are free."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import BundleFormatError
from .hallucination import COMPONENT
from .manifest import Manifest
from .refinement import REFINE
from .session import OrtSession, Tensor

HEAD_INPUTS = {
    "enroll": (
        "embeddings float32 [?, ?]",
        "labels int64 [?]",
        "weights float32 [?]",
        "sums float32 [?, ?]",
        "counts float32 [?]",
    ),
    "classify": (
        "embeddings float32 [?, ?]",
        "sums float32 [?, ?]",
        "counts float32 [?]",
        "scale float32 []",
        "threshold float32 []",
    ),
    REFINE: ("unlabelled float32 [?, ?]", "sums float32 [?, ?]", "counts float32 [?]"),
}
"""What the small graphs take; ? is an axis of any length."""

HEAD_OUTPUTS = {
    "enroll": ("new_sums float32 [?, ?]", "new_counts float32 [?]", "accepted bool [?]"),
    "classify": ("probabilities float32 [?, ?]", "scores float32 [?, ?]", "best int64 [?]", "known bool [?]"),
    REFINE: ("new_sums float32 [?, ?]", "new_counts float32 [?]"),
}


def check_structure(component: str, session: OrtSession, manifest: Manifest) -> None:
    """Refuse a graph that takes or gives something else than the format says, such as a batch that is fixed to one.

    Raises:
        BundleFormatError: it does.
    """
    if component == "embed":
        wanted_inputs: Sequence[str] = (_frames(session.inputs, manifest),)
        wanted_outputs: Sequence[str] = (f"embeddings float32 [?, {manifest.dimension}]",)
    elif component == COMPONENT and (made := manifest.hallucination) is not None:
        wanted_inputs = (
            f"prototypes float32 [?, {manifest.dimension}]",
            f"noise float32 [?, ?, {len(made.noise[0])}]",
        )
        wanted_outputs = (f"embeddings float32 [?, ?, {manifest.dimension}]",)
    else:
        wanted_inputs, wanted_outputs = HEAD_INPUTS[component], HEAD_OUTPUTS[component]
    for what, tensors, wanted in (
        ("takes", session.inputs, wanted_inputs),
        ("gives", session.outputs, wanted_outputs),
    ):
        seen = [described(tensor) for tensor in tensors]
        # Inputs are given by name, outputs taken by place.
        same = sorted(seen) == sorted(wanted) if what == "takes" else seen == list(wanted)
        if not same:
            raise BundleFormatError(
                f"The {component} graph {what} {', '.join(seen) or 'nothing'}; {', '.join(wanted)} was expected (? is "
                "an axis of any length). Export the bundle again."
            )


def described(tensor: Tensor) -> str:
    """An input or output with its type and axes.

    >>> described(Tensor("frames", "tensor(uint8)", ("n", "height", "width", 3)))
    'frames uint8 [?, ?, ?, 3]'
    """
    kind = tensor.type.removeprefix("tensor(").removesuffix(")")
    axes = (str(axis) if isinstance(axis, int) else "?" for axis in tensor.shape)
    return f"{tensor.name} {'float32' if kind == 'float' else kind} [{', '.join(axes)}]"


def _frames(inputs: Sequence[Tensor], manifest: Manifest) -> str:
    """The one input of the embed graph: of an image the last axis is RGB, of a signal it is the graph's own."""
    spec = manifest.input
    axes = ["?"] * len(spec.layout)
    if spec.kind == "image":
        axes[-1] = "3"
    elif spec.kind == "signal" and inputs and inputs[0].shape and isinstance(inputs[0].shape[-1], int):
        axes[-1] = str(inputs[0].shape[-1])
    return f"frames {spec.dtype} [{', '.join(axes)}]"

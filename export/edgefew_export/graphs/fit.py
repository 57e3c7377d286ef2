"""The first nodes of the embed graph: a frame of any size, made to fit what the backbone sees.

An image on uint8 [n, H, W, 3], before anything else: within 1/255 of Pillow's antialiased BILINEAR, and as fast.
Casting first would cost a float copy of the whole frame; without antialias the mean error is 23/255.
`preprocessing.resize` does the same with Pillow.

A signal on float32 [n, samples, C], along its samples alone: on ONNX Runtime 1.16.3 and 1.32 within 1e-6 of
`preprocessing.resample`, and within 1e-4 where float32 cannot say how many samples go into one.

A sound on float32 [n, samples]: its middle, or all of it between zeros, as `preprocessing.centred`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import onnx
from edgefew_runtime import AudioInput, ImageInput, InputSpec
from onnx import TensorProto, helper

from ..preprocessing import BARS


def take_any_size(graph: onnx.GraphProto, spec: InputSpec) -> None:
    """Put the nodes before a graph whose input `frames` has the backbone's own size, so that it takes frames of any."""
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == "frames":
                node.input[index] = "fitted"
    if isinstance(spec, ImageInput):
        steps = _Steps((spec.size[0], spec.size[1]))
        {"stretch": _stretch, "crop": _crop, "letterbox": _letterbox}[spec.fit](steps)
        taken = helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", "height", "width", 3])
    elif isinstance(spec, AudioInput):
        steps = _Steps((spec.size[0], 1))
        _centre(steps, spec.size[0])
        taken = helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["n", "samples"])
    else:
        steps = _Steps((spec.size[0], spec.channels))
        _resample(steps, spec.size[0])
        taken = helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["n", "samples", spec.channels])
    for place, step in enumerate(steps.nodes):
        graph.node.insert(place, step)
    graph.initializer.extend(steps.constants)
    del graph.input[:]
    graph.input.append(taken)


def _resample(steps: _Steps, samples: int) -> None:
    """What the samples differ from the first, resized: of a flat channel zeros, which Resize keeps to the bit."""
    zero, one = steps.constant("fit_start", 0), steps.constant("fit_end", 1)
    first = steps.add("Slice", ["frames", zero, one, one], "first_sample")
    moved = steps.add("Sub", ["frames", first], "moved")
    small = steps.resize(moved, steps.constant("fit_size", samples), "resampled", axes=[1])
    steps.add("Add", [small, first], "fitted")


def _centre(steps: _Steps, samples: int) -> None:
    """The middle of what is longer, and zeros before and after what is shorter."""
    zero, one, two = steps.constant("fit_zero", 0), steps.constant("fit_one", 1), steps.constant("fit_two", 2)
    wanted = steps.constant("fit_samples", samples)
    own = steps.add("Shape", ["frames"], "frame_samples", start=1, end=2)
    over = steps.add("Max", [steps.add("Sub", [own, wanted], "difference"), zero], "over")
    start = steps.add("Div", [over, two], "cut_start")
    kept = steps.add("Slice", ["frames", start, steps.add("Add", [start, wanted], "cut_end"), one], "kept")
    rest = steps.add("Sub", [wanted, steps.add("Min", [own, wanted], "kept_samples")], "rest")
    before = steps.add("Div", [rest, two], "before")
    pads = steps.add("Concat", [before, steps.add("Sub", [rest, before], "after")], "silence", axis=0)
    steps.add("Pad", [kept, pads, "", one], "fitted", mode="constant")


class _Steps:
    """Nodes in the making. Their arithmetic is on int64 [1]: heights and widths."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"fit_{output}", **attributes))
        return output

    def constant(self, name: str, *values: int) -> str:
        self.constants.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def sides(self) -> Iterator[tuple[str, str, str, str, str]]:
        """For height and width: its name, the frame's own and its other side, the wanted one and the other wanted."""
        height, width = self.constant("fit_height", self.size[0]), self.constant("fit_width", self.size[1])
        high = self.add("Shape", ["frames"], "frame_height", start=1, end=2)
        wide = self.add("Shape", ["frames"], "frame_width", start=2, end=3)
        yield "high", high, wide, height, width
        yield "wide", wide, high, width, height

    def resize(self, frames: str, sizes: str, output: str, axes: Sequence[int] = (1, 2)) -> str:
        return self.add(
            "Resize",
            [frames, "", "", sizes],
            output,
            mode="linear",
            antialias=1,
            exclude_outside=1,
            coordinate_transformation_mode="half_pixel",
            axes=axes,
        )


def _stretch(steps: _Steps) -> None:
    steps.resize("frames", steps.constant("fit_size", *steps.size), "fitted")


def _crop(steps: _Steps) -> None:
    """The largest rectangle of the right shape in the middle, then resized."""
    one, two = steps.constant("one", 1), steps.constant("two", 2)
    starts, ends = [], []
    for name, own, other, to, other_to in steps.sides():
        scaled = steps.add("Div", [steps.add("Mul", [other, to], f"{name}_times"), other_to], f"{name}_scaled")
        kept = steps.add("Max", [one, steps.add("Min", [own, scaled], f"{name}_least")], f"{name}_kept")
        starts.append(steps.add("Div", [steps.add("Sub", [own, kept], f"{name}_rest"), two], f"{name}_start"))
        ends.append(steps.add("Add", [starts[-1], kept], f"{name}_end"))
    start, end = (steps.add("Concat", s, n, axis=0) for s, n in ((starts, "crop_start"), (ends, "crop_end")))
    cropped = steps.add("Slice", ["frames", start, end, steps.constant("fit_axes", 1, 2)], "cropped")
    steps.resize(cropped, steps.constant("fit_size", *steps.size), "fitted")


def _letterbox(steps: _Steps) -> None:
    """Resized to fit as a whole, and grey bars on two sides."""
    one, two = steps.constant("one", 1), steps.constant("two", 2)
    sizes, before, after = [], [], []
    for name, own, other, to, other_to in steps.sides():
        doubled = steps.add("Mul", [steps.add("Mul", [own, other_to], f"{name}_times"), two], f"{name}_doubled")
        rounded = steps.add("Add", [doubled, other], f"{name}_rounded")
        scaled = steps.add("Div", [rounded, steps.add("Mul", [other, two], f"{name}_twice")], f"{name}_scaled")
        new = steps.add("Max", [one, steps.add("Min", [to, scaled], f"{name}_least")], f"{name}_new")
        rest = steps.add("Sub", [to, new], f"{name}_rest")
        sizes.append(new)
        before.append(steps.add("Div", [rest, two], f"{name}_before"))
        after.append(steps.add("Sub", [rest, before[-1]], f"{name}_after"))
    small = steps.resize("frames", steps.add("Concat", sizes, "small_size", axis=0), "small")
    pads = steps.add("Concat", [*before, *after], "bars", axis=0)
    steps.constants.append(helper.make_tensor("bars_grey", TensorProto.UINT8, [], [BARS]))
    steps.add("Pad", [small, pads, "bars_grey", steps.constant("fit_axes", 1, 2)], "fitted", mode="constant")

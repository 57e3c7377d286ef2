"""The graph `enroll`: embeddings and labels → new sums and counts. Two tensors are all the state a host keeps."""

from __future__ import annotations

import onnx
import onnx.parser

# A row is accepted if its label is one of the c classes and it has a direction. One comparison catches NaN, Inf and the
# zero vector: NaN is neither above nor below anything. Rows that are not accepted get label 0 and weight 0, because
# ScatterElements would write label -1 into the last class, and stop at a label that is too large.
# Unit vectors are rounded to multiples of 2^-16 (edgefew_runtime.head.GRID): then sums are exact, and adding with
# weight -1 takes an example out to the bit.
_TEXT = """
<ir_version: 8, opset_import: ["": 18]>
enroll (float[n, d] embeddings, int64[n] labels, float[n] weights, float[c, d] sums, float[c] counts)
    => (float[c, d] new_sums, float[c] new_counts, bool[n] accepted)
<
    int64[1] columns = {1}, int64 zero = {0}, float no_weight = {0.0}, float one = {1.0},
    float shortest = {1e-12}, float longest = {1e18}, float steps = {65536.0}
>
{
    norm = ReduceL2 <keepdims: int = 1> (embeddings, columns)
    long_enough = Greater (norm, shortest)
    short_enough = Less (norm, longest)
    has_direction_2d = And (long_enough, short_enough)
    has_direction = Squeeze (has_direction_2d, columns)

    classes = Shape <start: int = 0, end: int = 1> (sums)
    not_negative = GreaterOrEqual (labels, zero)
    not_too_large = Less (labels, classes)
    is_label = And (not_negative, not_too_large)
    accepted = And (has_direction, is_label)

    accepted_2d = Unsqueeze (accepted, columns)
    safe_norm = Where (accepted_2d, norm, one)
    safe_embeddings = Where (accepted_2d, embeddings, no_weight)
    unit = Div (safe_embeddings, safe_norm)
    stepped = Mul (unit, steps)
    whole = Round (stepped)
    on_grid = Div (whole, steps)

    safe_weights = Where (accepted, weights, no_weight)
    safe_labels = Where (accepted, labels, zero)
    weights_2d = Unsqueeze (safe_weights, columns)
    updates = Mul (on_grid, weights_2d)
    labels_2d = Unsqueeze (safe_labels, columns)
    shape = Shape (embeddings)
    rows = Expand (labels_2d, shape)
    new_sums = ScatterElements <axis: int = 0, reduction: string = "add"> (sums, rows, updates)
    new_counts = ScatterElements <axis: int = 0, reduction: string = "add"> (counts, safe_labels, safe_weights)
}
"""


def enroll_graph() -> onnx.ModelProto:
    """The task computed: embeddings [n, d], labels, weights [n] → new sums [c, d], new counts [c], accepted [n]."""
    return onnx.parser.parse_model(_TEXT)

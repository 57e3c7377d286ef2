"""The graph `refine`: unlabelled embeddings, sums and counts → sums and counts with what each class takes of them."""

from __future__ import annotations

import onnx
import onnx.parser
from edgefew_runtime.refinement import Refinement

# A row without direction (NaN, Inf, zero) is of no class, as in `enroll`. The distractor cluster is a further column
# of the softmax, cut off afterwards: what it takes is in no sum.
_TEXT = """
<ir_version: 8, opset_import: ["": 18]>
refine (float[m, d] unlabelled, float[c, d] sums, float[c] counts) => (float[c, d] new_sums, float[c] new_counts)
<
    int64[1] columns = {{1}}, int64[1] rows = {{0}}, int64[1] last = {{-1}}, int64[1] one_column = {{1}},
    float no_weight = {{0.0}}, float one = {{1.0}}, float never = {{-1e30}},
    float shortest = {{1e-12}}, float longest = {{1e18}}, float scale = {{{scale}}}, float distractor = {{{distractor}}}
>
{{
    norm = ReduceL2 <keepdims: int = 1> (unlabelled, columns)
    long_enough = Greater (norm, shortest)
    short_enough = Less (norm, longest)
    has_direction = And (long_enough, short_enough)
    safe_norm = Where (has_direction, norm, one)
    safe_unlabelled = Where (has_direction, unlabelled, no_weight)
    unit = Div (safe_unlabelled, safe_norm)

    sum_norm = ReduceL2 <keepdims: int = 1> (sums, columns)
    safe_sum_norm = Max (sum_norm, shortest)
    prototypes = Div (sums, safe_sum_norm)
    prototype_columns = Transpose <perm: ints = [1, 0]> (prototypes)
    scores = MatMul (unit, prototype_columns)
    sharp = Mul (scores, scale)
    enrolled = Greater (counts, no_weight)
    of_classes = Where (enrolled, sharp, never)
    number = Shape <start: int = 0, end: int = 1> (unlabelled)
    column = Concat <axis: int = 0> (number, one_column)
    of_distractor = Expand (distractor, column)
    logits = Concat <axis: int = 1> (of_classes, of_distractor)
    shares_with_distractor = Softmax <axis: int = 1> (logits)
    shares_of_all = Slice (shares_with_distractor, rows, last, columns)
    shares = Where (has_direction, shares_of_all, no_weight)

    share_rows = Transpose <perm: ints = [1, 0]> (shares)
    added = MatMul (share_rows, unit)
    new_sums = Add (sums, added)
    taken = ReduceSum <keepdims: int = 0> (shares, rows)
    new_counts = Add (counts, taken)
}}
"""


def refine_graph(refinement: Refinement) -> onnx.ModelProto:
    """`Refinement.refine`: unlabelled [m, d], sums [c, d], counts [c] → new sums [c, d], new counts [c]."""
    scale, distractor = float(refinement.scale), float(refinement.scale * refinement.distractor)
    return onnx.parser.parse_model(_TEXT.format(scale=scale, distractor=distractor))

"""The graph `classify`: embeddings against the enrolled classes → probabilities, scores, best, known."""

from __future__ import annotations

import onnx
import onnx.parser

# A class without examples, or whose examples cancel out, scores -2 (below every cosine) and has probability 0: it never
# wins. ArgMax of NaN is 0, a confident wrong answer: a row without direction becomes zeros, and is not known.
_TEXT = """
<ir_version: 8, opset_import: ["": 18]>
classify (float[n, d] embeddings, float[c, d] sums, float[c] counts, float scale, float threshold)
    => (float[n, c] probabilities, float[n, c] scores, int64[n] best, bool[n] known)
<
    int64[1] columns = {1}, float nothing = {0.0}, float one = {1.0}, float half = {0.5},
    float shortest = {1e-12}, float longest = {1e18},
    float absent = {-2.0}, float absent_logit = {-1e30}, float lowest_known = {-1.5}
>
{
    norm = ReduceL2 <keepdims: int = 1> (embeddings, columns)
    long_enough = Greater (norm, shortest)
    short_enough = Less (norm, longest)
    has_direction = And (long_enough, short_enough)
    safe_norm = Where (has_direction, norm, one)
    safe_embeddings = Where (has_direction, embeddings, nothing)
    unit = Div (safe_embeddings, safe_norm)

    sum_norm = ReduceL2 <keepdims: int = 1> (sums, columns)
    sum_has_direction_2d = Greater (sum_norm, shortest)
    safe_sum_norm = Where (sum_has_direction_2d, sum_norm, one)
    prototypes = Div (sums, safe_sum_norm)
    sum_has_direction = Squeeze (sum_has_direction_2d, columns)
    has_examples = Greater (counts, half)
    present = And (sum_has_direction, has_examples)

    by_dimension = Transpose <perm: ints = [1, 0]> (prototypes)
    cosines = MatMul (unit, by_dimension)
    scores = Where (present, cosines, absent)
    scaled = Mul (cosines, scale)
    logits = Where (present, scaled, absent_logit)
    probabilities = Softmax <axis: int = 1> (logits)

    best = ArgMax <axis: int = 1, keepdims: int = 0> (scores)
    top = ReduceMax <keepdims: int = 0> (scores, columns)
    above = GreaterOrEqual (top, threshold)
    is_class = Greater (top, lowest_known)
    row_has_direction = Squeeze (has_direction, columns)
    known_class = And (above, is_class)
    known = And (known_class, row_has_direction)
}
"""


def classify_graph() -> onnx.ModelProto:
    """The task applied: embeddings [n, d] and the state → probabilities [n, c], scores [n, c], best [n], known [n]."""
    return onnx.parser.parse_model(_TEXT)

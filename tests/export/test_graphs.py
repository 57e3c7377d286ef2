"""The small graphs, in ONNX Runtime, against numpy; each trap of the operators is a test."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from edgefew_export.backbones import build_backbone
from edgefew_export.graphs import classify_graph, embed_graph, enroll_graph, refine_graph, serialize
from edgefew_export.preprocessing import EmbeddingNetwork, resize
from edgefew_runtime import ExportError, InputSpec, head
from edgefew_runtime.refinement import Refinement
from edgefew_runtime.session import OrtSession
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

D = 6
ENROLL = OrtSession(serialize(enroll_graph(), "enroll", {}))
CLASSIFY = OrtSession(serialize(classify_graph(), "classify", {}))


def enroll(embeddings: object, labels: object, classes: int = 3, weight: float = 1.0, state: object = None) -> list:
    embeddings = np.asarray(embeddings, np.float32).reshape(-1, D)
    sums, counts = state or (np.zeros((classes, D), np.float32), np.zeros(classes, np.float32))
    return ENROLL.run(
        {
            "embeddings": embeddings,
            "labels": np.asarray(labels, np.int64).reshape(-1),
            "weights": np.full(len(embeddings), weight, np.float32),
            "sums": sums,
            "counts": counts,
        }
    )


def classify(embeddings: object, sums: object, counts: object, threshold: float = 0.5) -> list:
    return CLASSIFY.run(
        {
            "embeddings": np.asarray(embeddings, np.float32).reshape(-1, D),
            "sums": np.asarray(sums, np.float32),
            "counts": np.asarray(counts, np.float32),
            "scale": np.asarray(10, np.float32),
            "threshold": np.asarray(threshold, np.float32),
        }
    )


def rows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


@given(st.integers(0, 40), st.integers(1, 5), st.integers(0, 10**6))
@settings(deadline=None)
def test_enroll_adds_unit_vectors_on_the_grid(n: int, classes: int, seed: int) -> None:
    embeddings = rows(n, seed) * 50
    labels = np.random.default_rng(seed).integers(0, classes, n)
    sums, counts, accepted = enroll(embeddings, labels, classes)
    expected = np.zeros((classes, D))
    np.add.at(expected, labels, head.to_grid(embeddings))
    assert accepted.all()
    assert np.abs(sums - expected).max(initial=0) <= 3 * head.GRID
    assert counts.tolist() == np.bincount(labels, minlength=classes).tolist()


@given(st.integers(1, 30), st.integers(0, 10**6))
@settings(deadline=None)
def test_weight_minus_one_takes_an_example_out_to_the_bit(n: int, seed: int) -> None:
    embeddings, labels = rows(n, seed), np.arange(n) % 3
    before = enroll(embeddings, labels)[:2]
    extra = rows(2, seed + 1)
    more = enroll(extra, [0, 2], state=before)[:2]
    after = enroll(extra, [0, 2], weight=-1, state=more)[:2]
    assert after[0].tobytes() == before[0].tobytes()
    assert after[1].tolist() == before[1].tolist()


@pytest.mark.parametrize("label", [-1, -3, 3, 2**40])
def test_a_label_that_is_none_changes_nothing(label: int) -> None:
    sums, counts, accepted = enroll(rows(1), [label])
    assert not accepted.any()
    assert not sums.any()
    assert not counts.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_rows_are_not_accepted_and_the_others_are(bad: float) -> None:
    embeddings = rows(3)
    embeddings[1, 2] = bad
    embeddings[2] = 0
    sums, counts, accepted = enroll(embeddings, [0, 1, 2])
    assert accepted.tolist() == [True, False, False]
    assert counts.tolist() == [1, 0, 0]
    assert np.isfinite(sums).all()


def test_an_empty_batch_works() -> None:
    sums, counts, accepted = enroll(np.zeros((0, D)), [])
    assert (sums.shape, counts.shape, accepted.shape) == ((3, D), (3,), (0,))
    assert [o.shape for o in classify(np.zeros((0, D)), sums, counts)] == [(0, 3), (0, 3), (0,), (0,)]


def test_classify_is_the_runtimes_arithmetic() -> None:
    sums, counts, _ = enroll(rows(20), np.arange(20) % 3)
    queries = rows(9, seed=5)
    probabilities, scores, best, known = classify(queries, sums, counts)
    expected = head.cosine_scores(head.unit(queries), head.unit(sums))
    assert np.allclose(scores, expected, atol=1e-6)
    assert np.allclose(probabilities, head.probabilities(expected, 10), atol=1e-5)
    assert best.tolist() == expected.argmax(axis=1).tolist()
    assert known.tolist() == (expected.max(axis=1) >= 0.5).tolist()


def test_a_class_without_examples_never_wins_even_against_opposites() -> None:
    sums, counts, _ = enroll(rows(1), [0])
    probabilities, scores, best, known = classify(-rows(1), sums, counts, threshold=-1.0001)
    assert (best[0], known[0]) == (0, True)
    assert scores[0].tolist()[1:] == [-2, -2]
    assert probabilities[0].tolist() == [1, 0, 0]


def test_an_empty_gallery_knows_nothing() -> None:
    _, _, _, known = classify(rows(2), np.zeros((3, D)), np.zeros(3), threshold=-10)
    assert not known.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_query_without_direction_is_not_known(bad: float) -> None:
    sums, counts, _ = enroll(rows(3), [0, 1, 2])
    query = np.full((1, D), bad)
    probabilities, scores, _, known = classify(query, sums, counts, threshold=-1)
    assert not known.any()
    assert np.isfinite(probabilities).all()
    assert np.isfinite(scores).all()


# ---- embed ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def embedding(request: pytest.FixtureRequest) -> tuple[EmbeddingNetwork, InputSpec, OrtSession, bytes]:
    channels = request.param
    spec = InputSpec.image(32, channels, (0.4,) * channels, (0.3,) * channels)
    torch.manual_seed(0)
    network = EmbeddingNetwork(build_backbone("conv4", spec), spec).eval()
    model = serialize(embed_graph(network, spec), "embed", {})
    return network, spec, OrtSession(model), model


def picture(height: int, width: int) -> np.ndarray:
    small = np.random.default_rng(height).integers(0, 256, (9, 9, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_embed_equals_pytorch_at_any_batch_size(embedding: tuple, batch: int) -> None:
    network, _, session, _ = embedding
    frames = np.stack([picture(32, 32) + np.uint8(i) for i in range(batch)])
    (ours,) = session.run({"frames": frames})
    theirs = network(torch.from_numpy(frames)).detach().numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize("size", [(480, 640), (47, 31), (20, 300), (16, 16), (33, 65)])
def test_embed_resizes_as_pillow_does(embedding: tuple, size: tuple[int, int]) -> None:
    network, spec, session, _ = embedding
    frame = picture(*size)
    (ours,) = session.run({"frames": frame[None]})
    theirs = network(torch.from_numpy(np.stack([resize(frame, spec)]))).detach().numpy()
    assert (ours * theirs).sum() > 0.999


def test_the_resize_is_within_one_step_of_pillow(embedding: tuple) -> None:
    _, spec, _, model = embedding
    parsed = onnx.load_from_string(model)
    first = next(node for node in parsed.graph.node if node.op_type == "Resize")
    sizes = [i for i in parsed.graph.initializer if i.name == first.input[3]]
    frames = onnx.helper.make_tensor_value_info("frames", onnx.TensorProto.UINT8, ["n", "h", "w", 3])
    resized = onnx.helper.make_tensor_value_info(first.output[0], onnx.TensorProto.UINT8, None)
    graph = onnx.helper.make_graph([first], "resize", [frames], [resized], sizes)
    alone = onnx.helper.make_model(graph, opset_imports=parsed.opset_import, ir_version=8)
    session = OrtSession(alone.SerializeToString())
    for size in [(480, 640), (1080, 1920), (47, 31), (33, 65), (20, 20)]:
        frame = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
        (ours,) = session.run({"frames": frame[None]})
        assert np.abs(ours[0].astype(int) - resize(frame, spec)).max() <= 1


def test_grey_is_pillows_grey() -> None:
    spec = InputSpec.image(16, 1, (0.0,), (1.0,))
    network = EmbeddingNetwork(torch.nn.Flatten(), spec)
    frame = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    ours = network.preprocessing.select_channels(torch.from_numpy(frame[None])).numpy()[0, 0]
    assert np.abs(ours - np.asarray(Image.fromarray(frame).convert("L"))).max() <= 1


def test_the_file_keeps_the_bundles_rules(embedding: tuple) -> None:
    network, spec, _, model = embedding
    parsed = onnx.load_from_string(model)
    assert parsed.ir_version == 8
    assert [(o.domain, o.version) for o in parsed.opset_import] == [("", 18)]
    assert parsed.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"
    assert not any(n.metadata_props or n.doc_string for n in parsed.graph.node)
    assert b"site-packages" not in model
    assert serialize(embed_graph(network, spec), "embed", {}) == model


def test_a_network_in_training_mode_is_refused() -> None:
    spec = InputSpec.image(16, 1, (0.5,), (0.5,))
    network = EmbeddingNetwork(build_backbone("conv4", spec), spec).train()
    with pytest.raises(ExportError, match="training mode"):
        embed_graph(network, spec)


@given(st.integers(0, 30), st.integers(1, 6), st.floats(0.5, 50), st.floats(-0.5, 0.9), st.integers(0, 10**6))
@settings(deadline=None, max_examples=30)
def test_refine_is_the_runtimes_arithmetic(m: int, classes: int, scale: float, distractor: float, seed: int) -> None:
    refinement = Refinement(scale, distractor)
    session = OrtSession(serialize(refine_graph(refinement), "refine", {}))
    unlabelled, sums = head.unit(rows(m, seed)), rows(classes, seed + 1) * 3
    counts = np.random.default_rng(seed).integers(0, 3, classes).astype(np.float32)
    sums[counts == 0] = 0
    seen = session.run({"unlabelled": unlabelled, "sums": sums, "counts": counts})
    for theirs, ours in zip(seen, refinement.refine(unlabelled, sums, counts), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=2e-4)


def test_refine_takes_nothing_of_rows_without_direction() -> None:
    session = OrtSession(serialize(refine_graph(Refinement()), "refine", {}))
    bad = np.stack([np.zeros(D), np.full(D, np.nan), np.full(D, np.inf)]).astype(np.float32)
    sums, counts = rows(2), np.ones(2, np.float32)
    seen = session.run({"unlabelled": bad, "sums": sums, "counts": counts})
    np.testing.assert_array_equal(seen[0], sums)
    np.testing.assert_array_equal(seen[1], counts)

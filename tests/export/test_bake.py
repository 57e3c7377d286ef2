"""One ONNX file that answers as the classifier does."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgefew_export.bake import Baked, bake, recognise_graph, write_baked
from edgefew_export.graphs import serialize
from edgefew_export.scale import SCALES
from edgefew_runtime import (
    Bundle,
    Classifier,
    Example,
    ExportError,
    Gallery,
    GalleryFormatError,
    Task,
)
from edgefew_runtime.answer import Decision
from edgefew_runtime.operating_point import Promise
from edgefew_runtime.session import OrtSession
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import ROOT, Cli, draw_class

KINDS = range(50, 56)
STRANGERS = range(60, 72)
D = 8


def rows(n: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def head_of(task: Task, scale: float = 10.0, threshold: float | None = 0.3) -> OrtSession:
    return OrtSession(serialize(recognise_graph(task, scale, threshold), "head", {}))


def answers_as_decided(task: Task, queries: np.ndarray, threshold: float | None) -> np.ndarray:
    """Labels, probabilities and scores of the graph equal those of the runtime's `Decision`; gives the labels."""
    promised = None if threshold is None else Promise(0.05, threshold, "site", "")
    decision = Decision((0, 0), task, 10.0, promised, None)
    labels, probabilities, scores = head_of(task, threshold=threshold).run({"embeddings": queries})
    for query, label, shares, row in zip(queries, labels, probabilities, scores, strict=True):
        answer = decision.answer(query)
        known = answer.known and answer.label is not None
        assert label == (task.labels.index(answer.label or "") if known else -1)
        assert abs(shares.max() - answer.probability) <= 1e-5
        assert abs(row.max() - (-2 if answer.score is None else answer.score)) <= 1e-6
        assert abs(shares.sum() - (answer.label is not None)) <= 1e-5
    return labels


def task_of(classes: int, seed: int, negatives: bool) -> Task:
    rng = np.random.default_rng(seed)
    examples = [rows(int(rng.integers(1, 4)), seed + index) for index in range(classes)]
    sums = np.array([e.sum(axis=0) for e in examples])
    prototypes = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    rejected = {
        index: (examples[index], rows(int(rng.integers(1, 6)), seed + 100 + index))
        for index in range(classes)
        if negatives and rng.integers(2)
    }
    counts = np.array([len(e) for e in examples])
    names = tuple(f"class {index}" for index in range(classes))
    return Task(names, prototypes.astype(np.float32), counts, rejected, np.zeros((0, D), np.float32))


@given(st.integers(1, 9), st.integers(0, 10**6), st.booleans(), st.sampled_from([None, -1.0, 0.1, 0.3, 0.6]))
@settings(deadline=None, max_examples=40)
def test_the_graph_decides_as_the_runtime(classes: int, seed: int, negatives: bool, threshold: float | None) -> None:
    task = task_of(classes, seed, negatives)
    answers_as_decided(task, np.concatenate([rows(30, seed + 7), task.prototypes]), threshold)


def test_a_class_whose_negative_is_nearer_gives_way_to_the_next() -> None:
    task = task_of(3, 1, negatives=False)
    negative = task.prototypes[:1]
    example = np.roll(negative, 1, axis=1)
    rejecting = Task(task.labels, task.prototypes, task.counts, {0: (example, negative)}, task.strangers)
    assert answers_as_decided(task, negative, None).tolist() == [0]
    assert answers_as_decided(rejecting, negative, None).tolist() != [0]


def test_a_negative_as_near_as_the_nearest_example_rejects() -> None:
    task = Task(("a", "b"), np.eye(2, D, dtype=np.float32), np.array([1, 1]), {}, np.zeros((0, D), np.float32))
    both = np.eye(1, D, dtype=np.float32)
    tied = Task(task.labels, task.prototypes, task.counts, {0: (both, both)}, task.strangers)
    assert answers_as_decided(task, both, None).tolist() == [0]
    assert answers_as_decided(tied, both, None).tolist() == [1]


def test_where_every_class_is_rejected_nothing_is_known() -> None:
    task = task_of(2, 3, negatives=False)
    query = rows(1, 9)
    pairs = dict.fromkeys(range(2), (-query, query))
    rejecting = Task(task.labels, task.prototypes, task.counts, pairs, task.strangers)
    assert answers_as_decided(rejecting, query, None).tolist() == [-1]


def test_a_class_whose_examples_cancel_out_never_wins() -> None:
    task = task_of(3, 5, negatives=False)
    task.prototypes[1] = 0
    labels = answers_as_decided(task, -rows(40, 11), None)
    assert set(labels.tolist()) == {0, 2}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0])
@pytest.mark.parametrize("negatives", [False, True])
def test_an_embedding_without_direction_is_unknown(bad: float, negatives: bool) -> None:
    labels, probabilities, scores = head_of(task_of(4, 2, negatives), threshold=None).run(
        {"embeddings": np.full((1, D), bad, np.float32)}
    )
    assert labels.tolist() == [-1]
    assert not probabilities.any()
    assert (scores == -2).all()


def test_one_bad_row_does_not_touch_the_others_and_none_at_all_works() -> None:
    task = task_of(4, 2, negatives=True)
    queries = rows(5, 3)
    alone = head_of(task).run({"embeddings": queries})
    queries[2, 0] = np.nan
    beside = head_of(task).run({"embeddings": queries})
    for before, after in zip(alone, beside, strict=True):
        assert np.array_equal(np.delete(before, 2, axis=0), np.delete(after, 2, axis=0))
    assert [o.shape for o in head_of(task).run({"embeddings": queries[:0]})] == [(0,), (0, 4), (0, 4)]


def test_a_score_that_is_the_threshold_is_known_and_the_float_below_is_not() -> None:
    task = Task(("a",), np.eye(1, D, dtype=np.float32), np.array([1]), {}, np.zeros((0, D), np.float32))
    query = np.zeros((1, D), np.float32)
    query[0, :2] = 0.6, 0.8
    score = float(np.float32(0.6))
    assert answers_as_decided(task, query, score).tolist() == [0]
    # Between two float32: rounding to the nearest would let the score pass.
    assert answers_as_decided(task, query, score + 1e-9).tolist() == [-1]


# ---- the whole file -----------------------------------------------------------------------------------


@pytest.fixture
def classifier(bundle: Path, gallery_path: Path) -> Iterator[Classifier]:
    with Classifier.open(bundle, gallery_path) as opened:
        for kind in KINDS:
            opened.enroll(f"figure {kind} ü", [draw_class(kind, source, 0) for source in range(2)])
        yield opened


def bake_now(classifier: Classifier, rate: float | None) -> Baked:
    return bake(classifier.bundle, classifier.gallery, rate)


@pytest.mark.parametrize("rate", [0.05, 0.2, None])
def test_the_file_answers_as_the_classifier(
    bundle: Path, gallery_path: Path, classifier: Classifier, rate: float | None
) -> None:
    # What is taken for a class and is not, so that negatives decide, too.
    taken = [draw_class(kind, source, 1) for kind in STRANGERS for source in range(3)]
    for picture, answer in zip(taken[::2], classifier.classify_many(taken[::2]), strict=True):
        classifier.reject(answer.label or "", picture)
    session = OrtSession(bake_now(classifier, rate).model)
    seen = set()
    with Classifier.open(bundle, gallery_path, false_accept_rate=rate) as asked:
        for kind in (*KINDS, *STRANGERS):
            for source in range(3):
                for size in (32, 57):
                    frame = np.asarray(draw_class(kind, source, 1, size))
                    (label,), (probabilities,), (scores,) = session.run({"frames": frame[None]})
                    answer = asked.classify(frame)
                    expected = asked.gallery.task().labels.index(answer.label or "") if answer.known else -1
                    assert label == expected
                    assert abs(probabilities.max() - answer.probability) <= 1e-5
                    assert answer.score is None or abs(scores.max() - answer.score) <= 1e-5
                    seen.add(int(label))
    assert len(seen) > 3
    assert (-1 in seen) == (rate is not None)


def test_frames_of_one_size_run_together(classifier: Classifier) -> None:
    session = OrtSession(bake_now(classifier, 0.05).model)
    frames = np.stack([np.asarray(draw_class(kind, 0, 1)) for kind in KINDS])
    together = session.run({"frames": frames})
    for index, frame in enumerate(frames):
        for many, one in zip(together, session.run({"frames": frame[None]}), strict=True):
            assert np.allclose(many[index], one[0], atol=1e-5)


def test_the_file_keeps_the_bundles_rules_and_says_where_it_comes_from(classifier: Classifier) -> None:
    baked = bake_now(classifier, 0.05)
    model = onnx.load_from_string(baked.model)
    assert (model.ir_version, [(o.domain, o.version) for o in model.opset_import]) == (8, [("", 18)])
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert not re.search(rb"/(home|tmp|root|work)/", baked.model)
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(told["edgefew.labels"]) == [f"figure {kind} ü" for kind in KINDS]
    assert told["edgefew.bundle_id"] == classifier.bundle.id
    assert told["edgefew.gallery_event"] == classifier.gallery.log()[-1].sha256
    assert json.loads(told["edgefew.false_accept_rate"]) == 0.05
    promised = classifier.promise()
    assert promised is not None
    assert json.loads(told["edgefew.threshold"]) == promised.threshold
    assert json.loads(told["edgefew.input"])["kind"] == "image"
    assert told["edgefew.role"] == "recognise"


def test_the_same_gallery_gives_the_same_bytes_and_another_gives_others(classifier: Classifier) -> None:
    first = bake_now(classifier, 0.05)
    assert bake_now(classifier, 0.05).model == first.model
    classifier.forget(f"figure {KINDS[0]} ü")
    assert bake_now(classifier, 0.05).model != first.model


def test_the_file_needs_onnxruntime_alone(classifier: Classifier, tmp_path: Path) -> None:
    out = tmp_path / "figures.onnx"
    write_baked(bake_now(classifier, 0.05), out)
    program = """
import json, sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
names = json.loads(session.get_modelmeta().custom_metadata_map["edgefew.labels"])
label, probabilities, scores = session.run(None, {"frames": numpy.zeros((2, 40, 50, 3), numpy.uint8)})
print(label.dtype, label.shape, probabilities.shape, scores.shape, names[-1])
assert not [name for name in sys.modules if name.startswith("edgefew")]
"""
    result = subprocess.run(
        [sys.executable, "-I", "-X", "utf8", "-c", program, str(out)],
        capture_output=True,
        text=True,
        check=True,
        env={"ORT_DISABLE_TELEMETRY": "1"},
    )
    assert result.stdout.strip() == "int64 (2,) (2, 6) (2, 6) figure 55 ü"


def test_the_program_in_the_docs_runs(classifier: Classifier, tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "bake-and-triton.md").read_text(), re.S)
    assert code
    write_baked(bake_now(classifier, 0.05), tmp_path / "site.onnx")
    command = [sys.executable, "-X", "utf8", "-c", code[1]]
    for kind, told in ((KINDS[2], f"figure {KINDS[2]} ü ("), (STRANGERS[0], "unknown\n")):
        draw_class(kind, 0, 0).save(tmp_path / "frame.png")
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stdout.startswith(told)


def test_nothing_enrolled_is_refused(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    with (
        Gallery(None, opened.id, opened.manifest.dimension) as gallery,
        pytest.raises(ExportError, match="Nothing is enrolled"),
    ):
        bake(opened, gallery, None)


def test_a_rate_that_cannot_be_promised_is_refused_with_the_reason(classifier: Classifier) -> None:
    with pytest.raises(ExportError, match=r"not enough to promise .* 0\.0001 .*--always-answer"):
        bake_now(classifier, 0.0001)


def test_a_damaged_gallery_is_refused(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gallery, "problems", lambda _: ["the chain is broken at event 3"])
    with pytest.raises(GalleryFormatError, match="chain is broken"):
        bake_now(classifier, 0.05)


def test_the_largest_scale_of_a_calibration_is_no_reason_to_refuse(classifier: Classifier) -> None:
    """It makes large differences of probability of what is rounding in the scores."""
    manifest = dataclasses.replace(classifier.bundle.manifest, scale=SCALES[1])
    steep = dataclasses.replace(classifier.bundle, manifest=manifest)
    session = OrtSession(bake(steep, classifier.gallery, None).model)
    frame = np.asarray(draw_class(KINDS[1], 0, 0))[None]
    assert (
        session.run({"frames": frame})[1].max()
        > OrtSession(bake_now(classifier, None).model).run({"frames": frame})[1].max()
    )


def test_one_picture_enrolled_under_two_names_is_baked(classifier: Classifier) -> None:
    """Which of the two it is, rounding decides: no reason to refuse."""
    frame, file = classifier.bundle.golden()[0][0], io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    classifier.enroll("one", [frame])
    classifier.enroll("other", [file.getvalue()])  # as other bytes: the same ones would be refused
    labels = OrtSession(bake_now(classifier, None).model).run({"frames": frame[None]})[0]
    assert labels.tolist() in ([len(KINDS)], [len(KINDS) + 1])


def test_a_file_that_differs_from_the_runtime_is_refused(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_scale(task: Task, scale: float, threshold: float | None) -> onnx.ModelProto:
        return recognise_graph(task, scale * 1.5, threshold)

    monkeypatch.setattr("edgefew_export.bake.recognise_graph", other_scale)
    with pytest.raises(ExportError, match="differs from the runtime"):
        bake_now(classifier, 0.05)


# ---- the command --------------------------------------------------------------------------------------


def test_the_command_writes_the_file_and_replaces_it_only_when_asked(
    bundle: Path, classifier: Classifier, gallery_path: Path, tmp_path: Path, cli: Cli
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "figures.onnx"
    arguments = ("bake", bundle, out, "--gallery", gallery_path)
    told = cli(*arguments)
    assert told.exit_code == 0, told.output
    assert "6 classes" in told.stdout
    assert "✓ 0.05: threshold" in told.stdout
    first = out.read_bytes()
    classifier.forget(f"figure {KINDS[0]} ü")
    refused = cli(*arguments)
    assert refused.exit_code == 1
    assert "--replace" in refused.stderr
    assert out.read_bytes() == first
    replaced = cli(*arguments, "--replace", "--always-answer", "--json")
    assert json.loads(replaced.stdout)["labels"] == [f"figure {kind} ü" for kind in KINDS[1:]]
    assert json.loads(replaced.stdout)["threshold"] is None
    assert out.read_bytes() != first
    assert [path.name for path in folder.iterdir()] == ["figures.onnx"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("site.gallery", "no name for an ONNX file"),
        ("nowhere/figures.onnx", "There is no folder"),
        ("folder.onnx", "no plain file"),
    ],
)
def test_what_is_no_name_for_the_file_is_refused(
    bundle: Path, classifier: Classifier, gallery_path: Path, tmp_path: Path, name: str, told: str, cli: Cli
) -> None:
    (tmp_path / "folder.onnx").mkdir()
    before = gallery_path.read_bytes()
    result = cli("bake", bundle, tmp_path / name, "--gallery", gallery_path, "--replace")
    assert result.exit_code == 1
    assert told in result.stderr
    assert gallery_path.read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_nothing_is_written_into_the_bundle(bundle: Path, classifier: Classifier, gallery_path: Path, cli: Cli) -> None:
    result = cli("bake", bundle, bundle / "figures.onnx", "--gallery", gallery_path)
    assert result.exit_code == 1
    assert "is in the bundle" in result.stderr
    assert Bundle.open(bundle).id == classifier.bundle.id


def test_a_gallery_of_another_bundle_is_refused(bundle: Path, gallery_path: Path, tmp_path: Path, cli: Cli) -> None:
    with Gallery(gallery_path, "0" * 64, 2) as other:
        other.enroll("a", [Example(np.asarray([1, 0], np.float32), "a.png", "1" * 64)])
    result = cli("bake", bundle, tmp_path / "figures.onnx", "--gallery", gallery_path)
    assert result.exit_code == 1
    assert "made with another bundle" in result.stderr
    assert not (tmp_path / "figures.onnx").exists()

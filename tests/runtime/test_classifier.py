"""Enroll, classify, forget: the device's API on a real bundle."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from edgefew_runtime import (
    Answer,
    Classifier,
    EdgeFewError,
    FrameError,
    GalleryMismatchError,
    ProviderError,
    Task,
    head,
)
from PIL import Image

from tests.conftest import draw_class


def frame(kind: int, source: int, take: int = 0) -> np.ndarray:
    return np.asarray(draw_class(kind, source, take))


@pytest.fixture
def classifier(bundle: Path, gallery_path: Path) -> Classifier:
    classifier = Classifier.open(bundle, gallery_path)
    for kind in (50, 51, 52):
        classifier.enroll(f"figure {kind}", [frame(kind, 0), frame(kind, 0, 1)])
    return classifier


def test_it_recognises_what_another_hand_drew(classifier: Classifier) -> None:
    queries = [(kind, source, take) for kind in (50, 51, 52) for source in (1, 2) for take in (0, 1)]
    right = sum(classifier.classify(frame(*query)).label == f"figure {query[0]}" for query in queries)
    assert right >= 10, f"{right} of {len(queries)}"


def test_an_answer_is_whole(classifier: Classifier) -> None:
    answer = classifier.classify(frame(51, 0))
    assert (answer.label, answer.known, str(answer)) == ("figure 51", True, "figure 51")
    assert answer.score is not None
    assert 0.9 < answer.score <= 1.00001
    assert 0.33 < answer.probability <= 1
    assert answer.runner_up in {"figure 50", "figure 52"}
    assert answer.margin is not None
    assert 0 < answer.margin < 2
    assert answer.threshold is not None
    assert answer.labels is None


def test_classify_many_answers_as_classify_does(classifier: Classifier) -> None:
    frames = [frame(50, 1), np.asarray(draw_class(51, 1, 0, size=47)), frame(52, 2)]
    one_by_one = [classifier.classify(f) for f in frames]
    for single, many in zip(one_by_one, classifier.classify_many(frames), strict=True):
        assert single.label == many.label
        assert single.score == pytest.approx(many.score, abs=1e-5)


def test_nothing_enrolled_means_unknown(bundle: Path) -> None:
    with Classifier.open(bundle) as classifier:
        answer = classifier.classify(frame(50, 0))
        assert (answer.label, answer.known, answer.probability, str(answer)) == (None, False, 0.0, "unknown")


def test_a_stranger_is_unknown_and_the_rate_can_be_chosen(
    classifier: Classifier, bundle: Path, gallery_path: Path
) -> None:
    blank = np.full((32, 32, 3), 255, np.uint8)
    assert not classifier.classify(blank).known
    with Classifier.open(bundle, gallery_path, false_accept_rate=None) as always:
        assert always.classify(blank).known
        assert always.promise() is None
    with pytest.raises(EdgeFewError, match=r"of 0 was asked for; a number between 1e-06 and 1"):
        Classifier.open(bundle, false_accept_rate=0)


def test_a_vector_without_direction_is_never_known(classifier: Classifier) -> None:
    class Broken:
        provider = "none"

        def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.full((len(inputs["frames"]), classifier.bundle.manifest.dimension), np.nan, np.float32)]

    broken = Classifier(classifier.bundle, classifier.gallery, Broken(), None)
    assert not broken.classify(frame(50, 0)).known
    with pytest.raises(FrameError, match="no usable embedding"):
        broken.enroll("figure 50", frame(50, 2))


def test_forget_and_undo(classifier: Classifier) -> None:
    before = classifier.classify(frame(50, 0))
    assert classifier.forget("figure 50") == 2
    assert classifier.classify(frame(50, 0)).label != "figure 50"
    classifier.undo()
    assert classifier.classify(frame(50, 0)) == before


def test_one_bad_frame_enrolls_none(classifier: Classifier, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(frame(53, 0)).save(good)
    bad.write_text("no image")
    before = classifier.classes()
    with pytest.raises(FrameError, match=r"bad\.png"):
        classifier.enroll("figure 53", [good, bad])
    with pytest.raises(FrameError, match="at least one"):
        classifier.enroll("figure 53", [])
    assert classifier.classes() == before


def test_classify_sees_what_another_process_enrolled(classifier: Classifier, bundle: Path, gallery_path: Path) -> None:
    with Classifier.open(bundle, gallery_path) as other:
        other.enroll("figure 53", frame(53, 0))
    assert classifier.classify(frame(53, 0)).label == "figure 53"


def test_classify_changes_nothing(classifier: Classifier, gallery_path: Path) -> None:
    before = {f.name: f.read_bytes() for f in gallery_path.parent.glob("site.gallery*") if not f.name.endswith("-shm")}
    for _ in range(5):
        classifier.classify(frame(50, 1))
    after = {f.name: f.read_bytes() for f in gallery_path.parent.glob("site.gallery*") if not f.name.endswith("-shm")}
    assert before == after


def test_threads_get_whole_answers_while_another_enrolls(classifier: Classifier) -> None:
    wrong: list[object] = []

    def ask(kind: int) -> None:
        query = frame(kind, 0)
        for _ in range(40):
            answer = classifier.classify(query)
            if answer.label != f"figure {kind}":
                wrong.append(answer)

    threads = [threading.Thread(target=ask, args=(50 + n % 3,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for take in range(20):
        classifier.enroll("figure 57", frame(57, 1, take))
    for thread in threads:
        thread.join()
    assert not wrong
    assert not classifier.gallery.problems()


def test_a_changed_gallery_is_read_once_however_many_threads_ask(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = classifier.gallery.task
    readers: list[threading.Thread] = []

    def slowly() -> Task:
        readers.append(threading.current_thread())
        time.sleep(0.2)  # a large gallery
        return read()

    monkeypatch.setattr(classifier.gallery, "task", slowly)
    classifier.gallery.rename("figure 50", "figure fifty")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(classifier.classify, [frame(50, 0)] * 8))
    assert {answer.label for answer in answers} == {"figure fifty"}
    assert len(readers) == 1


ENROLLER = """
import sys
import numpy as np
from edgefew_runtime import Classifier
with Classifier.open(sys.argv[1], sys.argv[2]) as classifier:
    rng = np.random.default_rng(0)
    print("ready", flush=True)
    for number in range(30):
        classifier.enroll(f"noise {number % 5}", rng.integers(0, 256, (32, 32, 3), np.uint8))
        if number % 10 == 9:
            classifier.forget(f"noise {number % 5}")
"""


def test_threads_get_whole_answers_while_another_process_enrolls(
    classifier: Classifier, bundle: Path, gallery_path: Path
) -> None:
    command = [sys.executable, "-c", ENROLLER, str(bundle), str(gallery_path)]
    wrong: list[object] = []
    seen: set[int] = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"

        def ask(kind: int) -> None:
            query = frame(kind, 0)
            while other.poll() is None:
                answer = classifier.classify(query)
                seen.add(len(classifier._ready.task.labels))
                # Whatever else is enrolled, its own class is nearest, and the record fits together.
                if answer.label != f"figure {kind}" or answer.runner_up in (None, answer.label):
                    wrong.append(answer)

        threads = [threading.Thread(target=ask, args=(50 + n % 3,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert other.returncode == 0
    assert not wrong
    assert max(seen) > 3, "the threads never saw what the other process enrolled"
    assert not classifier.gallery.problems()


def test_a_gallery_of_another_bundle_is_refused(
    classifier: Classifier, checkpoint: Path, gallery_path: Path, tmp_path: Path
) -> None:
    from edgefew_export.bundle_writer import export_bundle
    from edgefew_export.sources.trained import trained_source

    other = export_bundle(trained_source(checkpoint), tmp_path / "other.edgefew", version="2")
    with pytest.raises(GalleryMismatchError):
        Classifier.open(other, gallery_path)


def test_a_provider_that_is_not_there_is_said(bundle: Path) -> None:
    with pytest.raises(ProviderError, match=r"'NoSuchProvider' is not there; this onnxruntime has .*CPU"):
        Classifier.open(bundle, provider="NoSuchProvider")


def test_an_onnxruntime_without_the_inner_session_is_used_by_its_public_one(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Public:
        """What ONNX Runtime documents of a session, and nothing else."""

        def __init__(self, *args: Any, **settings: Any) -> None:
            inner = onnxruntime_session(*args, **settings)
            for name in ("run", "get_inputs", "get_outputs", "get_providers", "disable_fallback"):
                setattr(self, name, getattr(inner, name))

    onnxruntime_session = onnxruntime.InferenceSession
    with Classifier.open(bundle, cache="") as usual:
        expected = usual.embed([frame(50, 0)])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Public)
    with Classifier.open(bundle, cache="") as classifier:
        assert not hasattr(classifier._session._session, "_sess")
        assert np.array_equal(classifier.embed([frame(50, 0)]), expected)


def test_embeddings_are_unit_vectors(classifier: Classifier) -> None:
    embeddings = classifier.embed([frame(50, 0), frame(51, 0)])
    assert embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert head.valid_rows(embeddings).all()
    assert classifier.embed([]).shape == (0, classifier.bundle.manifest.dimension)


def test_a_class_whose_examples_cancel_out_never_wins(bundle: Path) -> None:
    from edgefew_runtime import Example

    with Classifier.open(bundle, false_accept_rate=None) as classifier:
        row = head.to_grid(classifier.embed([frame(50, 0)]))[0]
        classifier.gallery.enroll("nothing", [Example(row, "one", "1" * 64), Example(-row, "other", "2" * 64)])
        assert classifier.classify(frame(50, 0)).label is None
        classifier.enroll("figure 51", frame(51, 0))
        answer = classifier.classify(frame(50, 0))
        assert (answer.label, answer.probability) == ("figure 51", 1.0)


def test_an_answer_is_a_value_that_nobody_changes() -> None:
    answer = Answer("stop", 0.9, 0.8, True, "go", 0.1, 0.7)
    assert answer == Answer("stop", 0.9, 0.8, known=True, runner_up="go", margin=0.1, threshold=0.7, labels=None)
    assert answer != replace(answer, known=False)
    assert str(answer) == "stop"
    assert str(replace(answer, known=False)) == "unknown"
    assert list(answer.to_dict()) == [field.name for field in fields(Answer)]
    with pytest.raises(FrozenInstanceError):
        answer.known = False  # type: ignore[misc]

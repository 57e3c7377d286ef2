"""The gallery: what it keeps of classes and examples."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import (
    ClassConflictError,
    LabelError,
    NothingToUndoError,
    UnknownClassError,
)

from tests.runtime.galleries import example, open_gallery, snapshot


def test_enrolled_classes_are_there_after_reopening(gallery_path: Path) -> None:
    with open_gallery(gallery_path) as gallery:
        assert gallery.enroll("stop", [example(1), example(2)]).new == (True, True)
        before = snapshot(gallery)
    with open_gallery(gallery_path) as gallery:
        assert snapshot(gallery) == before
        (stop,) = gallery.classes()
        assert (stop.label, stop.examples) == ("stop", 2)
        expected = example(1).embedding.astype(np.float64) + example(2).embedding
        assert np.array_equal(gallery.state().sums[0], expected)
        assert not gallery.problems()


def test_the_same_source_counts_once_and_in_one_class() -> None:
    gallery = open_gallery(None)
    assert gallery.enroll("stop", [example(1), example(1)]).new == (True, False)
    assert gallery.enroll("stop", [example(1)]).new == (False,)
    with pytest.raises(
        ClassConflictError, match="is enrolled as 'stop' \\(example 1\\), and a picture is of one class"
    ):
        gallery.enroll("go", [example(2), example(1)])
    assert [(c.label, c.examples) for c in gallery.classes()] == [("stop", 1)]


def test_forget_and_undo_restore_the_state_to_the_bit() -> None:
    gallery = open_gallery(None)
    states = [snapshot(gallery)]
    gallery.enroll("stop", [example(1), example(2)])
    states.append(snapshot(gallery))
    gallery.enroll("stop", [example(3)])
    states.append(snapshot(gallery))
    gallery.forget("stop")
    for expected in reversed(states):
        gallery.undo()
        assert snapshot(gallery) == expected
    with pytest.raises(NothingToUndoError):
        gallery.undo()
    assert not gallery.problems()


def test_enrolling_again_after_forgetting_gives_the_same_state() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1), example(2)])
    before = snapshot(gallery)
    gallery.forget("stop")
    gallery.enroll("stop", [example(2), example(1)])
    assert snapshot(gallery) == before


def test_an_unknown_class_is_named_with_those_that_are_there() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1)])
    with pytest.raises(UnknownClassError, match=r"No class 'go' is enrolled. Enrolled: 'stop'"):
        gallery.forget("go")
    gallery.forget("stop")
    with pytest.raises(UnknownClassError, match="Enrolled: none"):
        gallery.forget("stop")


@pytest.mark.parametrize("label", ["", "   ", "x" * 201, "a\nb", "a\x00b", "\u202eabc"])
def test_names_that_cannot_be_shown_are_refused(label: str) -> None:
    with pytest.raises(LabelError):
        open_gallery(None).enroll(label, [example(1)])


@pytest.mark.parametrize("label", ["Überholverbot", "一時停止", "قف", "no entry 🚫", "x" * 200])
def test_names_of_every_script_are_kept(label: str) -> None:
    gallery = open_gallery(None)
    gallery.enroll(label, [example(1)])
    assert gallery.classes()[0].label == label


def test_threads_can_enroll_at_once(gallery_path: Path) -> None:
    with open_gallery(gallery_path) as gallery:
        threads = [
            threading.Thread(target=lambda n=n: gallery.enroll(f"class {n % 4}", [example(n)])) for n in range(24)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(c.examples for c in gallery.classes()) == 24
        assert not gallery.problems()


def test_one_example_can_be_taken_out_and_put_back() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1), example(2)])
    before = snapshot(gallery)
    first, second = gallery.examples("stop")
    assert (first.source, second.source, first.label) == ("1.png", "2.png", "stop")
    assert gallery.remove(first.id).source == "1.png"
    assert gallery.state().sums[0].tolist() == example(2).embedding.astype(float).tolist()
    assert [e.id for e in gallery.examples("stop")] == [second.id]
    with pytest.raises(UnknownClassError, match=f"No example {first.id}"):
        gallery.remove(first.id)
    gallery.undo()
    assert snapshot(gallery) == before
    assert not gallery.problems()


def test_a_class_can_be_renamed_and_back() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1)])
    gallery.enroll("go", [example(2)])
    gallery.rename("stop", " halt ")
    assert [c.label for c in gallery.classes()] == ["halt", "go"]
    with pytest.raises(ClassConflictError, match="'go' is enrolled already"):
        gallery.rename("halt", "go")
    with pytest.raises(UnknownClassError):
        gallery.rename("stop", "x")
    gallery.undo()
    assert [c.label for c in gallery.classes()] == ["stop", "go"]
    assert not gallery.problems()


def test_a_name_that_was_forgotten_can_be_given_to_another_class() -> None:
    gallery = open_gallery(None)
    gallery.enroll("stop", [example(1)])
    gallery.enroll("go", [example(2)])
    states = [snapshot(gallery)]
    gallery.forget("go")
    states.append(snapshot(gallery))
    gallery.rename("stop", "go")
    assert [c.label for c in gallery.classes()] == ["go"]
    for expected in reversed(states):
        gallery.undo()
        assert snapshot(gallery) == expected

"""Who waits to write keeps nobody from reading."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import Example, Gallery, GalleryBusyError, NothingToUndoError, UnknownClassError
from edgefew_runtime.gallery import database

D = 8


def example(number: int) -> Example:
    row = np.zeros(D, np.float32)
    row[number % D] = 1
    return Example(row, f"{number}.png", f"{number:064x}")


def test_answers_go_on_while_a_thread_waits_for_another_process_to_write(
    gallery_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 1.5)
    with Gallery(gallery_path, "b" * 64, D) as first:
        first.enroll("one", [example(0)])
    other = sqlite3.connect(gallery_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused: list[Exception] = []
    with Gallery(gallery_path, "b" * 64, D) as gallery:

        def enroll() -> None:
            try:
                gallery.enroll("two", [example(1)])
            except GalleryBusyError as error:
                refused.append(error)

        waiting = threading.Thread(target=enroll)
        waiting.start()
        time.sleep(0.2)
        longest = 0.0
        while waiting.is_alive():
            begun = time.perf_counter()
            gallery.version()
            assert gallery.task().labels == ("one",)
            longest = max(longest, time.perf_counter() - begun)
        waiting.join()
        other.execute("ROLLBACK")
        other.close()
        assert len(refused) == 1
        assert longest < 0.5
        gallery.enroll("two", [example(1)])
        assert gallery.task().labels == ("one", "two")


def test_a_change_is_seen_by_the_next_question_whoever_makes_it(gallery_path: Path) -> None:
    with Gallery(gallery_path, "b" * 64, D) as ours, Gallery(gallery_path, "b" * 64, D) as theirs:
        seen = {ours.version()}
        for number in range(20):
            (ours if number % 2 else theirs).enroll(f"class {number}", [example(number)])
            version = ours.version()
            assert version not in seen
            seen.add(version)
            assert len(ours.task().labels) == number + 1


def test_all_that_bore_a_name_is_erased(gallery_path: Path) -> None:
    with Gallery(gallery_path, "b" * 64, D) as gallery:
        gallery.enroll("a", [example(0)])
        gallery.enroll("b", [example(1)])
        gallery.forget("a")
        gallery.rename("b", "a")
        assert gallery.erase("a") == 2
        assert not gallery.problems()
    content = gallery_path.read_bytes()
    for number in (0, 1):
        assert example(number).embedding.tobytes() not in content
    with Gallery(gallery_path) as gallery, pytest.raises(UnknownClassError):
        gallery.erase("b")


def test_strangers_are_erased_from_the_disk(gallery_path: Path) -> None:
    with Gallery(gallery_path, "b" * 64, D) as gallery:
        gallery.enroll("a", [example(0)])
        gallery.calibrate([example(1), example(2)])
        gallery.clear()
        gallery.calibrate([example(3)])
        assert gallery.erase_strangers() == 3
        assert gallery.erase_strangers() == 0
        assert not gallery.strangers()
        assert not gallery.problems()
        with pytest.raises(NothingToUndoError, match=r"erase strangers\), cannot be undone"):
            gallery.undo()
    content = gallery_path.read_bytes()
    assert all(example(number).embedding.tobytes() not in content for number in (1, 2, 3))
    assert example(0).embedding.tobytes() in content


def test_new_strangers_take_the_place_of_the_old_or_nothing_changes(gallery_path: Path) -> None:
    from edgefew_runtime import ClassConflictError

    with Gallery(gallery_path, "b" * 64, D) as gallery:
        gallery.enroll("a", [example(0)])
        gallery.calibrate([example(1), example(2)])
        with pytest.raises(ClassConflictError):
            gallery.calibrate([example(3), example(0)], replace=True)
        assert [e.source for e in gallery.strangers()] == ["1.png", "2.png"]
        assert gallery.calibrate([example(2), example(3)], replace=True).new == (True, True)
        assert [e.source for e in gallery.strangers()] == ["2.png", "3.png"]
        assert not gallery.problems()
        gallery.undo()
        gallery.undo()
        assert [e.source for e in gallery.strangers()] == ["1.png", "2.png"]


@pytest.mark.parametrize("to", [-5, 0, 3, 10**12])
def test_there_is_no_going_back_to_an_event_that_is_none(gallery_path: Path, to: int) -> None:
    with Gallery(gallery_path, "b" * 64, D) as gallery:
        gallery.enroll("a", [example(0)])
        with pytest.raises(NothingToUndoError, match="numbered 1 to 2"):
            gallery.roll_back(to)
        assert gallery.count("a") == 1

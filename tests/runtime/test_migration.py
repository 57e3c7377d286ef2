"""Kept frames, and a new bundle that enrolls them again: all or nothing."""

from __future__ import annotations

import json
import sqlite3
import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgefew_export.bundle_writer import export_bundle
from edgefew_export.sources.trained import trained_source
from edgefew_runtime import (
    Bundle,
    Classifier,
    FrameError,
    Gallery,
    GalleryError,
    GalleryFormatError,
    GalleryLockedError,
    MigrationError,
    migrate,
)
from edgefew_runtime.frames import load_frame
from edgefew_runtime.gallery import pack_frame, unpack_frame
from edgefew_runtime.loading import load_embedder
from edgefew_runtime.session import Session
from PIL import Image

from tests.conftest import Cli, draw_class


def frame(kind: int, source: int, take: int = 0) -> np.ndarray:
    return np.asarray(draw_class(kind, source, take))


@pytest.fixture(scope="module")
def next_bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_bundle(
        trained_source(checkpoint), tmp_path_factory.mktemp("next") / "figures.edgefew", version="2"
    ).path


@pytest.fixture
def kept(bundle: Path, gallery_path: Path, tmp_path: Path) -> Iterator[Classifier]:
    """Two classes with pictures kept, from arrays and from a file; a rejected example and a stranger."""
    file = tmp_path / "drawn.png"
    Image.fromarray(frame(51, 2)).save(file)
    with Classifier.open(bundle, gallery_path) as classifier:
        classifier.enroll("figure 50", [frame(50, source) for source in range(3)], keep_frames=True)
        classifier.enroll("figure 51", [frame(51, 0), str(file)], keep_frames=True)
        classifier.reject("figure 51", frame(52, 0), keep_frames=True)
        classifier.calibrate(frame(53, 0), keep_frames=True)
        yield classifier


def test_frames_are_kept_only_when_asked(bundle: Path, gallery_path: Path) -> None:
    with Classifier.open(bundle, gallery_path) as classifier:
        classifier.enroll("figure 50", frame(50, 0))
        classifier.enroll("figure 50", frame(50, 1), keep_frames=True)
        assert [e.frame_kept for e in classifier.gallery.examples("figure 50")] == [False, True]
    with sqlite3.connect(gallery_path) as db:
        assert db.execute("SELECT count(*) FROM frame").fetchone() == (1,)


def test_frames_are_added_to_examples_that_lack_them_as_one_event(bundle: Path, gallery_path: Path) -> None:
    frames = [frame(50, source) for source in range(3)]
    with Classifier.open(bundle, gallery_path) as classifier:
        gallery = classifier.gallery

        def kept() -> list[bool]:
            return [example.frame_kept for example in gallery.examples("figure 50")]

        classifier.enroll("figure 50", frames[:2])
        enrolled = classifier.enroll("figure 50", [frames[0], frames[0]], keep_frames=True)
        assert (enrolled.accepted, enrolled.frames_added, kept()) == ((), 1, [True, False])
        assert gallery.log()[-1].describe() == "keep 1 frame of figure 50"
        assert classifier.enroll("figure 50", frames[0], keep_frames=True).frames_added == 0
        last = gallery.log()[-1].id
        both = classifier.enroll("figure 50", frames, keep_frames=True)
        assert (len(both.accepted), both.frames_added, kept()) == (1, 1, [True, True, True])
        assert gallery.log()[-1].id == last + 1
        assert [gallery.undo().kind, kept()] == ["enroll", [True, False]]
        assert [gallery.undo().kind, kept()] == ["keep", [False, False]]
        gallery.roll_back(last + 1)
        assert kept() == [True, True, True]
        gallery.roll_back(2)
        assert classifier.enroll("figure 50", frames[0], keep_frames=True).frames_added == 1
        assert kept() == [True, False]
        assert unpack_frame(gallery.frame(gallery.examples("figure 50")[0].source_sha256) or b"", "a").values.shape
        gallery.erase_example(gallery.examples("figure 50")[0].id)
        assert not gallery.problems()
    with sqlite3.connect(gallery_path) as db:
        assert db.execute("SELECT count(*) FROM frame").fetchone() == (2,)


def test_frames_are_added_to_strangers_and_to_what_a_class_is_not(bundle: Path) -> None:
    with Classifier.open(bundle) as classifier:
        classifier.enroll("figure 50", frame(50, 0))
        classifier.reject("figure 50", frame(51, 0))
        classifier.calibrate(frame(52, 0))
        assert classifier.reject("figure 50", frame(51, 0), keep_frames=True).frames_added == 1
        assert classifier.calibrate(frame(52, 0), keep_frames=True).frames_added == 1
        assert classifier.gallery.log()[-1].describe() == "keep 1 frame of strangers"
        assert [e.frame_kept for e in classifier.gallery.examples("figure 50")] == [False, True]
        assert [e.frame_kept for e in classifier.gallery.examples(None)] == [True]
        assert not classifier.gallery.problems()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 48)])
def test_a_kept_frame_comes_back_to_the_bit(size: tuple[int, int], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    file = tmp_path / "a.png"
    Image.fromarray(pixels).save(file)
    for given in (pixels, file):
        loaded = load_frame(given)
        back = unpack_frame(pack_frame(loaded), "a")
        assert np.array_equal(back.values, pixels)
        assert back.sha256() == loaded.sha256()


@pytest.mark.parametrize(
    "content",
    [b"", b"P", b"Px", b"X123", b"P" + (10**6).to_bytes(4) * 2 + b"x", b"P" + (4).to_bytes(4) * 2 + b"no zlib", b"Fno"],
)
def test_a_damaged_kept_frame_is_said(content: bytes) -> None:
    with pytest.raises(FrameError, match=r"damaged|says that it is|not an image"):
        unpack_frame(content, "a")


def test_everything_is_enrolled_again(kept: Classifier, next_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.gallery"
    with Classifier.open(next_bundle) as classifier:
        result = migrate(kept.gallery, classifier, out, "Ada")
    assert (result.classes, result.examples, result.strangers) == (2, 6, 1)
    assert result.before == result.after == 1.0  # the same network under another id
    with Classifier.open(next_bundle, out) as new:
        assert [(c.label, c.examples, c.rejected) for c in new.classes()] == [("figure 50", 3, 0), ("figure 51", 2, 1)]
        assert np.array_equal(new.gallery.state().sums, kept.gallery.state().sums)
        assert not new.gallery.problems()
        assert [(e.kind, e.actor) for e in new.gallery.log()] == [("create", ""), ("migrate", "Ada")]
        assert new.gallery.log()[1].payload["event_sha256"] == kept.gallery.log()[-1].sha256
        assert new.classify(frame(50, 0)).label == "figure 50"
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("site.gallery")) == [
        "drawn.png",
        "new.gallery",
    ]


def test_one_missing_frame_and_nothing_is_written(kept: Classifier, next_bundle: Path, tmp_path: Path) -> None:
    kept.enroll("figure 50", frame(50, 0, 1))
    out, before = tmp_path / "new.gallery", kept.gallery.state().sums
    with Classifier.open(next_bundle) as classifier:
        with pytest.raises(MigrationError, match=r"1 of 8 frames were not kept \(array\)"):
            migrate(kept.gallery, classifier, out)
        assert not out.exists()
        assert np.array_equal(kept.gallery.state().sums, before)
        out.write_text("dear")
        with pytest.raises(GalleryError, match="exists already"):
            migrate(kept.gallery, classifier, out)
        assert out.read_text() == "dear"


def test_a_migration_holds_only_the_frames_that_run_together(bundle: Path, next_bundle: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (160, 200, 200, 3), np.uint8)
    told: list[tuple[int, int]] = []
    with Classifier.open(bundle, tmp_path / "old.gallery") as old, Classifier.open(next_bundle) as classifier:
        old.enroll("noise", list(noise), keep_frames=True)
        tracemalloc.start()
        migrate(
            old.gallery, classifier, tmp_path / "new.gallery", progress=lambda done, total: told.append((done, total))
        )
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert told == [(done, 160) for done in range(1, 161)]
    assert peak < noise.nbytes / 3
    with Gallery(tmp_path / "new.gallery") as new:
        assert all(example.frame_kept for example in new.examples("noise"))
        assert not new.problems()


class OnAnAccelerator:
    """A session that says so, and tells how many frames each run had."""

    provider = "CUDAExecutionProvider"

    def __init__(self, session: Session) -> None:
        self._session = session
        self.runs: list[int] = []

    def run(self, inputs: Mapping[str, Any]) -> list[Any]:
        self.runs.append(len(inputs["frames"]))
        return self._session.run(inputs)


def test_frames_run_together_where_enrolment_runs_them_together(
    bundle: Path, next_bundle: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
    opened = Bundle.open(next_bundle)
    session = OnAnAccelerator(load_embedder(opened))
    with Classifier.open(bundle, tmp_path / "old.gallery") as old:
        old.enroll("noise", list(noise), keep_frames=True)
        with Gallery(None, opened.id, opened.manifest.dimension) as empty:
            migrate(old.gallery, Classifier(opened, empty, session, None), tmp_path / "new.gallery")
        with Gallery(tmp_path / "new.gallery") as new:
            assert np.allclose(new.state().sums, old.gallery.state().sums, atol=1e-3)
            assert [e.source_sha256 for e in new.examples("noise")] == [
                e.source_sha256 for e in old.gallery.examples("noise")
            ]
    assert session.runs == [32, 8]


def test_a_gallery_that_changes_while_it_is_migrated_is_not(
    kept: Classifier, next_bundle: Path, tmp_path: Path
) -> None:
    def change(done: int, _: int) -> None:
        if done == 3:
            kept.forget("figure 50")

    with Classifier.open(next_bundle) as classifier, pytest.raises(MigrationError, match="was changed meanwhile"):
        migrate(kept.gallery, classifier, tmp_path / "new.gallery", progress=change)
    assert not list(tmp_path.glob("*new.gallery*"))


def test_what_stops_in_the_middle_leaves_nothing(kept: Classifier, next_bundle: Path, tmp_path: Path) -> None:
    def stop(_: int, __: int) -> None:
        raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    with Classifier.open(next_bundle) as classifier, pytest.raises(KeyboardInterrupt):
        migrate(kept.gallery, classifier, tmp_path / "new.gallery", progress=stop)
    assert sorted(tmp_path.iterdir()) == before


def test_a_kept_frame_that_was_exchanged_is_found(kept: Classifier, gallery_path: Path, next_bundle: Path) -> None:
    with sqlite3.connect(gallery_path) as db:
        other = pack_frame(load_frame(frame(59, 0)))
        db.execute("UPDATE frame SET content = ? WHERE rowid = 1", (other,))
    (problem,) = kept.gallery.problems()
    assert "is not what was enrolled" in problem
    with Classifier.open(next_bundle) as classifier, pytest.raises(MigrationError, match="not what was enrolled"):
        migrate(kept.gallery, classifier, gallery_path.with_name("new.gallery"))


def test_erasing_a_class_erases_its_pictures_and_no_others(kept: Classifier, gallery_path: Path) -> None:
    kept.gallery.erase("figure 50")
    assert not kept.gallery.problems()
    with sqlite3.connect(gallery_path) as db:
        assert db.execute("SELECT count(*) FROM frame").fetchone() == (4,)


def test_a_pack_carries_no_pictures(kept: Classifier) -> None:
    with Gallery(None, kept.gallery.bundle_id, kept.gallery.dimension) as other:
        other.merge(kept.gallery)
        assert not any(e.frame_kept for label in ("figure 50", "figure 51") for e in other.examples(label))


def test_a_lock_goes_with_the_gallery(kept: Classifier, next_bundle: Path, tmp_path: Path) -> None:
    kept.gallery.lock("correct horse")
    out = tmp_path / "new.gallery"
    with Classifier.open(next_bundle) as classifier:
        migrate(kept.gallery, classifier, out)
    with Classifier.open(next_bundle, out) as new:
        with pytest.raises(GalleryLockedError):
            new.forget("figure 50")
        new.gallery.unlock("correct horse")
        new.forget("figure 50")


def test_the_command_shows_before_and_after(
    kept: Classifier, gallery_path: Path, next_bundle: Path, cli: Cli, tmp_path: Path
) -> None:
    result = cli("migrate", next_bundle, gallery_path, tmp_path / "a.gallery")
    assert result.exit_code == 0, result.stderr
    assert "6 examples of 2 classes, 1 stranger to calibrate with" in result.stdout
    assert "recognised when left out: 100.0% before, 100.0% now" in result.stdout
    assert result.stderr.splitlines()[-1] == "7 of 7 pictures"
    told = json.loads(cli("migrate", next_bundle, gallery_path, tmp_path / "b.gallery", "--json").stdout)
    assert (told["classes"], told["examples"], told["after"]) == (2, 6, 1.0)
    again = cli("migrate", next_bundle, gallery_path, tmp_path / "b.gallery")
    assert again.exit_code == 1
    assert "exists already" in again.stderr


def test_a_vector_of_another_length_is_damage(kept: Classifier, gallery_path: Path) -> None:
    with sqlite3.connect(gallery_path) as db:
        db.execute("UPDATE class SET sum = x'00' WHERE id = 1")
    with pytest.raises(GalleryFormatError, match="a stored vector has 1 bytes"):
        kept.gallery.task()

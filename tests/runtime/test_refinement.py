"""Prototypes refined by unlabelled embeddings: the arithmetic, in the gallery, in answers, at the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgefew_runtime import (
    Bundle,
    Classifier,
    Gallery,
    LabelError,
    NothingToUndoError,
    RefinementError,
    SelfTestError,
    head,
)
from edgefew_runtime.gallery.records import UNLABELLED
from edgefew_runtime.refinement import Refinement
from edgefew_runtime.selftest import check_head, check_refine
from edgefew_runtime.session import OrtSession

from tests.conftest import Cli, draw_class, draw_folder
from tests.runtime.galleries import DIMENSION, OTHER, example, open_gallery, snapshot


def test_one_step_is_the_papers_formula_on_squared_distances() -> None:
    rng = np.random.default_rng(0)
    unlabelled = head.unit(rng.normal(size=(7, 5)).astype(np.float32))
    sums, counts = rng.normal(size=(3, 5)).astype(np.float32), np.full(3, 2, np.float32)
    centres = np.concatenate([head.unit(sums), np.zeros((1, 5))])
    nearness = np.exp(-((unlabelled[:, None] - centres) ** 2).sum(axis=2))
    shares = (nearness / nearness.sum(axis=1, keepdims=True))[:, :3]
    refined, weights = Refinement(scale=2).refine(unlabelled, sums, counts)
    np.testing.assert_allclose(refined, sums + shares.T @ unlabelled, atol=1e-5)
    np.testing.assert_allclose(weights, counts + shares.sum(axis=0), atol=1e-5)


def test_no_unlabelled_embedding_changes_nothing() -> None:
    sums, counts = np.eye(3, dtype=np.float32), np.ones(3, np.float32)
    refined, weights = Refinement().refine(np.empty((0, 3), np.float32), sums, counts)
    np.testing.assert_array_equal(refined, sums)
    np.testing.assert_array_equal(weights, counts)


def test_a_class_without_examples_takes_nothing() -> None:
    sums, counts = np.array([[1, 0], [0, 0]], np.float32), np.array([1, 0], np.float32)
    refined, weights = Refinement().refine(np.eye(2, dtype=np.float32), sums, counts)
    assert weights[0] > 1 and weights[1] == 0 and not refined[1].any()


def test_what_is_assigned_in_blocks_is_what_is_assigned_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    unlabelled = head.unit(rng.normal(size=(50, 8)).astype(np.float32))
    sums, counts = rng.normal(size=(4, 8)).astype(np.float32), np.array([1, 2, 0, 3], np.float32)
    whole = Refinement().refine(unlabelled, sums, counts)
    monkeypatch.setattr("edgefew_runtime.refinement._BLOCK_VALUES", 15)
    for one, other in zip(Refinement().refine(unlabelled, sums, counts), whole, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("entry", [{"scale": 0, "distractor": 0.5}, {"scale": 10, "distractor": 2}, {"scale": True}])
def test_a_manifest_that_lies_about_refining_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError)):
        Refinement.from_dict(entry)


def test_sums_and_what_is_shown_of_classes_stay_as_they_are(tmp_path: Path) -> None:
    with open_gallery(tmp_path / "a.gallery") as gallery:
        gallery.enroll("stop", [example(1), example(2)])
        before = snapshot(gallery), gallery.classes(), gallery.task().prototypes.tobytes()
        assert gallery.refine([example(3), example(4), example(3)]).new == (True, True, False)
        assert gallery.refine([example(4)]).new == (False,)
        assert (snapshot(gallery), gallery.classes(), gallery.task().prototypes.tobytes()) == before
        assert [entry.source for entry in gallery.content()["stop"]] == ["1.png", "2.png"]
        assert [entry.label for entry in gallery.unlabelled_examples()] == [UNLABELLED, UNLABELLED]
        assert not gallery.unlabelled_examples()[0].rejected
        assert not gallery.problems()


def test_each_change_of_what_is_unlabelled_can_be_undone() -> None:
    with open_gallery(None) as gallery:
        gallery.enroll("stop", [example(1)])
        gallery.refine([example(2), example(3)])
        gallery.refine([example(4)], replace=True)
        told = [event.describe() for event in gallery.log()[2:]]
        assert told == ["refine (2 unlabelled)", "clear (2 unlabelled)", "refine (1 unlabelled)"]
        assert names(gallery) == ["4.png"]
        gallery.undo()
        assert names(gallery) == []
        gallery.undo()
        assert names(gallery) == ["2.png", "3.png"]
        gallery.remove(gallery.unlabelled_examples()[0].id)
        assert names(gallery) == ["3.png"]
        gallery.undo()
        assert gallery.clear_unlabelled() == 2
        gallery.undo()
        gallery.undo()
        assert names(gallery) == []
        assert not gallery.problems()


def test_strangers_and_what_is_unlabelled_are_cleared_apart() -> None:
    with open_gallery(None) as gallery:
        gallery.calibrate([example(1)])
        gallery.refine([example(1), example(2)])
        assert gallery.clear() == 1
        assert names(gallery) == ["1.png", "2.png"]
        gallery.undo()
        assert gallery.clear_unlabelled() == 2
        assert len(gallery.strangers()) == 1


def test_a_picture_that_is_enrolled_counts_there_alone() -> None:
    with open_gallery(None) as gallery:
        gallery.refine([example(1), example(2)])
        gallery.enroll("stop", [example(1)])
        pool = gallery.task().unlabelled
        assert pool is not None
        np.testing.assert_array_equal(pool.embeddings, example(2).embedding[None])
        gallery.undo()
        pool = gallery.task().unlabelled
        assert pool is not None and len(pool.embeddings) == 2


def test_erased_it_is_off_the_disk_and_cannot_be_undone(tmp_path: Path) -> None:
    path = tmp_path / "a.gallery"
    with open_gallery(path) as gallery:
        gallery.enroll("stop", [example(1)])
        gallery.refine([example(2)])
        gallery.clear_unlabelled()
        gallery.refine([example(3)])
        assert gallery.erase_unlabelled() == 2
        assert gallery.log()[-1].describe() == "erase what is unlabelled"
        with pytest.raises(NothingToUndoError):
            gallery.undo()
        assert gallery.count("stop") == 1 and not gallery.problems()
    raw = path.read_bytes()
    assert example(1).embedding.tobytes() in raw
    assert example(2).embedding.tobytes() not in raw and example(3).embedding.tobytes() not in raw


def test_merging_takes_it_along_in_any_order_to_the_bit(tmp_path: Path) -> None:
    def made(name: str, numbers: list[int]) -> Gallery:
        gallery = open_gallery(tmp_path / name)
        gallery.enroll("stop", [example(numbers[0])])
        gallery.refine([example(number) for number in numbers[1:]])
        return gallery

    one, other = made("a", [1, 2, 3]), made("b", [4, 3, 5])
    back, forth = made("c", [1, 2, 3]), made("d", [4, 3, 5])
    merged = back.merge(other)
    assert (merged.added, merged.unlabelled, merged.rejected) == ({"stop": 1}, 1, {})
    assert "unlabelled" in back.log()[-1].describe()
    assert forth.merge(one).unlabelled == 1
    pools = [gallery.task().unlabelled for gallery in (back, forth)]
    assert pools[0] is not None and pools[1] is not None
    assert len(pools[0].embeddings) == 3
    for name in ("embeddings", "sums"):
        assert getattr(pools[0], name).tobytes() == getattr(pools[1], name).tobytes()
    back.undo()
    assert names(back) == ["2.png", "3.png"]
    for gallery in (one, other, back, forth):
        gallery.close()


def test_a_class_pack_carries_none(tmp_path: Path) -> None:
    with open_gallery(None) as gallery:
        gallery.enroll("stop", [example(1)])
        gallery.refine([example(2)])
        assert gallery.share(tmp_path / "pack") == {"stop": 1}
    with Gallery(tmp_path / "pack") as pack:
        assert pack.unlabelled() == []


def test_another_bundles_gallery_takes_it_over() -> None:
    with open_gallery(None) as old, Gallery(None, OTHER, DIMENSION) as new:
        old.enroll("stop", [example(1)])
        old.refine([example(2)])
        new.take_over(old, {"stop": [example(11)]}, [], [example(12)])
        assert names(new) == ["12.png"] and not new.problems()


def test_no_class_can_have_its_name() -> None:
    with open_gallery(None) as gallery:
        gallery.refine([example(1)])
        with pytest.raises(LabelError):
            gallery.enroll(UNLABELLED, [example(2)])
        for asked in (gallery.forget, gallery.examples, gallery.erase):
            with pytest.raises(LabelError):
                asked(UNLABELLED)


def names(gallery: Gallery) -> list[str]:
    return [entry.source for entry in gallery.unlabelled_examples()]


FIGURES = (50, 51, 52)


def frame(kind: int, source: int, take: int = 0) -> np.ndarray:
    return np.asarray(draw_class(kind, source, take))


@pytest.fixture
def classifier(bundle: Path, gallery_path: Path) -> Iterator[Classifier]:
    with Classifier.open(bundle, gallery_path) as opened:
        for kind in FIGURES:
            opened.enroll(f"figure {kind}", frame(kind, 0))
        yield opened


def test_the_choice_follows_refined_prototypes_and_known_does_not(classifier: Classifier) -> None:
    query = frame(51, 2)
    before = classifier.classify(query)
    own = classifier.gallery.task().prototypes
    told = classifier.refine([frame(kind, source, take) for kind in FIGURES for source in (1, 2) for take in (0, 1)])
    assert len(told.accepted) > 6
    assert sum(told.taken.values()) + told.of_no_class == pytest.approx(len(told.accepted), abs=1e-3)
    after = classifier.classify(query)
    embedding = classifier.embed([query])[0]
    pool = classifier.gallery.task().unlabelled
    assert pool is not None
    refinement = classifier.bundle.manifest.refinement
    assert refinement is not None
    sums, _ = refinement.refine(pool.embeddings, pool.sums, np.ones(3, np.float32))
    cosines = head.unit(sums) @ embedding
    label = FIGURES[int(cosines.argmax())]
    assert after.label == f"figure {label}"
    assert after.margin == pytest.approx(float(np.sort(cosines)[-1] - np.sort(cosines)[-2]), abs=1e-5)
    assert after.score == pytest.approx(float(own[FIGURES.index(label)] @ embedding), abs=1e-5)
    assert after.threshold == before.threshold
    classifier.undo()
    undone = classifier.classify(query)
    assert undone.to_dict() == before.to_dict()


def test_unlabelled_frames_of_the_classes_bring_answers_right(bundle: Path) -> None:
    """Over many small galleries: more right with than without, and never by the queries themselves."""
    right = np.zeros((2, 10))
    for place in range(10):
        kinds = np.random.default_rng(place).choice(np.arange(50, 60), 4, replace=False).tolist()
        with Classifier.open(bundle, false_accept_rate=None) as opened:
            for kind in kinds:
                opened.enroll(f"{kind}", frame(kind, 0))
            queries = [(kind, 1, take) for kind in kinds for take in (0, 1)]
            for side in (0, 1):
                if side:
                    opened.refine([frame(kind, 2, take) for kind in kinds for take in (0, 1, 2)])
                right[side, place] = np.mean([opened.classify(frame(*q)).label == f"{q[0]}" for q in queries])
    assert right[1].mean() >= right[0].mean(), right.mean(axis=1)


def test_no_class_no_refining(bundle: Path) -> None:
    with Classifier.open(bundle) as opened:
        with pytest.raises(RefinementError, match="Enroll at least one class first"):
            opened.refine([frame(50, 0)])
        assert opened.gallery.unlabelled() == []


def test_a_bundle_of_before_says_so(classifier: Classifier) -> None:
    older = replace(classifier.bundle, manifest=replace(classifier.bundle.manifest, refinement=None))
    opened = Classifier(older, classifier.gallery, classifier._session)
    with pytest.raises(RefinementError, match="exported before there was one"):
        opened.refine([frame(50, 1)])
    assert opened.gallery.unlabelled() == []


def test_a_graph_that_refines_otherwise_is_found(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    session, (_, golden) = OrtSession(opened.model("refine")), opened.golden()
    assert opened.manifest.refinement is not None
    assert check_refine(session, golden, opened.manifest.refinement) <= 1e-5
    with pytest.raises(SelfTestError, match="refine graph differs"):
        check_refine(session, golden, Refinement(scale=12))


class Spoiled(OrtSession):
    """Gives NaN in one of its outputs."""

    def __init__(self, model: bytes, spoiled: int) -> None:
        super().__init__(model)
        self.spoiled = spoiled

    def run(self, inputs: Mapping[str, Any]) -> list[Any]:
        given = [array.copy() for array in super().run(inputs)]
        given[self.spoiled][:] = np.nan
        return given


@pytest.mark.parametrize("spoiled", [0, 1])
def test_a_graph_that_gives_no_numbers_is_found_in_either_output(bundle: Path, spoiled: int) -> None:
    opened = Bundle.open(bundle)
    assert opened.manifest.refinement is not None
    with pytest.raises(SelfTestError, match="differs from the runtime's arithmetic by nan"):
        check_refine(Spoiled(opened.model("refine"), spoiled), opened.golden()[1], opened.manifest.refinement)


@pytest.mark.parametrize("spoiled", [0, 1])
def test_nor_do_the_graphs_of_the_head_pass_with_no_numbers(bundle: Path, spoiled: int) -> None:
    opened = Bundle.open(bundle)
    enroll, classify = OrtSession(opened.model("enroll")), Spoiled(opened.model("classify"), spoiled)
    with pytest.raises(SelfTestError, match="by nan"):
        check_head(enroll, classify, opened.golden()[1], opened.manifest.scale)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """12 different pictures."""
    folder = draw_folder(tmp_path / "unlabelled", range(50, 53), sources=2, takes=4)
    different = {file.read_bytes(): file for file in sorted(folder.rglob("*.png"))}
    for file in set(folder.rglob("*.png")) - set(list(different.values())[:12]):
        file.unlink()
    return folder


@pytest.fixture
def site(cli: Cli, bundle: Path, gallery_path: Path, tmp_path: Path) -> Path:
    for kind in FIGURES:
        file = tmp_path / f"{kind}.png"
        draw_class(kind, 2, 7).save(file)
        assert cli("enroll", bundle, f"figure {kind}", file, "--gallery", gallery_path).exit_code == 0
    return gallery_path


def test_the_command_says_what_each_class_takes(cli: Cli, bundle: Path, site: Path, files: Path) -> None:
    result = cli("refine", bundle, files, "--gallery", site, "--actor", "Ada")
    assert result.exit_code == 0, result.output
    assert "12 unlabelled added, 12 in all" in result.output
    assert "figure 50: as " in result.output and "of no class: " in result.output
    assert "by the bundle's report" in result.output
    again = cli("refine", bundle, files, "--gallery", site, "--json")
    told = json.loads(again.stdout)
    assert (len(told["accepted"]), len(told["skipped"]), told["unlabelled"]) == (0, 12, 12)
    assert sum(told["taken"].values()) + told["of_no_class"] == pytest.approx(12, abs=1e-3)
    assert set(told["reported"]) == {"unlabelled", "gain", "gain_ci95"}
    assert "refine (12 unlabelled)" in cli("log", "--gallery", site).output
    listed = cli("examples", "--unlabelled", "--gallery", site, "--json").stdout.splitlines()
    assert len(listed) == 12 and json.loads(listed[0])["label"] == ""
    assert "unlabelled: example" in cli("forget", "--example", json.loads(listed[0])["id"], "--gallery", site).output


def test_the_command_takes_out_and_erases(cli: Cli, bundle: Path, site: Path, files: Path) -> None:
    assert cli("refine", bundle, files, "--gallery", site).exit_code == 0
    assert "12 unlabelled taken out" in cli("refine", bundle, "--clear", "--gallery", site).output
    assert cli("undo", "--gallery", site).exit_code == 0
    assert cli("refine", bundle, "--gallery", site).output.startswith("12 unlabelled\n")
    assert "12 unlabelled erased" in cli("refine", bundle, "--erase", "--gallery", site).output
    assert cli("refine", bundle, "--gallery", site).output == "0 unlabelled\n"
    mixed = cli("refine", bundle, files, "--erase", "--gallery", site)
    assert mixed.exit_code == 2 and "--erase goes alone" in mixed.output
    missing = cli("refine", bundle, files, "--gallery", site.with_name("none"))
    assert missing.exit_code == 1 and "There is no gallery" in missing.output


def test_frames_that_were_kept_migrate(cli: Cli, bundle: Path, site: Path, files: Path, tmp_path: Path) -> None:
    assert cli("refine", bundle, files, "--gallery", site).exit_code == 0
    refused = cli("migrate", bundle, site, tmp_path / "new.gallery")
    assert refused.exit_code == 1 and "were not kept" in refused.output
    assert "12 pictures kept" in cli("refine", bundle, files, "--keep-frames", "--gallery", site).output
    for kind in FIGURES:
        file = tmp_path / f"{kind}.png"
        assert cli("enroll", bundle, f"figure {kind}", file, "--keep-frames", "--gallery", site).exit_code == 0
    result = cli("migrate", bundle, site, tmp_path / "new.gallery")
    assert result.exit_code == 0, result.output
    assert "12 unlabelled to refine with" in result.output
    with Gallery(tmp_path / "new.gallery") as new:
        assert len(new.unlabelled()) == 12
    exported = cli("state", "export", tmp_path / "state", "--gallery", site)
    assert "12 unlabelled" in exported.output

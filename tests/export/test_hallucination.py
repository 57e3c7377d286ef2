"""Generated examples: fitted on base classes, exported, and used only where the report says that they gain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgefew_export.bundle_writer import export_bundle
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.graphs import hallucinate_graph, serialize
from edgefew_export.hallucination import (
    Generator,
    Hallucination,
    compare_generated,
    evaluate_hallucination,
    fit_hallucination,
    left_out,
)
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_export.sources.trained import trained_source
from edgefew_runtime import Bundle, BundleFormatError, Classifier, DataError, ExportError, Manifest, head
from edgefew_runtime.bundle import SUMS_FILE, sums_text
from edgefew_runtime.hallucination import MAX_VALUES
from edgefew_runtime.hallucination import Hallucination as Record
from edgefew_runtime.session import OrtSession

from tests.conftest import SOURCE_PATTERN, Cli, draw_folder

CLASSES, EACH, DIMENSION, DIRECTIONS = 60, 8, 24, 4


def classes_alike(seed: int, classes: int = CLASSES) -> tuple[head.Embeddings, np.ndarray]:
    """Classes that differ in a few directions alone, with examples that differ in all: float32 [n, d], int64 [n]."""
    rng = np.random.default_rng(seed)
    means = np.zeros((classes, DIMENSION))
    means[:, :DIRECTIONS] = rng.normal(size=(classes, DIRECTIONS))
    labels = np.repeat(np.arange(classes), EACH)
    return head.unit(means[labels] + 0.8 * rng.normal(size=(len(labels), DIMENSION))), labels


@pytest.fixture(scope="module")
def fitted() -> Hallucination:
    return fit_hallucination(*classes_alike(0), None)


def test_it_gains_where_examples_differ_in_directions_in_which_classes_do_not(fitted: Hallucination) -> None:
    rows, labels = classes_alike(1)
    told = evaluate_hallucination(
        rows, EpisodeSampler(labels, way=5, shot=1, query=5, seed=0), fitted.complete, episodes=300
    )
    assert told["gain"] - told["gain_ci95"] > 0.02
    assert told["with"]["accuracy"] - told["without"]["accuracy"] == pytest.approx(told["gain"])


def test_the_same_seed_gives_the_same_generator(fitted: Hallucination) -> None:
    again, other = (fit_hallucination(*classes_alike(0), None, seed) for seed in (0, 1))
    prototypes = classes_alike(1)[0][:5]
    np.testing.assert_array_equal(again.generate(prototypes), fitted.generate(prototypes))
    assert np.abs(other.generate(prototypes) - fitted.generate(prototypes)).max() > 1e-3


def test_different_noise_gives_different_unit_embeddings(fitted: Hallucination) -> None:
    made = fitted.generate(classes_alike(1)[0][:5])
    assert made.shape == (5, len(fitted.noise), DIMENSION)
    np.testing.assert_allclose(np.linalg.norm(made, axis=2), 1, atol=1e-5)
    assert made.std(axis=1).max() > 1e-3


def test_the_device_completes_as_the_report_did(fitted: Hallucination) -> None:
    session = OrtSession(serialize(hallucinate_graph(fitted.generator), "hallucinate", {}))
    prototypes = head.unit(classes_alike(1, 100)[0][:100])
    prototypes[3] = 0
    counts = np.ones(100, np.int64)
    told = fitted.record((1, 2)).complete(session, prototypes, counts)
    assert told is not None
    np.testing.assert_array_equal(told[3], 0)
    there = prototypes.any(axis=1)
    np.testing.assert_allclose(told[there], fitted.complete(prototypes, 1)[there], atol=1e-5)
    assert fitted.record((2,)).complete(session, prototypes, counts) is None
    assert fitted.record((1,)).complete(session, prototypes[:0], counts[:0]) is None


def test_classes_of_different_numbers_of_examples_are_left_as_they_are(fitted: Hallucination) -> None:
    session = OrtSession(serialize(hallucinate_graph(fitted.generator), "hallucinate", {}))
    prototypes = classes_alike(1)[0][:2]
    assert fitted.record((1, 2)).complete(session, prototypes, np.array([1, 2])) is None


def test_a_graph_of_another_generator_is_refused(fitted: Hallucination) -> None:
    prototypes = classes_alike(1)[0][:5]
    model = serialize(hallucinate_graph(fitted.generator), "hallucinate", {})
    assert compare_generated(fitted, fitted.record(), OrtSession(model), prototypes) < 1e-5
    other = OrtSession(serialize(hallucinate_graph(Generator(DIMENSION)), "hallucinate", {}))
    with pytest.raises(ExportError, match="differs from PyTorch's"):
        compare_generated(fitted, fitted.record(), other, prototypes)


def test_too_few_classes_or_examples_are_refused() -> None:
    rows, labels = classes_alike(0, 5)
    with pytest.raises(DataError, match="5 classes"):
        fit_hallucination(rows, labels, None)
    with pytest.raises(DataError, match="2 examples"):
        fit_hallucination(rows[:6], np.arange(6), None)


def test_classes_to_prove_on_are_left_out() -> None:
    rows, labels = classes_alike(0, 8)
    assert left_out(rows, labels, rows[[0, 3 * EACH + 1]]).tolist() == [0, 3]
    assert not len(left_out(rows, labels, classes_alike(1, 8)[0]))


# ---- bundles -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generating(checkpoint: Path, training_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generating") / "figures.edgefew"
    export_bundle(trained_source(checkpoint), out, hallucinate=read_labelled_folder(training_folder, SOURCE_PATTERN))
    return out


def used_at(bundle: Path, out: Path, shots: tuple[int, ...]) -> Path:
    """The bundle as if its report said that generated examples gain at these shots."""
    files = dict(Bundle.open(bundle).files)
    manifest = json.loads(files["manifest.json"])
    manifest["additional_metadata"]["edgefew"]["hallucinate"]["shots"] = list(shots)
    files["manifest.json"] = json.dumps(manifest).encode()
    del files[SUMS_FILE]
    for name, content in (files | {SUMS_FILE: sums_text(files)}).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)
    return out


def test_the_report_says_what_is_gained_and_the_manifest_follows_it(generating: Path, checkpoint: Path) -> None:
    bundle = Bundle.open(generating)
    told = bundle.report()["hallucinate"]
    # The checkpoint's held-out classes are classes of its training folder.
    assert told["fitted_on"]["left_out"] == bundle.report()["proved_on"]["classes"]
    assert told["max_abs_error"] < 1e-4
    assert told["gain"] == {shot: row["gain"] > row["gain_ci95"] for shot, row in told["shots"].items()}
    assert bundle.manifest.hallucination is not None
    assert bundle.manifest.hallucination.shots == tuple(int(shot) for shot, gain in told["gain"].items() if gain)
    assert Manifest.from_dict(bundle.manifest.to_dict(bundle.components())) == bundle.manifest
    card = (generating / "model-card.md").read_text()
    assert f"| {100 * told['shots']['1']['gain']:+.2f} ± " in card


def test_verify_looks_at_the_graph(generating: Path, bundle: Path, cli: Cli) -> None:
    assert "✓ hallucinate graph" in cli("verify", generating).stdout
    assert "hallucinate" not in cli("verify", bundle).stdout


def test_the_device_uses_it_only_at_shots_that_gain(generating: Path, unseen_folder: Path, tmp_path: Path) -> None:
    folders = sorted(path for path in unseen_folder.iterdir() if path.is_dir())[:4]
    frames = {folder.name: sorted(folder.iterdir()) for folder in folders}
    bundle = used_at(generating, tmp_path / "used.edgefew", (1,))
    with Classifier.open(bundle, false_accept_rate=None) as classifier:
        plain = Classifier.open(bundle, false_accept_rate=None, hallucinate=False)
        never = Classifier.open(used_at(generating, tmp_path / "never.edgefew", ()), false_accept_rate=None)
        for each in (classifier, plain, never):
            for name, files in frames.items():
                each.enroll(name, [files[0]])
        one = [each.classify(frames[folders[0].name][3]) for each in (classifier, plain, never)]
        assert one[0] == classifier.classify(frames[folders[0].name][3])
        assert one[1] == one[2]
        assert one[0].probability != one[1].probability
        # What is stored and what makes a frame known are the same: the score is that with the own examples alone.
        np.testing.assert_array_equal(classifier.gallery.state().sums, plain.gallery.state().sums)
        if one[0].label == one[1].label:
            assert one[0].score == one[1].score
        for each in (classifier, plain):
            for name, files in frames.items():
                each.enroll(name, [files[1]])
        two = [each.classify(frames[folders[0].name][3]) for each in (classifier, plain)]
        assert two[0] == two[1]


def test_rejected_frames_rule_a_class_out_of_what_is_completed_too(
    generating: Path, unseen_folder: Path, tmp_path: Path
) -> None:
    folders = sorted(path for path in unseen_folder.iterdir() if path.is_dir())[:2]
    frames = [sorted(folder.iterdir()) for folder in folders]
    bundle = used_at(generating, tmp_path / "used.edgefew", (1,))
    with Classifier.open(bundle, false_accept_rate=None) as classifier:
        for name, files in zip("ab", frames, strict=True):
            classifier.enroll(name, [files[0]])
        classifier.reject("a", [frames[0][3]])
        assert classifier.classify(frames[0][3]).label == "b"


@pytest.mark.parametrize(
    "change",
    [
        {"shots": [0]},
        {"shots": [True]},
        {"weight": 0},
        {"weight": float("nan")},
        {"noise": []},
        {"noise": [[]]},
        {"noise": [[0.0], [0.0, 1.0]]},
        {"noise": [[float("inf")]]},
        {"noise": [[0.0] * (MAX_VALUES + 1)]},
    ],
)
def test_a_manifest_that_lies_about_the_generator_is_refused(generating: Path, change: dict[str, object]) -> None:
    manifest = json.loads(Bundle.open(generating).files["manifest.json"])
    made = manifest["additional_metadata"]["edgefew"]["hallucinate"]
    assert Record.from_dict(made).to_dict() == made
    manifest["additional_metadata"]["edgefew"]["hallucinate"] = made | change
    with pytest.raises(BundleFormatError):
        Manifest.from_dict(manifest)


def test_the_folder_of_the_proof_is_refused(cli: Cli, checkpoint: Path, tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "same", range(3), takes=1)
    result = cli("export", checkpoint, tmp_path / "b.edgefew", "--data", folder, "--hallucinate", folder)
    assert result.exit_code != 0
    assert "--hallucinate is the folder of --data" in result.stderr

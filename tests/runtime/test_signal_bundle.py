"""Every device command on a bundle of signals: the same way as pictures go."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import Bundle, Classifier, FrameError, Gallery, migrate
from edgefew_runtime.consensus import Consensus
from edgefew_runtime.drift import LEAST_REFERENCE, DriftWatch
from edgefew_runtime.session import OrtSession

from tests.conftest import Cli
from tests.signals import SAMPLES, make_folder, make_signal


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("waves") / "waves", range(50, 56))


@pytest.fixture
def enrolled(cli: Cli, signal_bundle: Path, waves: Path, gallery_path: Path) -> Path:
    for name in ("wave050", "wave051"):
        files = sorted((waves / name).glob("*-0.*"))
        result = cli("enroll", signal_bundle, name, *files, "--gallery", gallery_path, "--keep-frames")
        assert result.exit_code == 0, result.output
    return gallery_path


def test_files_are_enrolled_and_recognised(cli: Cli, signal_bundle: Path, waves: Path, enrolled: Path) -> None:
    asked = [
        waves / "wave050" / "machine1-1.npy",
        waves / "wave051" / "machine2-1.csv",
        waves / "wave055/machine0-1.npy",
    ]
    result = cli("classify", signal_bundle, *asked, "--gallery", enrolled, "--json")
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(a["label"], a["known"]) for a in answers[:2]] == [("wave050", True), ("wave051", True)]
    assert not answers[2]["known"]


def test_windows_of_one_thing_are_agreed_on(cli: Cli, signal_bundle: Path, waves: Path, enrolled: Path) -> None:
    takes = sorted((waves / "wave051").glob("*-1.*"))
    result = cli("classify", signal_bundle, *takes, "--gallery", enrolled, "--track")
    assert result.exit_code == 0, result.output
    assert "track: wave051 (3 of 3 frames agree)" in result.stdout


def test_the_same_window_as_another_file_is_there_already(
    cli: Cli, signal_bundle: Path, waves: Path, enrolled: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.csv"
    np.savetxt(again, np.load(waves / "wave050" / "machine0-0.npy"), delimiter=",", fmt="%.9g")
    result = cli("enroll", signal_bundle, "wave050", again, "--gallery", enrolled)
    assert "skipped, enrolled already" in result.stdout


def test_bad_frames_are_refused_and_nothing_is_enrolled(
    cli: Cli, signal_bundle: Path, waves: Path, enrolled: Path, tmp_path: Path
) -> None:
    (tmp_path / "flat.csv").write_text("1,2\n" * SAMPLES)
    (tmp_path / "one.csv").write_text("1\n2\n")
    good = waves / "wave052" / "machine0-0.npy"
    for bad, says in (("flat.csv", "flat"), ("one.csv", "has 1 channel, 2 expected")):
        result = cli("enroll", signal_bundle, "wave052", good, tmp_path / bad, "--gallery", enrolled)
        assert result.exit_code == 1
        assert says in result.stderr
    assert "wave052" not in cli("classes", enrolled).stdout
    result = cli("classify", signal_bundle, tmp_path / "flat.csv", "--gallery", enrolled)
    assert (result.exit_code, result.stdout.strip().endswith("flat.csv: unknown")) == (0, True)


def test_the_doctor_knows_what_is_wrong_with_a_window(signal_bundle: Path) -> None:
    good = make_signal(60, 0, 0)
    half = np.stack([good[:, 0], np.full(SAMPLES, 7.0)], axis=1)
    clipped = np.clip(good, -0.3, 0.3)
    with Classifier.open(signal_bundle) as classifier:
        classifier.enroll("other", [make_signal(61, source, 0) for source in range(3)])
        diagnosis = classifier.diagnose("wave", [good, half, good[:20], clipped, good * 1.0001, make_signal(61, 1, 1)])
    kinds = [{finding.kind for finding in report.findings} for report in diagnosis.examples]
    assert not kinds[0] & {"flat", "clipped", "too short", "near-duplicate"}
    assert "flat" in kinds[1]
    assert "too short" in kinds[2]
    assert "clipped" in kinds[3]
    assert "near-duplicate" in kinds[4]
    assert "closer to another class" in kinds[5]
    assert "record the windows that are short, flat or clipped again" in diagnosis.advice
    texts = " ".join([*diagnosis.advice, *(f.text for report in diagnosis.examples for f in report.findings)])
    assert "picture" not in texts
    assert "lights" not in texts


def test_rejected_windows_and_negatives_work(cli: Cli, signal_bundle: Path, waves: Path, enrolled: Path) -> None:
    result = cli("reject", signal_bundle, "wave050", waves / "wave053" / "machine0-0.npy", "--gallery", enrolled)
    assert result.exit_code == 0, result.output
    result = cli("calibrate", signal_bundle, "--gallery", enrolled, "--negatives", waves / "wave054")
    assert result.exit_code == 0, result.output
    assert "6 strangers added" in result.stdout


def test_a_new_bundle_enrolls_the_kept_windows_again(signal_bundle: Path, enrolled: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.gallery"
    with Gallery(enrolled) as old, Classifier.open(signal_bundle) as classifier:
        result = migrate(old, classifier, out)
        before = old.state()
    assert (result.classes, result.examples) == (2, 6)
    with Gallery(out) as new:
        assert np.array_equal(new.state().sums, before.sums)


def test_pictures_and_windows_do_not_migrate_into_each_other(
    bundle: Path, signal_bundle: Path, enrolled: Path, tmp_path: Path
) -> None:
    refused = pytest.raises(FrameError, match="float32 was given, uint8")
    with Gallery(enrolled) as old, Classifier.open(bundle) as classifier, refused:
        migrate(old, classifier, tmp_path / "new.gallery")
    with Classifier.open(signal_bundle) as classifier, pytest.raises(FrameError, match=r"shape \[8, 8, 3\]"):
        classifier.classify(np.zeros((8, 8, 3), np.uint8))
    assert not (tmp_path / "new.gallery").exists()


def test_bench_and_verify_work(cli: Cli, signal_bundle: Path, enrolled: Path) -> None:
    result = cli("bench", signal_bundle, "--runs", 10, "--profile", "power", "--json")
    assert result.exit_code == 0, result.output
    (measured,) = json.loads(result.stdout)["results"]
    assert [cost["shape"] for cost in measured["frames"]] == [[64, 2], [256, 2]]
    result = cli("verify", signal_bundle, "--gallery", enrolled)
    assert (result.exit_code, result.stdout.count("✓")) == (0, 9), result.output


def test_consensus_and_drift_take_its_answers(signal_bundle: Path) -> None:
    with Classifier.open(signal_bundle) as classifier:
        for kind in (50, 51, 52):
            classifier.enroll(f"wave {kind}", [make_signal(kind, s, take) for s in range(3) for take in range(3)])
        answers = classifier.classify_many([make_signal(51, 0, take) for take in range(10, 16)])
        consensus = Consensus()
        for answer in answers:
            agreed = consensus.add(answer)
        assert str(agreed) == "wave 51"
        scores = classifier.enrolment_scores()
        assert len(scores) >= LEAST_REFERENCE
        assert not DriftWatch(map(float, scores)).add(float(answers[0].score or 0)).alarm


def test_windows_of_one_length_in_one_batch_and_of_others_give_the_same(signal_bundle: Path) -> None:
    session = OrtSession(Bundle.open(signal_bundle).model("embed"))
    windows = [make_signal(kind, 0, 0) for kind in range(5)]
    together = session.run({"frames": np.stack(windows)})[0]
    alone = np.concatenate([session.run({"frames": window[None]})[0] for window in windows])
    assert np.abs(together - alone).max() < 1e-5
    denser = np.concatenate(
        [session.run({"frames": make_signal(kind, 0, 0, samples=5 * SAMPLES)[None]})[0] for kind in range(5)]
    )
    assert ((denser * alone).sum(axis=1) > 0.9).all()  # the same wave with other noise
    assert session.run({"frames": np.zeros((0, 70, 2), np.float32)})[0].shape == (0, together.shape[1])


@pytest.mark.parametrize("samples", [1, 3, 63, 65, 1000, 4097, 20000])
def test_a_flat_window_is_flat_at_any_length_and_level(signal_bundle: Path, samples: int) -> None:
    session = OrtSession(Bundle.open(signal_bundle).model("embed"))
    levels = np.float32([-3e14, -1.7, 1e-30, 0.1, 8388607.5, 9e14])
    flat = np.broadcast_to(levels[:, None, None], (len(levels), samples, 2))
    assert not session.run({"frames": np.ascontiguousarray(flat)})[0].any()
    if samples > 1:
        wave = make_signal(1, 0, 0, samples)
        vectors = session.run({"frames": np.stack([wave, wave * np.float32(1e-25), wave * np.float32(1e13)])})[0]
        assert np.allclose(vectors @ vectors.T, 1, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 2, 30, SAMPLES, 100, 1000])
def test_windows_that_cannot_be_used_are_masked_in_the_graphs(signal_bundle: Path, samples: int) -> None:
    bundle = Bundle.open(signal_bundle)
    embed, enroll, classify = (OrtSession(bundle.model(name)) for name in ("embed", "enroll", "classify"))
    window = np.repeat(make_signal(1, 0, 0), 16, axis=0)[:samples]
    bad = np.stack([window] * 6)
    bad[0, samples // 2, 0] = np.nan
    bad[1, samples // 2, 1] = np.inf
    bad[2, 0, 0] = -np.inf
    bad[3] = 123456.78
    bad[4] = 0
    bad[5] *= 3e37
    vectors = embed.run({"frames": bad})[0]
    assert not vectors.any()
    n, d = vectors.shape
    state = {"sums": np.zeros((2, d), np.float32), "counts": np.zeros(2, np.float32)}
    labels = {"labels": np.zeros(n, np.int64), "weights": np.ones(n, np.float32)}
    sums, _, accepted = enroll.run({"embeddings": vectors, **labels, **state})
    assert not accepted.any()
    assert not sums.any()
    one = {"sums": np.eye(2, d, dtype=np.float32), "counts": np.ones(2, np.float32)}
    settings = {"scale": np.asarray(10, np.float32), "threshold": np.asarray(-2, np.float32)}
    assert not classify.run({"embeddings": vectors, **one, **settings})[3].any()
    if samples > 2:
        assert np.abs(np.linalg.norm(embed.run({"frames": window[None]})[0]) - 1) < 1e-5

"""Every device command on a bundle of sounds: the same way as pictures go."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import Bundle, Classifier, FrameError, Gallery, migrate
from edgefew_runtime.session import OrtSession

from tests.conftest import SOURCE_PATTERN, Cli
from tests.sounds import RATE, make_folder, make_sound

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed (extra audio)")


@pytest.fixture(scope="module")
def tunes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("tunes") / "tunes", range(50, 56))


@pytest.fixture
def enrolled(cli: Cli, sound_bundle: Path, tunes: Path, gallery_path: Path) -> Path:
    for name in ("tune050", "tune051"):
        files = sorted((tunes / name).glob("*-0.*"))
        result = cli("enroll", sound_bundle, name, *files, "--gallery", gallery_path, "--keep-frames")
        assert result.exit_code == 0, result.output
    return gallery_path


def test_files_of_two_formats_and_rates_are_enrolled_and_recognised(
    cli: Cli, sound_bundle: Path, tunes: Path, enrolled: Path
) -> None:
    asked = [tunes / "tune050/player1-1.wav", tunes / "tune051/player2-1.flac", tunes / "tune052/player0-1.wav"]
    result = cli("classify", sound_bundle, *asked, "--gallery", enrolled, "--json")
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(a["label"], a["known"]) for a in answers[:2]] == [("tune050", True), ("tune051", True)]
    assert not answers[2]["known"]


def test_a_long_recording_is_answered_window_by_window(
    cli: Cli, sound_bundle: Path, tunes: Path, enrolled: Path, tmp_path: Path
) -> None:
    parts = [make_sound(50, 1, 5), np.zeros(RATE // 2, np.float32), make_sound(51, 0, 5)]
    soundfile.write(tmp_path / "long.wav", np.concatenate(parts), RATE)
    result = cli("classify", sound_bundle, tmp_path / "long.wav", "--gallery", enrolled, "--stride", 0.5, "--json")
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [a["second"] for a in answers] == [0.0, 0.5, 1.0]
    assert [a["label"] if a["known"] else None for a in answers] == ["tune050", None, "tune051"]


def test_stride_is_for_sounds(cli: Cli, bundle: Path, gallery_path: Path, training_folder: Path) -> None:
    picture = sorted(training_folder.rglob("*.png"))[0]
    assert cli("enroll", bundle, "a", picture, "--gallery", gallery_path).exit_code == 0
    result = cli("classify", bundle, picture, "--gallery", gallery_path, "--stride", 1)
    assert (result.exit_code, "this bundle takes pictures" in result.stderr) == (2, True)


def test_what_cannot_be_used_is_refused_and_nothing_is_enrolled(
    cli: Cli, sound_bundle: Path, tunes: Path, enrolled: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    (tmp_path / "text.wav").write_text("no sound")
    good = tunes / "tune052" / "player0-0.wav"
    for bad, says in (("silent.wav", "no usable embedding"), ("text.wav", "no WAV or FLAC file")):
        result = cli("enroll", sound_bundle, "tune052", good, tmp_path / bad, "--gallery", enrolled)
        assert result.exit_code == 1
        assert says in result.stderr
    assert "tune052" not in cli("classes", enrolled).stdout
    result = cli("classify", sound_bundle, tmp_path / "silent.wav", "--gallery", enrolled)
    assert (result.exit_code, result.stdout.strip().endswith("silent.wav: unknown")) == (0, True)


def test_the_doctor_knows_what_is_wrong_with_a_recording(sound_bundle: Path) -> None:
    good = make_sound(60, 1, 0)
    asked = [good, good * 0.01, good[1500:1700], (30 * good).clip(-1, 1), good * 1.0001, make_sound(61, 1, 1)]
    with Classifier.open(sound_bundle) as classifier:
        classifier.enroll("other", [make_sound(61, source, 0) for source in range(3)])
        diagnosis = classifier.diagnose("tune", asked)
    kinds = [{finding.kind for finding in report.findings} for report in diagnosis.examples]
    assert not kinds[0] & {"too quiet", "clipped", "too short", "near-duplicate"}
    assert "too quiet" in kinds[1]
    assert "near-duplicate" in kinds[1]  # loudness does not count
    assert "too short" in kinds[2]
    assert "clipped" in kinds[3]
    assert "near-duplicate" in kinds[4]
    assert "closer to another class" in kinds[5]
    assert "record the recordings that are short, quiet or clipped again" in diagnosis.advice
    texts = " ".join([*diagnosis.advice, *(f.text for report in diagnosis.examples for f in report.findings)])
    assert not {"picture", "window"} & set(texts.replace(",", " ").split())


def test_a_new_bundle_enrolls_the_kept_recordings_again(sound_bundle: Path, enrolled: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.gallery"
    with Gallery(enrolled) as old, Classifier.open(sound_bundle) as classifier:
        result = migrate(old, classifier, out)
        before = old.state()
    assert (result.classes, result.examples) == (2, 6)
    with Gallery(out) as new:
        assert np.array_equal(new.state().sums, before.sums)


def test_pictures_and_sounds_do_not_mix(bundle: Path, sound_bundle: Path, enrolled: Path, tmp_path: Path) -> None:
    refused = pytest.raises(FrameError, match="float32 was given, uint8")
    with Gallery(enrolled) as old, Classifier.open(bundle) as classifier, refused:
        migrate(old, classifier, tmp_path / "new.gallery")
    with Classifier.open(sound_bundle) as classifier, pytest.raises(FrameError, match=r"uint8 \[8, 8, 3\]"):
        classifier.classify(np.zeros((8, 8, 3), np.uint8))


def test_bench_verify_and_evaluate_work(cli: Cli, sound_bundle: Path, enrolled: Path, tunes: Path) -> None:
    result = cli("bench", sound_bundle, "--runs", 10, "--profile", "power")
    assert result.exit_code == 0, result.output
    assert "4000 samples" in result.stdout
    result = cli("verify", sound_bundle, "--gallery", enrolled)
    assert (result.exit_code, result.stdout.count("✓")) == (0, 9), result.output
    pattern = ["--source-pattern", SOURCE_PATTERN, "--episodes", 100, "--json"]
    ours, baseline = (
        json.loads(cli("evaluate", model, tunes, *pattern).stdout)["accuracy"] for model in (sound_bundle, "raw-sound")
    )
    assert ours > max(0.9, baseline)


@pytest.mark.parametrize("samples", [1, 2, 30, 4000, 4001, 20_000])
def test_recordings_that_cannot_be_used_are_masked_in_the_graph(sound_bundle: Path, samples: int) -> None:
    session = OrtSession(Bundle.open(sound_bundle).model("embed"))
    good = np.resize(make_sound(1, 0, 0)[100:], samples)
    bad = np.stack([good] * 5)
    bad[0, samples // 2] = np.nan
    bad[1, samples // 2] = np.inf
    bad[2] = 0
    bad[3] *= np.float32(1e12)
    bad[4] = 1e-9
    assert not session.run({"frames": bad})[0].any()
    vector = session.run({"frames": good[None]})[0]
    assert np.abs(np.linalg.norm(vector) - 1) < 1e-5
    assert (session.run({"frames": good[None] * np.float32(30)})[0] @ vector.T).item() > 0.9999
    assert session.run({"frames": np.zeros((0, samples), np.float32)})[0].shape == (0, vector.shape[1])
    assert not session.run({"frames": np.zeros((2, 0), np.float32)})[0].any()

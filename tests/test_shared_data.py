"""Handwriting, heart beats and spoken digits, where present beside the project: the commands on data not ours."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from edgefew_runtime.commands import edgefew

from examples.vehicle.commands import figures
from examples.vehicle.spoken import halves, read
from tests.conftest import ROOT, SHARED_DATA, Cli

OMNIGLOT = SHARED_DATA / "omniglot" / "images_background_small1.zip"


@pytest.mark.skipif(not OMNIGLOT.exists(), reason="no Omniglot beside the project (shared/data/omniglot)")
def test_omniglot_trains_and_evaluates_across_drawers(cli: Cli, tmp_path: Path) -> None:
    with zipfile.ZipFile(OMNIGLOT) as archive:
        archive.extractall(tmp_path)
    data, out = tmp_path / "images_background_small1", tmp_path / "omniglot.ckpt"
    drawers = ["--source-pattern", r"_(\d+)\.png$"]
    options = ["--channels", 1, "--image-size", 16, "--way", 5, "--episodes", 200, "--exclude", "Latin/*"]
    result = cli("train", data, "--out", out, *options, *drawers, "--json")
    assert result.exit_code == 0, result.output
    trained = json.loads(result.stdout)
    assert trained["classes"] + trained["validation_classes"] == 110

    def accuracy(model: object) -> float:
        result = cli(
            "evaluate", model, data, "--exclude", "[!L]*", *drawers, "--within-group", "--episodes", 400, "--json"
        )
        assert result.exit_code == 0, result.output
        return float(json.loads(result.stdout)["accuracy"])

    ours, baseline = accuracy(out), accuracy("raw-pixels")
    assert ours > baseline + 0.1


HEART_BEATS = SHARED_DATA / "ecg_mitbih12" / "ecg_mitbih12.zip"


@pytest.mark.skipif(not HEART_BEATS.exists(), reason="no heart beats beside the project (shared/data/ecg_mitbih12)")
def test_heart_beats_of_new_patients_are_told_apart(cli: Cli, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "heart_beats.py", HEART_BEATS, "--lay-out", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    out, bundle = tmp_path / "beats.ckpt", tmp_path / "beats.edgefew"
    options = ["--way", 6, "--query", 4, "--episodes", 60, "--source-pattern", r"-(q\d)-", "--device", "cpu"]
    result = cli("train", tmp_path / "training", "--out", out, *options, "--json")
    assert result.exit_code == 0, result.output
    patients = ["--source-pattern", r"^(patient\d+)"]
    result = cli("export", out, bundle, "--data", tmp_path / "test", *patients)
    assert result.exit_code == 0, result.output

    def accuracy(model: object) -> float:
        shots = ["--way", 2, "--query", 5, "--episodes", 600, "--json"]
        result = cli("evaluate", model, tmp_path / "test", *shots, *patients)
        assert result.exit_code == 0, result.output
        return float(json.loads(result.stdout)["accuracy"])

    ours, baseline = accuracy(bundle), accuracy("raw-signal")
    assert ours > baseline + 0.1


DIGITS = SHARED_DATA / "spoken_digits" / "spoken_digits.zip"


SPEAKERS = ["--source-pattern", r"^\d_([a-z]+)_"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Six takes of each digit by each speaker, and the speech embedding as a bundle that was proved on them."""
    if not DIGITS.exists():
        pytest.skip("no spoken digits beside the project (shared/data/spoken_digits)")
    for package in ("soundfile", "soxr"):
        pytest.importorskip(package, reason=f"{package} is not installed (extra audio)")
    pytest.importorskip("livekit.wakeword", reason="livekit-wakeword is not installed (extra speech)")
    place = tmp_path_factory.mktemp("digits")
    with zipfile.ZipFile(DIGITS) as archive:
        archive.extractall(place, [n for n in archive.namelist() if re.search(r"_[0-5]\.wav$", n)])
    (data,) = {file.parent.parent for file in place.rglob("*.wav")}
    bundle = place / "words.edgefew"
    words = ["export", "speech_embedding", str(bundle), "--data", str(data), *SPEAKERS]
    result = CliRunner().invoke(edgefew, words)
    assert result.exit_code == 0, result.output
    return data, bundle


def test_spoken_digits_of_new_speakers_are_told_apart(cli: Cli, digits: tuple[Path, Path]) -> None:
    data, bundle = digits

    def accuracy(model: object) -> float:
        options = ["--way", 10, "--shot", 3, "--episodes", 200, "--json"]
        result = cli("evaluate", model, data, *SPEAKERS, *options)
        assert result.exit_code == 0, result.output
        return float(json.loads(result.stdout)["accuracy"])

    ours, baseline = accuracy(bundle), accuracy("raw-sound")
    assert ours > baseline + 0.4
    assert ours > 0.88


def test_spoken_commands_are_recognised_of_others_and_other_words_are_not(
    digits: tuple[Path, Path], tmp_path: Path
) -> None:
    """The vehicle example's commands in its short form: six takes, and no projection."""
    spoken = read(digits[0], tmp_path)
    told = figures({"speech": [digits[1]] * 2}, spoken, halves(spoken, 0), 0)["bundles"]["speech"]
    assert told["nearest"]["mean"] > 0.9
    assert told["right"]["mean"] > 0.4
    assert told["driver_right"]["mean"] > 0.85
    assert told["new_word"]["mean"] < 0.2
    assert told["noise"]["mean"] < 0.02
    assert told["babble"]["mean"] < 0.1

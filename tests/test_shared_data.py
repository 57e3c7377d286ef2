"""Handwriting, heart beats and spoken digits, where present beside the project: the commands on data not ours."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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


@pytest.mark.skipif(not DIGITS.exists(), reason="no spoken digits beside the project (shared/data/spoken_digits)")
def test_spoken_digits_of_new_speakers_are_told_apart(cli: Cli, tmp_path: Path) -> None:
    for package in ("soundfile", "soxr"):
        pytest.importorskip(package, reason=f"{package} is not installed (extra audio)")
    pytest.importorskip("livekit.wakeword", reason="livekit-wakeword is not installed (extra speech)")
    with zipfile.ZipFile(DIGITS) as archive:
        archive.extractall(tmp_path, [n for n in archive.namelist() if re.search(r"_[0-5]\.wav$", n)])
    (data,) = {file.parent.parent for file in tmp_path.rglob("*.wav")}
    bundle, speakers = tmp_path / "words.edgefew", ["--source-pattern", r"^\d_([a-z]+)_"]
    result = cli("export", "speech_embedding", bundle, "--data", data, *speakers)
    assert result.exit_code == 0, result.output

    def accuracy(model: object) -> float:
        options = ["--way", 10, "--shot", 3, "--episodes", 200, "--json"]
        result = cli("evaluate", model, data, *speakers, *options)
        assert result.exit_code == 0, result.output
        return float(json.loads(result.stdout)["accuracy"])

    ours, baseline = accuracy(bundle), accuracy("raw-sound")
    assert ours > baseline + 0.4
    assert ours > 0.88

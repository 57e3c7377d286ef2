"""The service with a bundle of sounds: recordings in forms, and over the Open Inference Protocol."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.conftest import Server, start
from tests.sounds import make_folder, make_sound

pytest.importorskip("soundfile", reason="soundfile is not installed (extra audio)")


@pytest.fixture(scope="module")
def listening(sound_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start(sound_bundle, tmp_path_factory.mktemp("sound-site") / "site.gallery", "--keep-frames")
    yield running
    running.kill(signal.SIGTERM)


def test_recordings_are_enrolled_and_recognised(listening: Server, tmp_path: Path) -> None:
    tunes = make_folder(tmp_path / "tunes", range(50, 52))
    for name in ("tune050", "tune051"):
        status, told = listening.form("/api/v1/enroll", sorted((tunes / name).glob("*-0.*")), label=name)
        assert (status, told["examples"]) == (200, 3), told
    asked = (tunes / "tune051" / "player1-1.wav").read_bytes()
    status, told, _ = listening.ask("POST", "/api/v1/classify", asked, Content_Type="audio/wav")
    assert (status, told["label"]) == (200, "tune051")
    assert listening.ask("GET", "/api/v1/status")[1]["bundle"]["kind"] == "audio"


def test_samples_of_any_number_are_asked_about_by_the_protocol(listening: Server) -> None:
    frames = listening.ask("GET", "/v2/models/embed")[1]["inputs"][0]
    assert (frames["datatype"], frames["shape"]) == ("FP32", [-1, -1])
    sound = make_sound(50, 0, 3)[500:3500]
    tensor = {"name": "frames", "datatype": "FP32", "shape": [1, len(sound)], "data": sound.tolist()}
    status, told, _ = listening.ask("POST", "/v2/models/embed/infer", {"inputs": [tensor]})
    assert status == 200, told
    assert sum(value**2 for value in told["outputs"][0]["data"]) == pytest.approx(1, abs=1e-4)

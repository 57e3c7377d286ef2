"""The console with a bundle of sounds and a microphone, in a real Chromium (`make console`)."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serve.conftest import TEACHER, start
from tests.serve.test_console import MODULES
from tests.sounds import make_sound

soundfile = pytest.importorskip("soundfile", reason="soundfile is not installed (extra audio)")
MICROPHONE_RATE = 48_000


@pytest.fixture(scope="module")
def told(sound_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What heard.mjs saw, and what the server has then."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    playwright, axe = MODULES / "playwright-core" / "index.js", MODULES / "axe-core" / "axe.min.js"
    if chromium is None or shutil.which("node") is None or not playwright.exists():
        pytest.skip("the console's test needs node, playwright-core (make console) and chromium")
    folder = tmp_path_factory.mktemp("heard")
    server = start(sound_bundle, folder / "site.gallery", "--keep-frames")
    config = {
        "playwright": playwright,
        "axe": axe if axe.exists() else None,
        "chromium": chromium,
        "url": f"http://127.0.0.1:{server.port}/",
        "token": TEACHER,
        "out": folder,
        "taught": play(folder / "taught.wav", 51),
        "stranger": play(folder / "stranger.wav", 57),
    }
    (folder / "config.json").write_text(json.dumps(config, default=str))
    words = ["node", str(Path(__file__).with_name("heard.mjs")), str(folder / "config.json")]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        examples = server.ask("GET", "/api/v1/examples?label=a tune")[1]["examples"]
    finally:
        server.kill(signal.SIGTERM)
    return result | {"examples": examples}


def play(path: Path, kind: int) -> Path:
    """What the fake microphone hears again and again: a tune, and 0.4 s of faint noise."""
    noise = np.random.default_rng(kind).normal(0, 0.001, MICROPHONE_RATE * 2 // 5)
    heard = np.concatenate([4 * make_sound(kind, 1, 0, rate=MICROPHONE_RATE), noise])
    soundfile.write(path, heard.clip(-0.9, 0.9), MICROPHONE_RATE, subtype="PCM_16")
    return path


def test_examples_are_recorded_looked_at_and_saved(told: dict[str, Any]) -> None:
    assert told["problems"] == []
    assert told["said"] == "Now: make the sound."
    assert len(told["tray"]) == 4
    assert all("0.5 s, loudest" in one and "Listen" in one for one in told["tray"])
    assert len(told["examples"]) == 3
    assert all(one["source"].startswith("recording-") for one in told["examples"])


def test_a_sound_is_recognised_once_and_while_it_listens_and_a_stranger_is_unknown(told: dict[str, Any]) -> None:
    assert told["once"] == "a tune"
    assert told["listening"].startswith("a tune")
    assert told["unknown"] == "unknown"


def test_the_microphone_is_off_when_nobody_is_there(told: dict[str, Any]) -> None:
    assert told["onBetween"] == 1
    names = ("onAfterView", "trayAfterView", "onAfterTab", "onAfterOnce", "onAtTheEnd")
    assert {name: told[name] for name in names} == dict.fromkeys(names, 0)


def test_what_hinders_is_said_in_words(told: dict[str, Any]) -> None:
    assert "not allowed to use the microphone" in told["notAllowed"]
    assert "There is no microphone on this device" in told["noMicrophone"]
    assert "https" in told["notSecure"]


def test_it_fits_a_phone_and_axe_finds_nothing(told: dict[str, Any]) -> None:
    assert {name: over for name, over in told["overflow"].items() if over > 0} == {}
    if told["axe"] is None:
        pytest.skip("the accessibility test needs axe-core (make console)")
    assert {name: found for name, found in told["axe"].items() if found} == {}

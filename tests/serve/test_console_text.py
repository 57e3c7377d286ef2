"""The console with a bundle of texts, in a real Chromium (`make console`)."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.serve.conftest import TEACHER, start
from tests.serve.test_console import MODULES
from tests.texts import make_text


def test_sentences_are_typed_taught_and_recognised(text_bundle: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    playwright = MODULES / "playwright-core" / "index.js"
    if chromium is None or shutil.which("node") is None or not playwright.exists():
        pytest.skip("the console's test needs node, playwright-core (make console) and chromium")
    server = start(text_bundle, tmp_path / "site.gallery", "--keep-frames")
    taught = {f"saying {kind}": [make_text(kind, take) for take in range(3)] for kind in (50, 51)}
    config = {
        "playwright": str(playwright),
        "chromium": chromium,
        "url": f"http://127.0.0.1:{server.port}/",
        "token": TEACHER,
        "out": str(tmp_path),
        "taught": taught,
        "asked": [make_text(51, 8), make_text(57, 1)],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = ["node", str(Path(__file__).with_name("typed.mjs")), str(tmp_path / "config.json")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["problems"], told["hidden"]) == ([], [True] * 3)
    assert "saying 51" in told["answers"][0]
    assert "unknown" in told["answers"][1]
    assert [text in answer for text, answer in zip(config["asked"], told["answers"], strict=True)] == [True, True]
    classes = server.ask("GET", "/api/v1/classes")[1]["classes"]
    assert [(one["label"], one["examples"]) for one in classes] == [("saying 50", 3), ("saying 51", 3)]
    examples = server.ask("GET", "/api/v1/examples?label=saying 50")[1]["examples"]
    assert [one["source"] for one in examples] == taught["saying 50"]
    server.kill(signal.SIGTERM)

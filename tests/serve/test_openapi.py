"""The service against its own OpenAPI document, by schemathesis in an environment of its own (`make service`)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.serve.conftest import TEACHER, Server, start

SCHEMATHESIS = Path(__file__).parents[2] / "build" / "service-venv" / "bin" / "st"
LEFT_OUT = "positive_data_acceptance"
"""Whether what fits the schema is accepted: bytes that are no picture fit it too."""


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="schemathesis is not in build/service-venv: `make service`")
def test_the_service_does_what_its_document_says(bundle: Path, tmp_path: Path) -> None:
    server: Server = start(bundle, tmp_path / "site.gallery", "--keep-frames", "--max-rate", "100000")
    document = f"http://127.0.0.1:{server.port}/api/v1/openapi.json"
    options = ["--max-examples", "50", "--seed", "1", "--exclude-checks", LEFT_OUT]
    command = [str(SCHEMATHESIS), "run", document, "-H", f"Authorization: Bearer {TEACHER}", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-8000:]
    assert server.ask("GET", "/api/v1/log/verify")[1]["problems"] == []
    assert server.kill() == -9, "it had died before"

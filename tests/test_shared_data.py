"""Real handwriting, where it is present beside the project: the same commands on a folder that is not ours."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.conftest import SHARED_DATA, Cli

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

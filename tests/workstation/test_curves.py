"""The curves of a training's log."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from tests.conftest import Cli


def test_logs_become_one_picture(checkpoint: Path, tmp_path: Path, cli: Cli) -> None:
    log, out = checkpoint.with_name("figures.ckpt.log.csv"), tmp_path / "curves.png"
    other = tmp_path / "other.log.csv"
    lines = log.read_text().splitlines()
    other.write_text(
        "\n".join([lines[0], "30,pre-training,1.0,2.0,0.2,0.25,0.02", "60,meta-training,2.0,1.0,0.5,0.5,0.02"])
    )
    result = cli("curves", log, other, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"{tmp_path / 'other'}: 60 steps, at best 50.0% ± 2.0% on unseen classes, after step 60" in result.stdout
    with Image.open(out) as picture:
        colours = picture.convert("RGB").getcolors(picture.width * picture.height)
        assert colours is not None
        assert len(colours) > 10
    told = json.loads(cli("curves", log, other, "--out", out, "--json").stdout)
    assert told["best"][str(tmp_path / "other")] == 0.5


def test_what_is_no_log_is_said(tmp_path: Path, cli: Cli) -> None:
    log, out = tmp_path / "a.log.csv", tmp_path / "a.png"
    header = "episode,stage,seconds,loss,accuracy,validation_accuracy,validation_ci95\n"
    for text, says in (
        (None, "cannot be read"),
        ("a,b\n1,2\n", "is no log of `edgefew train`"),
        (header, "has no line yet"),
        (header + "1,meta-training,0.1\n", "is not whole"),
    ):
        if text is not None:
            log.write_text(text)
        result = cli("curves", log, "--out", out)
        assert (result.exit_code, says in result.stderr) == (1, True), result.stderr
    assert not out.exists()
    log.write_text(header + "1,meta-training,0.1,1,0.5,0.5,0.1\n")
    assert "cannot be written" in cli("curves", log, "--out", tmp_path / "a.wild").stderr

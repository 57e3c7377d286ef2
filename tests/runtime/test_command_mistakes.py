"""What users of the commands gave by mistake, and what they are told."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import Bundle, Example, Gallery
from PIL import Image

from tests.conftest import Cli, draw_class


@pytest.fixture
def gallery(gallery_path: Path) -> Path:
    with Gallery(gallery_path, "b" * 64, 4) as opened:
        opened.enroll("stop", [Example(np.eye(4, dtype=np.float32)[0], "a.png", "a" * 64)])
    return gallery_path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["undo", "--to", "-5"], "x>=1"),
        (["undo", "--to", "0"], "x>=1"),
        (["undo", "--to", "99"], "numbered 1 to 2"),
        (["forget", "--example", "99999999999999999999"], "9223372036854775807"),
        (["forget", "--example", "0"], "range"),
        (["backup", "."], "is a folder"),
        (["backup", "nowhere/copy.gallery"], "There is no folder"),
    ],
)
def test_a_number_or_a_path_that_cannot_be_is_told(
    cli: Cli, gallery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli(*arguments, "--gallery", gallery)
    assert result.exit_code in (1, 2)
    assert says in result.stderr
    assert cli("classes", "--gallery", gallery).stdout.startswith("stop  1 example")


@pytest.mark.parametrize("coverage", ["-3", "0", "1", "nan"])
def test_a_coverage_that_is_no_share_is_refused(
    cli: Cli, bundle: Path, unseen_folder: Path, tmp_path: Path, coverage: str
) -> None:
    image = next(iter(sorted(unseen_folder.rglob("*.png"))))
    place = ["--gallery", tmp_path / "g.gallery"]
    assert cli("enroll", bundle, "one", image, *place).exit_code == 0
    result = cli("classify", bundle, image, *place, "--coverage", coverage)
    assert result.exit_code in (1, 2)
    assert "0<x<1" in result.stderr or "cannot be promised" in result.stderr


def test_a_watch_file_that_is_none_is_one_error(cli: Cli, bundle: Path, unseen_folder: Path, tmp_path: Path) -> None:
    image = next(iter(sorted(unseen_folder.rglob("*.png"))))
    place = ["--gallery", tmp_path / "g.gallery", "--always-answer"]
    assert cli("enroll", bundle, "one", image, *place[:2]).exit_code == 0
    deep, pipe, huge = (tmp_path / name for name in ("deep.json", "pipe", "huge.json"))
    deep.write_text("[" * 100_000)
    os.mkfifo(pipe)
    with huge.open("wb") as file:
        file.truncate(5_000_000)
    for file, says in ((deep, "is no drift watch"), (pipe, "no regular file"), (huge, "5,000,000 bytes")):
        result = cli("classify", bundle, image, *place, "--watch", file)
        assert result.exit_code == 1
        assert says in result.stderr
        assert "Traceback" not in result.output


def test_a_hundred_thousand_threads_are_refused(cli: Cli, bundle: Path) -> None:
    result = cli("bench", bundle, "--runs", 1, "--threads", 100_000)
    assert result.exit_code == 1
    assert "1024 are the most" in result.stderr


def test_strangers_are_erased_alone(cli: Cli, bundle: Path, unseen_folder: Path, tmp_path: Path) -> None:
    first, second, *_ = sorted(unseen_folder.rglob("*.png"))[::6]
    place = ["--gallery", tmp_path / "g.gallery"]
    assert cli("enroll", bundle, "one", first, *place).exit_code == 0
    assert cli("calibrate", bundle, *place, "--negatives", second).exit_code == 0
    both = cli("calibrate", bundle, *place, "--negatives", second, "--erase")
    assert (both.exit_code, "Erase first" in both.stderr) == (2, True)
    assert "1 stranger erased" in cli("calibrate", bundle, *place, "--erase").stdout
    assert "(erase strangers), cannot be undone" in cli("undo", *place).stderr


def test_strict_refuses_a_dry_run_too_and_says_why_in_json(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("RGB", (32, 32), "white").save(blank)
    enroll = ["enroll", bundle, "one", blank, "--gallery", tmp_path / "g.gallery", "--strict"]
    dry = cli(*enroll, "--dry-run")
    assert (dry.exit_code, "nothing enrolled (dry run)" in dry.stdout) == (1, True)
    told = cli(*enroll, "--json")
    assert told.exit_code == 1
    document = json.loads(told.stdout)
    assert document["refused"] is True
    assert document["diagnosis"]["examples"][0]["findings"][0]["kind"] == "blank"
    assert "Nothing was enrolled" in told.stderr


def test_a_dry_run_says_what_the_real_one_would_and_changes_nothing(
    cli: Cli, bundle: Path, tmp_path: Path, gallery_path: Path
) -> None:
    pictures = [tmp_path / f"{name}.png" for name in ("one", "two", "stranger", "new")]
    for number, picture in enumerate(pictures):
        draw_class(50 + number, 0, 0).save(picture)
    first, second, stranger, new = pictures
    place = ["--gallery", gallery_path]
    enroll = ["enroll", bundle, "one", first, second, *place]
    dry, told = cli(*enroll, "--dry-run"), json.loads(cli(*enroll, "--dry-run", "--json").stdout)
    assert "one: nothing enrolled (dry run): 2 would be added, 2 in all" in dry.stdout
    assert not gallery_path.exists()
    real = json.loads(cli(*enroll, "--json").stdout)
    assert (told.pop("dry_run"), real.pop("dry_run")) == (True, False)
    assert told == real

    cli("calibrate", bundle, *place, "--negatives", stranger)
    again = cli("enroll", bundle, "one", first, *place, "--dry-run")
    assert "0 would be added, 2 in all" in again.stdout
    assert "skipped, enrolled already" in again.stdout
    for label, picture in (("one", stranger), ("two", second), (" ", first)):
        refused = ["enroll", bundle, label, new, picture, *place]
        dry, real_ = cli(*refused, "--dry-run"), cli(*refused)
        assert (dry.exit_code, dry.stderr) == (real_.exit_code, real_.stderr)
        assert dry.exit_code == 1
    secret = tmp_path / "secret"
    secret.write_text("correct horse")
    cli("lock", *place, "--passphrase-file", secret)
    locked = cli("enroll", bundle, "two", new, *place, "--dry-run")
    assert (locked.exit_code, "The gallery is locked" in locked.stderr) == (1, True)
    assert cli("enroll", bundle, "two", new, *place, "--dry-run", "--passphrase-file", secret).exit_code == 0
    with Gallery(gallery_path) as gallery:
        assert [(c.label, c.examples) for c in gallery.classes()] == [("one", 2)]
        assert [event.kind for event in gallery.log()] == ["create", "enroll", "calibrate", "lock"]


def test_nothing_is_written_into_a_bundle(cli: Cli, bundle: Path, unseen_folder: Path, tmp_path: Path) -> None:
    """One file more would make it invalid, on every device that it is copied to."""
    image, gallery = next(iter(sorted(unseen_folder.rglob("*.png")))), tmp_path / "g.gallery"
    assert cli("enroll", bundle, "one", image, "--gallery", gallery).exit_code == 0
    (tmp_path / "link").symlink_to(bundle / "embed")
    for inside in (bundle / "x", bundle / "embed" / "x", tmp_path / "link" / "x"):
        for arguments in (
            ("pack", bundle, inside),
            ("backup", inside, "--gallery", gallery),
            ("share", inside, "--gallery", gallery),
            ("state", "export", inside, "--gallery", gallery),
            ("enroll", bundle, "one", image, "--gallery", inside),
            ("merge", gallery, "--gallery", inside),
            ("classify", bundle, image, "--gallery", gallery, "--always-answer", "--watch", inside),
        ):
            result = cli(*arguments)
            assert (result.exit_code, f"is in the bundle {bundle.resolve()}" in result.stderr) == (1, True), arguments
    Bundle.open(bundle)

"""`edgefew evaluate`: a checkpoint and its bundle are asked the same and answer the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgefew.baseline import raw_pixels
from tests.conftest import SOURCE_PATTERN, Cli

OPTIONS = ["--episodes", "300", "--source-pattern", SOURCE_PATTERN, "--json"]


def test_checkpoint_and_bundle_agree(cli: Cli, checkpoint: Path, bundle: Path, unseen_folder: Path) -> None:
    result = json.loads(cli("evaluate", checkpoint, unseen_folder, *OPTIONS, "--against", bundle).stdout)
    assert result["agreement"] >= 0.999
    assert result["against"] == str(bundle)
    alone = json.loads(cli("evaluate", bundle, unseen_folder, *OPTIONS).stdout)
    assert alone["accuracy"] == pytest.approx(result["accuracy"], abs=0.002)
    assert {"accuracy", "ci95", "episodes", "seconds", "way", "shot", "seed"} <= set(alone)


def test_the_seed_decides_the_episodes(cli: Cli, checkpoint: Path, unseen_folder: Path) -> None:
    accuracies = [
        json.loads(cli("evaluate", checkpoint, unseen_folder, *OPTIONS, "--seed", seed).stdout)["accuracy"]
        for seed in (0, 0, 1)
    ]
    assert accuracies[0] == accuracies[1] != accuracies[2]


def test_the_interval_shrinks_with_episodes(cli: Cli, unseen_folder: Path) -> None:
    few, many = (
        json.loads(cli("evaluate", "raw-pixels", unseen_folder, "--episodes", n, "--json").stdout)["ci95"]
        for n in (100, 1600)
    )
    assert few / many == pytest.approx(4, rel=0.3)


def test_people_read_the_interval(cli: Cli, unseen_folder: Path) -> None:
    output = cli("evaluate", "raw-pixels", unseen_folder, "--episodes", 50).stdout
    assert output.startswith("5-way 1-shot: ")
    assert "(95 % interval), 50 episodes, seed 0" in output
    assert "no interval from one episode" in cli("evaluate", "raw-pixels", unseen_folder, "--episodes", 1).stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--way", "11"], "need 11 classes"),
        (["--shot", "6"], "6 support"),
        (["--source-pattern", "("], "not a regular expression"),
        (["--exclude", "*"], "holds no images"),
        (["--exclude", "nothing*"], "matches no class"),
        (["--against", "nowhere"], "There is no bundle nowhere"),
    ],
)
def test_mistakes_are_said(cli: Cli, checkpoint: Path, unseen_folder: Path, options: list[str], says: str) -> None:
    result = cli("evaluate", checkpoint, unseen_folder, *options)
    assert result.exit_code == 1
    assert says in result.stderr


def test_raw_pixels_are_unit_vectors() -> None:
    frames = [np.zeros((40, 30, 3), np.uint8), np.full((9, 9, 3), 200, np.uint8)]
    embeddings = raw_pixels(frames)
    assert embeddings.shape == (2, 784)
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_no_readable_image_at_all_is_said(cli: Cli, tmp_path: Path) -> None:
    for kind in range(6):
        (tmp_path / f"c{kind}").mkdir()
        for take in range(2):
            (tmp_path / f"c{kind}" / f"{take}.png").write_text("no image")
    result = cli("evaluate", "raw-pixels", tmp_path, "--skip-bad")
    assert result.exit_code == 1
    assert "None of the 12 images" in result.stderr
    result = cli("evaluate", "raw-pixels", tmp_path)
    assert "0.png is not an image" in result.stderr
    assert "Use --skip-bad" in result.stderr


def test_strangers_are_asked_about_in_the_same_episodes(unseen_folder: Path, cli: Cli) -> None:
    options = ["--way", 3, "--episodes", 30, "--json"]
    plain = json.loads(cli("evaluate", "raw-pixels", unseen_folder, *options).stdout)
    asked = json.loads(cli("evaluate", "raw-pixels", unseen_folder, *options, "--strangers", 2).stdout)
    measured = asked.pop("open_set")
    assert {**plain, "seconds": 0} == {**asked, "seconds": 0}
    assert measured["strangers"] == 2
    assert 0.5 < measured["auroc"]["mean"] < 1
    told = cli("evaluate", "raw-pixels", unseen_folder, *options[:-1], "--strangers", 2).stdout
    assert f"AUROC {measured['auroc']['mean']:.3f}" in told
    too_many = cli("evaluate", "raw-pixels", unseen_folder, "--way", 3, "--strangers", 500)
    assert "503 classes" in too_many.stderr
    assert cli("evaluate", "raw-pixels", unseen_folder, "--strangers", 1, "--episodes", 1).exit_code == 2


def test_unlabelled_frames_are_compared_with_the_support_alone(unseen_folder: Path, cli: Cli) -> None:
    options = ["--way", 3, "--episodes", 30, "--unlabelled", 2, "--distractors", 2]
    told = json.loads(cli("evaluate", "raw-pixels", unseen_folder, *options, "--json").stdout)
    assert (told["unlabelled"], told["distractors"]) == (2, 2)
    assert (told["without"]["way"], told["refined"]["query"], told["refined"]["episodes"]) == (3, 1, 30)
    assert told["gain"] == pytest.approx(told["refined"]["accuracy"] - told["without"]["accuracy"])
    assert f"gain {told['gain']:+.1%}" in cli("evaluate", "raw-pixels", unseen_folder, *options).stdout
    for wrong in (["--distractors", 2], ["--unlabelled", 1, "--strangers", 1]):
        assert cli("evaluate", "raw-pixels", unseen_folder, *wrong).exit_code == 2

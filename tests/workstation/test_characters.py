"""Characters of invented alphabets: repeatable, black on white, alike by another hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgefew_export.episodes import EpisodeSampler
from edgefew_export.evaluation import embed_folder, evaluate
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_runtime import DataError
from edgefew_runtime.frames import load_frame

from edgefew.baseline import raw_pixels
from edgefew.data.characters import SOURCE_PATTERN, Stroke, render
from tests.conftest import Cli


def test_an_alphabet_is_a_group_and_a_hand_a_source(tmp_path: Path, cli: Cli) -> None:
    options = ["--alphabets", 3, "--characters", 7, "--hands", 4, "--image-size", 32, "--json"]
    told = json.loads(cli("data", "characters", tmp_path / "drawn", *options).stdout)
    folder = read_labelled_folder(tmp_path / "drawn", SOURCE_PATTERN)
    assert (told["classes"], told["images"], told["alphabets"]) == (len(folder.classes), len(folder), 3) == (21, 84, 3)
    assert np.bincount(folder.groups).tolist() == [7, 7, 7]
    assert folder.sources is not None
    assert np.bincount(folder.sources).tolist() == [21] * 4


def test_drawings_are_black_lines_on_white(tmp_path: Path) -> None:
    render(tmp_path / "a", alphabets=2, characters=10, hands=2, image_size=48)
    ink = [(255 - load_frame(file).values[:, :, 0].astype(float)) / 255 for file in (tmp_path / "a").rglob("*.png")]
    shares = [drawing.mean() for drawing in ink]
    assert min(drawing.max() for drawing in ink) > 0.8
    assert min(shares) > 0.005
    assert max(shares) < 0.35


def test_they_are_the_same_again_and_others_with_another_seed(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        render(tmp_path / name, alphabets=1, characters=3, hands=2, image_size=32, seed=seed)
    one, again, other = (
        {f.relative_to(tmp_path / name).as_posix(): f.read_bytes() for f in (tmp_path / name).rglob("*.png")}
        for name in ("one", "again", "other")
    )
    assert one == again
    assert not set(one.values()) & set(other.values())


def test_a_character_is_known_again_by_another_hand_more_than_by_chance(tmp_path: Path) -> None:
    render(tmp_path / "a", alphabets=4, characters=10, hands=4, image_size=28)
    folder = read_labelled_folder(tmp_path / "a", SOURCE_PATTERN)
    (embeddings,), _ = embed_folder(folder, [raw_pixels])
    sampler = EpisodeSampler(folder.labels, sources=folder.sources, way=10, shot=1, query=1, seed=0)
    accuracy = evaluate(embeddings, sampler, 200).accuracy
    assert 0.25 < accuracy < 0.95  # by raw pixels: neither hopeless nor given away


def test_a_line_passes_through_its_controls() -> None:
    controls = np.random.default_rng(0).normal(size=(6, 2))
    for smooth in (True, False):
        points = Stroke(controls, smooth).points()
        assert np.allclose(points[::8], controls)
    straight = Stroke(np.stack([np.arange(6.0), np.zeros(6)], axis=1), smooth=True).points()
    assert np.allclose(straight[8:33], np.stack([np.linspace(1, 4, 25), np.zeros(25)], axis=1))


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(DataError, match="not an empty folder"):
        render(tmp_path)

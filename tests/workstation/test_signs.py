"""Photographs of invented signs: repeatable, grouped by plate, told apart by what is on the plate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_runtime import DataError
from edgefew_runtime.frames import load_frame
from PIL import Image

from edgefew.data.photograph import photograph
from edgefew.data.signs import SIGNS_PER_PLATE, render
from tests.conftest import Cli, draw_folder


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drawings")
    draw_folder(out, range(SIGNS_PER_PLATE + 2))
    return out


def test_signs_of_a_plate_are_a_group(drawings: Path, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "signs"
    options = ["--signs", 20, "--photographs", 3, "--image-size", 32, "--json"]
    told = json.loads(cli("data", "signs", drawings, out, *options).stdout)
    folder = read_labelled_folder(out)
    assert (told["classes"], told["images"], told["plates"]) == (len(folder.classes), len(folder), 2) == (20, 60, 2)
    assert np.bincount(folder.groups).tolist() == [SIGNS_PER_PLATE, 20 - SIGNS_PER_PLATE]
    assert {load_frame(out / file).values.shape for file in folder.files} == {(32, 32, 3)}


def test_they_are_the_same_again_and_others_with_another_seed(drawings: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        render(drawings, tmp_path / name, signs=3, photographs=2, image_size=32, seed=seed)
    one, again, other = (
        {f.relative_to(tmp_path / name).as_posix(): f.read_bytes() for f in (tmp_path / name).rglob("*.jpg")}
        for name in ("one", "again", "other")
    )
    assert one == again
    assert not set(one.values()) & set(other.values())
    assert len(set(one.values())) == 6


def test_a_photograph_shows_its_sign() -> None:
    signs = [Image.new("RGBA", (64, 64), colour) for colour in ((190, 28, 36, 255), (20, 72, 160, 255))]
    red_over_blue = []
    for sign in signs:
        middles = [
            np.asarray(photograph(sign, 48, np.random.default_rng(i)), float)[20:28, 20:28].mean(axis=(0, 1))
            for i in range(30)
        ]
        red_over_blue.append(np.mean([middle[0] > middle[2] for middle in middles]))
    assert red_over_blue[0] > 0.9
    assert red_over_blue[1] < 0.1


def test_a_folder_in_use_and_too_few_drawings_are_refused(drawings: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("keep me")
    with pytest.raises(DataError, match="not an empty folder"):
        render(drawings, tmp_path / "used")
    draw_folder(tmp_path / "few", range(3))
    with pytest.raises(DataError, match="drawings of 3 classes; a plate takes 12"):
        render(tmp_path / "few", tmp_path / "out")
    assert not (tmp_path / "out").exists()

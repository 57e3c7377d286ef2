"""The built-in data: deterministic, split by concept, one source a design family."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgefew_export.labelled_folder import read_labelled_folder
from PIL import Image

from edgefew.data.pictograms import FAMILIES, SOURCE_PATTERN, concept_of, is_test_concept
from tests.conftest import Cli


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edgefew.data.pictograms import render

    out = tmp_path_factory.mktemp("pictograms") / "test"
    render(out, "test", min_families=4, image_size=32)
    return out


def test_a_class_is_a_concept_drawn_by_several_families(drawn: Path) -> None:
    folder = read_labelled_folder(drawn, SOURCE_PATTERN)
    assert folder.sources is not None
    assert len(folder.classes) >= 15
    for label in range(len(folder.classes)):
        assert len(set(folder.sources[folder.labels == label])) >= 4
    assert all(is_test_concept(concept) for concept in folder.classes)


def test_drawings_are_black_on_white_and_fill_the_frame(drawn: Path) -> None:
    for file in sorted(drawn.rglob("*.png"))[::7]:
        ink = 255 - np.asarray(Image.open(file)).astype(int)
        assert ink.shape == (32, 32)
        assert not ink[[0, -1]].any()
        assert ink.max() > 60
        across = np.flatnonzero(ink.any(axis=0))
        down = np.flatnonzero(ink.any(axis=1))
        assert 24 <= max(np.ptp(across), np.ptp(down)) + 1 <= 28


def test_it_is_drawn_the_same_again(drawn: Path, tmp_path: Path, cli: Cli) -> None:
    options = ["--part", "test", "--min-families", "4", "--image-size", "32", "--json"]
    result = json.loads(cli("data", "pictograms", tmp_path / "again", *options).stdout)
    files = {f.relative_to(drawn): f.read_bytes() for f in drawn.rglob("*.png")}
    assert {f.relative_to(tmp_path / "again"): f.read_bytes() for f in (tmp_path / "again").rglob("*.png")} == files
    assert result["images"] == len(files)


def test_no_drawing_is_there_twice_in_a_family(drawn: Path) -> None:
    seen = set()
    for file in drawn.rglob("*.png"):
        key = (file.name.split(".")[0], file.read_bytes())
        assert key not in seen, file
        seen.add(key)


def test_every_font_has_its_licence_noted(drawn: Path) -> None:
    note = (drawn / "LICENCES.md").read_text()
    for family in FAMILIES:
        assert family.name in note
        assert family.licence in note


def test_concepts_with_the_same_first_word_stay_together() -> None:
    assert is_test_concept("arrow-left") == is_test_concept("arrow-up-bold-circle")
    assert concept_of("bell-outline") == concept_of("bell-fill") == concept_of("bell") == "bell"


def test_a_folder_in_use_is_left_alone(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "mine.txt").write_text("dear")
    result = cli("data", "pictograms", tmp_path)
    assert result.exit_code == 1
    assert "is not an empty folder" in result.stderr
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]

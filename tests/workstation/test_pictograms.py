"""The built-in data: deterministic, split by concept, one source a design family."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from edgefew_export.labelled_folder import read_labelled_folder
from PIL import Image, ImageDraw

from edgefew.data.pictograms import (
    FAMILIES,
    MORE_FAMILIES,
    SOURCE_PATTERN,
    concept_of,
    is_test_concept,
    known_by_other_names,
)
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


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edgefew.data.pictograms import render

    out = tmp_path_factory.mktemp("pictograms") / "train"
    render(out, "train", min_families=4, image_size=32, more_families=True)
    return out


def test_more_families_draw_more_concepts_and_none_of_the_test(drawn: Path, more: Path) -> None:
    folder = read_labelled_folder(more, SOURCE_PATTERN)
    assert len(folder.classes) > 150
    families = {file.name.split(".")[0] for file in more.rglob("*.png")}
    assert families == {family.name for family in FAMILIES + MORE_FAMILIES}
    assert not any(is_test_concept(concept) for concept in folder.classes)
    tested = {file.parent.name for file in drawn.rglob("*.png")}
    assert "heart" in tested
    assert "favorite" not in folder.classes
    assert not {frozenset(c.split("-")) for c in folder.classes} & {frozenset(c.split("-")) for c in tested}
    note = (more / "LICENCES.md").read_text()
    assert all(f"| `{f.name}.*.png` | {f.credit} | {f.licence} |" in note for f in FAMILIES + MORE_FAMILIES)


def test_a_concept_by_another_name_is_known_by_its_words_or_its_drawings() -> None:
    def picture(*box: int) -> Image.Image:
        image = Image.new("L", (32, 32), 255)
        ImageDraw.Draw(image).rectangle(box, fill=0)
        return image

    asked = {"pie-chart": [("a", picture(4, 4, 27, 27))], "heart": [("b", picture(4, 20, 27, 27))]}
    others = {
        "chart-pie": [("c", picture(4, 4, 8, 27))],
        "favorite": [("d", picture(20, 4, 27, 27)), ("e", picture(4, 20, 27, 26))],
        "camera": [("f", picture(10, 4, 14, 27))],
        "pie": [("g", picture(16, 4, 20, 16))],
    }
    assert known_by_other_names(others, asked) == {"chart-pie", "favorite"}


def test_more_families_are_not_to_be_tested_on(tmp_path: Path, cli: Cli) -> None:
    result = cli("data", "pictograms", tmp_path / "new", "--part", "test", "--more-families")
    assert result.exit_code == 1
    assert "--more-families was given with --part test" in result.stderr
    assert not (tmp_path / "new").exists()


def test_fonts_that_are_not_installed_are_told_by_their_package(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = metadata.files

    def without(package: str) -> object:
        if package.startswith("tkinter-icons"):
            raise metadata.PackageNotFoundError(package)
        return files(package)

    monkeypatch.setattr(metadata, "files", without)
    result = cli("data", "pictograms", tmp_path / "new", "--part", "train", "--more-families")
    assert result.exit_code == 1
    assert "come with the package tkinter-icons-bs" in result.stderr
    assert "pip install 'edgefew[pictograms]'" in result.stderr
    assert not (tmp_path / "new").exists()

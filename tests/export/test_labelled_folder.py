"""Labelled folders: classes, groups, sources, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edgefew_export.labelled_folder import read_frames, read_labelled_folder, read_labelled_folders
from edgefew_runtime import DataError, FrameError
from PIL import Image


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    for alphabet, characters in (("Greek", 2), ("Latin", 1)):
        for character in range(characters):
            folder = tmp_path / "data" / alphabet / f"character{character:02}"
            folder.mkdir(parents=True)
            for drawer, suffix in ((1, ".png"), (2, ".JPG"), (3, ".webp"), (4, ".bmp")):
                Image.new("L", (5, 4), 10 * drawer).save(folder / f"0{character}_{drawer}{suffix}")
    (tmp_path / "data" / "LICENCE.txt").write_text("free")
    return tmp_path / "data"


def test_classes_groups_and_sources(nested: Path) -> None:
    folder = read_labelled_folder(nested, r"_(\d+)")
    assert folder.classes == ("Greek/character00", "Greek/character01", "Latin/character00")
    assert folder.groups.tolist() == [0, 0, 1]
    assert len(folder) == 12
    assert folder.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert folder.sources is not None
    assert folder.sources.tolist() == [0, 1, 2, 3] * 3
    assert all(pixels.shape == (4, 5, 3) for _, pixels in read_frames(folder))


def test_several_folders_are_one(nested: Path, tmp_path: Path) -> None:
    extra = tmp_path / "more" / "invented"
    for character in range(2):
        (extra / f"c{character}").mkdir(parents=True)
        for hand in (1, 2):
            Image.new("L", (5, 4), 100 + hand).save(extra / f"c{character}" / f"0_{hand}.png")
    pattern = r"_(\d+)"
    folder = read_labelled_folders([nested / "Greek", extra], pattern)
    greek = "Greek/character00", "Greek/character01"
    assert folder.root == tmp_path.resolve()
    assert folder.classes == (*greek, "invented/c0", "invented/c1")
    assert folder.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 2 + [3] * 2
    assert (folder.groups.tolist(), folder.roots.tolist()) == ([0, 0, 1, 1], [0, 0, 1, 1])
    assert folder.sources is not None
    assert folder.sources.tolist() == [0, 1, 2, 3] * 2 + [4, 5] * 2  # the first hand here is none of those there
    assert [int(pixels[0, 0, 0]) for _, pixels in read_frames(folder)][8:] == [101, 102] * 2
    alone = read_labelled_folders([nested], pattern)
    assert alone.classes == read_labelled_folder(nested, pattern).classes
    assert alone.roots.tolist() == [0, 0, 0]
    left = read_labelled_folders([nested / "Greek", extra], pattern, ["*/c0", "Greek/*00"])
    assert left.classes == (greek[1], "invented/c1")
    assert (left.groups.tolist(), left.roots.tolist()) == ([0, 1], [0, 1])
    (tmp_path / "other").mkdir()
    extra.rename(tmp_path / "other" / "Greek")
    both = read_labelled_folders([nested / "Greek", tmp_path / "other" / "Greek"])
    assert both.classes[1:3] == ("data/Greek/character01", "other/Greek/c0")


def test_folders_that_are_not_one_are_refused(nested: Path, tmp_path: Path) -> None:
    for twice in ([nested, nested], [nested, nested / "Greek"], [nested / "Latin", nested / "Latin" / ".." / "Latin"]):
        with pytest.raises(DataError, match="Give each folder once"):
            read_labelled_folders(twice)
    (tmp_path / "waves" / "one").mkdir(parents=True)
    np.save(tmp_path / "waves" / "one" / "a.npy", np.zeros(300, np.float32))
    with pytest.raises(DataError, match="signals and"):
        read_labelled_folders([nested, tmp_path / "waves"])
    with pytest.raises(DataError, match="begins with its folder's"):
        read_labelled_folders([nested / "Greek", nested / "Latin"], exclude=["character0?"])


def test_classes_can_be_left_out_and_selected(nested: Path) -> None:
    assert read_labelled_folder(nested, exclude=["Greek/*"]).classes == ("Latin/character00",)
    part, kept = read_labelled_folder(nested).select_classes(np.array([2, 0]))
    assert part.classes == ("Greek/character00", "Latin/character00")
    assert part.labels.tolist() == [0] * 4 + [1] * 4
    assert kept.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]


def test_the_content_hash_follows_names_and_bytes(nested: Path) -> None:
    before = read_labelled_folder(nested).content_sha256()
    assert read_labelled_folder(nested).content_sha256() == before
    changed = nested / "Latin/character00/00_1.png"
    Image.new("L", (5, 4), 99).save(changed)
    assert read_labelled_folder(nested).content_sha256() != before


@pytest.mark.parametrize("pattern", [r"^smear\d+", r"_(\d\d)\."])
def test_a_pattern_that_misses_a_file_is_refused_with_the_name(nested: Path, pattern: str) -> None:
    with pytest.raises(DataError, match=r"matches nothing in '00_1.png'"):
        read_labelled_folder(nested, pattern)


def test_a_pattern_that_is_none_is_refused(nested: Path) -> None:
    with pytest.raises(DataError, match="not a regular expression"):
        read_labelled_folder(nested, "(")


def test_folders_without_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_labelled_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no images"):
        read_labelled_folder(tmp_path)
    Image.new("L", (4, 4)).save(tmp_path / "loose.png")
    with pytest.raises(DataError, match=r"loose\.png lies in no class folder"):
        read_labelled_folder(tmp_path)


def test_unreadable_files_stop_with_their_path_or_are_counted(nested: Path) -> None:
    bad = nested / "Latin/character00/00_9.png"
    bad.write_text("no image")
    folder = read_labelled_folder(nested)
    with pytest.raises(FrameError, match=r"00_9\.png is not an image"):
        list(read_frames(folder))
    errors: list[FrameError] = []
    assert len(list(read_frames(folder, errors.append))) == 12
    assert len(errors) == 1


def test_a_pattern_that_excludes_nothing_is_refused(nested: Path) -> None:
    with pytest.raises(DataError, match=r"'greek/\*' matches no class"):
        read_labelled_folder(nested, exclude=["greek/*"])


def test_images_beside_class_folders_are_refused(nested: Path) -> None:
    Image.new("L", (4, 4)).save(nested / "Greek" / "loose.png")
    with pytest.raises(DataError, match="Greek holds images and class folders"):
        read_labelled_folder(nested)


def test_links_to_folders_are_followed_and_hidden_names_are_not(nested: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("L", (4, 4)).save(outside / "a.png")
    (nested / "Linked").symlink_to(outside)
    (nested / "loop").symlink_to(nested)
    hidden = nested / "Latin/.thumbnails"
    hidden.mkdir()
    for path in (hidden / "a.png", nested / "Latin/character00/._00_1.png"):
        Image.new("L", (4, 4)).save(path)
    folder = read_labelled_folder(nested)
    assert folder.classes == ("Greek/character00", "Greek/character01", "Latin/character00", "Linked")
    assert len(folder) == 13

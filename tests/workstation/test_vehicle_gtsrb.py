"""The vehicle example reads a folder of GTSRB's shape; a made one, as the real one is not ours to carry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_runtime import DataError
from PIL import Image

from examples.vehicle.gtsrb import convert

HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"


def make(root: Path, box: str = "2;3;11;14") -> Path:
    """Two classes, two tracks of each, three frames of each track; the sign is red within the box, the rest blue."""
    for number in (0, 14):
        folder = root / "Final_Training" / "Images" / f"{number:05}"
        folder.mkdir(parents=True)
        names = [f"{track:05}_{frame:05}.ppm" for track in range(2) for frame in range(3)]
        for name in names:
            pixels = np.full((20, 16, 3), (0, 0, 255), np.uint8)
            pixels[3:15, 2:12] = (255, 0, 0)
            Image.fromarray(pixels).save(folder / name)
        lines = [HEADER, *(f"{name};16;20;{box};{number}" for name in names)]
        (folder / f"GT-{number:05}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def test_the_boxes_of_every_track_come_out(tmp_path: Path) -> None:
    told = convert(make(tmp_path / "GTSRB"), tmp_path / "signs")
    assert told == {"classes": 2, "tracks": 4, "images": 12}
    folder = read_labelled_folder(tmp_path / "signs", source_pattern=r"^(\d+)_")
    assert folder.classes == ("00000", "00014")
    assert len(set(zip(folder.labels.tolist(), folder.sources.tolist(), strict=True))) == 4
    for file in folder.files:
        pixels = np.asarray(Image.open(tmp_path / "signs" / file))
        assert pixels.shape == (12, 10, 3)
        assert (pixels == (255, 0, 0)).all()


@pytest.mark.parametrize("box", ["2;3;16;14", "-1;3;11;14", "9;3;2;14"])
def test_a_box_outside_its_picture_is_refused(tmp_path: Path, box: str) -> None:
    with pytest.raises(DataError, match="is not within 16 × 20 pixels"):
        convert(make(tmp_path / "GTSRB", box), tmp_path / "signs")


def test_a_box_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not four integers"):
        convert(make(tmp_path / "GTSRB", "2;3;wide;14"), tmp_path / "signs")


def test_a_file_name_leads_nowhere_else(tmp_path: Path) -> None:
    folder = make(tmp_path / "GTSRB")
    table = next(folder.rglob("GT-00014.csv"))
    table.write_text(f"{HEADER}\n../00000/00000_00000.ppm;16;20;2;3;11;14;14\n", encoding="utf-8")
    with pytest.raises(DataError, match="expected TRACK_FRAME"):
        convert(folder, tmp_path / "signs")


def test_other_folders_are_told_from_it(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no GT-\*\.csv"):
        convert(tmp_path / "empty", tmp_path / "signs")
    table = tmp_path / "empty" / "GT-00000.csv"
    table.write_text("Filename;Width\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no column Roi\.X1"):
        convert(tmp_path / "empty", tmp_path / "signs")


def test_what_is_there_is_not_mixed_with_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not an empty folder"):
        convert(make(tmp_path / "GTSRB"), tmp_path / "GTSRB")


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "GTSRB")
    next(folder.rglob("00001_00002.ppm")).write_bytes(b"P6 nothing")
    with pytest.raises(DataError, match=r"00001_00002\.ppm cannot be read"):
        convert(folder, tmp_path / "signs")

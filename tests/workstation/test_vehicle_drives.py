"""The vehicle example's drives: repeatable, a track one source, signs that grow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edgefew_export.labelled_folder import read_labelled_folder
from PIL import Image

from examples.vehicle.drives import NEAR, SHARING, WEATHERS, drive, invent, save
from tests.conftest import draw_folder

PLATE = Image.new("RGBA", (64, 64), (190, 28, 36, 255))


def test_signs_are_of_different_concepts_and_some_share_a_plate(tmp_path: Path) -> None:
    folder = read_labelled_folder(draw_folder(tmp_path / "drawings", range(8)))
    signs = invent(folder, 2 * SHARING, seed=0)
    assert len(signs) == 2 * SHARING
    outlines = [np.asarray(sign)[:, :, 3] > 128 for sign in signs.values()]
    assert all(np.array_equal(outlines[0], outline) for outline in outlines[:SHARING])
    assert len({np.asarray(sign).tobytes() for sign in signs.values()}) == 2 * SHARING


def test_a_drive_is_the_same_again_and_tracks_differ() -> None:
    one, again = (drive("stop", PLATE, 3, seed=0) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one.frames, again.frames, strict=True))
    other = drive("stop", PLATE, 4, seed=0)
    assert not any(np.array_equal(a, b) for a in one.frames for b in other.frames)


@pytest.mark.parametrize("number", range(12))
def test_the_sign_comes_nearer(number: int) -> None:
    track = drive("stop", PLATE, number, seed=1)
    sides = [len(frame) for frame in track.frames]
    assert track.weather in WEATHERS
    assert np.corrcoef(sides, range(len(sides)))[0, 1] > 0.8
    assert NEAR <= sides[-1] <= 1.5 * NEAR
    assert all(frame.dtype == np.uint8 and frame.shape == (len(frame), len(frame), 3) for frame in track.frames)


def test_the_sign_is_in_the_middle() -> None:
    nearest = [drive("stop", PLATE, number, seed=2).frames[-1].astype(float) for number in range(20)]
    middles = [frame[len(frame) // 3 : -len(frame) // 3].mean(axis=(0, 1)) for frame in nearest]
    assert np.mean([middle[0] > middle[2] + 10 for middle in middles]) > 0.9


def test_saved_frames_tell_their_track(tmp_path: Path) -> None:
    save([drive("stop", PLATE, number, seed=0, frames=2) for number in (1, 2)], tmp_path)
    folder = read_labelled_folder(tmp_path, source_pattern=r"^(\d+)_")
    assert (folder.classes, len(folder), len(set(folder.sources.tolist()))) == (("stop",), 4, 2)

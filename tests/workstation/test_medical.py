"""The bedside example on made beats: what is enrolled comes before what is asked, and the baselines do their work."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime.labelled_folder import read_labelled_folder

from examples.medical import laboratory, picture
from examples.medical.bedside import SHOTS, WINDOW, figures, moved, nearest_mean, patient, rocket
from tests.conftest import draw_folder

WIDTH = {True: 18.0, False: 4.0}


def beat(pvc: bool, rng: np.random.Generator) -> np.ndarray:
    """A wave of one Gaussian, wide for a PVC (after McSharry et al. 2003)."""
    time = np.arange(WINDOW)
    return np.exp(-((time - 96 - rng.integers(-3, 4)) ** 2) / (2 * WIDTH[pvc] ** 2)) + rng.normal(0, 0.02, WINDOW)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    rng, rows = np.random.default_rng(0), []
    for number in range(60):
        values = ",".join(map(str, beat(number % 3 == 0, rng)))
        rows.append(f"{300 * (number + 1)},{int(number % 3 == 0)},{values}")
    header = "r_sample,is_pvc," + ",".join(f"v{i}" for i in range(WINDOW))
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as made:
        made.writestr("made/7.csv", "\n".join([header, *reversed(rows)]))
    return tmp_path / "made.zip"


def test_asked_is_only_what_comes_after_all_that_is_enrolled(archive: Path) -> None:
    pvc, other, asked, is_pvc = patient(archive, "7")
    assert (len(pvc), len(other)) == (SHOTS, SHOTS)
    assert (len(asked), int(is_pvc.sum())) == (60 - 13, 15)  # the fifth PVC is the thirteenth beat
    assert not any((asked == window).all(axis=1).any() for window in [*pvc, *other])


def test_the_baselines_tell_wide_beats_from_narrow_ones(archive: Path) -> None:
    pvc, other, asked, is_pvc = patient(archive, "7")
    for answer in (nearest_mean(pvc, other), rocket(pvc, other, np.random.default_rng(0))):
        told = figures(answer(asked), is_pvc)
        assert told["sensitivity"]["right"] == told["sensitivity"]["of"] == 15
        assert told["specificity"]["right"] == told["specificity"]["of"] == 32
    changed = moved(asked, np.random.default_rng(0))
    assert np.array_equal(nearest_mean(pvc, other)(changed["half the amplitude"]), is_pvc)


def test_in_the_laboratory_support_and_queries_are_of_different_smears(bundle: Path, tmp_path: Path) -> None:
    folder = read_labelled_folder(draw_folder(tmp_path / "cells", range(50, 62), sources=6, takes=3), r"^(\w+)-")
    asked, fit, prove = laboratory.parts(folder)
    assert (len(asked), len(fit), len(prove)) == (6, 4, 2)
    assert not set(asked) & {*fit, *prove}
    cells = laboratory.split(folder, asked, np.random.default_rng(1))
    sources = [
        {file.name.split("-")[0] for files in pair for file in files} for pair in zip(*cells.values(), strict=True)
    ]
    assert not sources[0] & sources[1]
    probabilities, right = laboratory.answered(bundle, cells)
    assert len(probabilities) == sum(len(queries) for _, queries in cells.values())
    whole, *_, surest = laboratory.at_shares(probabilities, right)
    assert (whole, surest >= whole) == (np.mean(right), True)
    assert laboratory.at_shares([0.9, 0.1, 0.8, 0.2, 0.5], [True, False, True, False, False])[-3:] == [2 / 3, 1.0, 1.0]


def test_the_committed_figures_make_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = Path(picture.__file__).parents[2] / "docs" / "benchmarks"
    picture.main(figures, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert "elliptocyte" in capsys.readouterr().out

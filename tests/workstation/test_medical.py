"""The medical example on made data: what is enrolled comes before what is asked, and what is made is said to be."""

from __future__ import annotations

import json
import runpy
import zipfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from edgefew_runtime.labelled_folder import read_labelled_folder
from PIL import Image

from examples.medical import bedside, laboratory, made, picture
from examples.medical.bedside import SHOTS, WINDOW, figures, moved, nearest_mean, patient, rocket
from examples.medical.record import NURSE, PHYSICIAN, kept, watched
from examples.medical.tables import bedside_table, laboratory_table
from tests.conftest import ROOT, draw_folder
from tests.signals import make_signal

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


@pytest.fixture(scope="module")
def made_beats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("made") / "made.zip"
    made.beats(file, seed=0)
    return file


@pytest.mark.parametrize("name", made.PATIENTS[:6])
def test_made_patients_can_be_asked_about(made_beats: Path, name: str) -> None:
    pvc, other, asked, is_pvc = patient(made_beats, name, 15)
    assert (len(pvc), len(other)) == (15, 15)
    assert min(is_pvc.sum(), (~is_pvc).sum()) > 10
    told = figures(nearest_mean(pvc, other)(asked), is_pvc)
    assert all(side["right"] > 0.8 * side["of"] for side in told.values())


def test_kinds_of_made_beats_differ_and_the_seed_decides_them(made_beats: Path, tmp_path: Path) -> None:
    made.beats(tmp_path / "again.zip", seed=0)
    first, again = (zipfile.ZipFile(file).read("made/made04.csv") for file in (made_beats, tmp_path / "again.zip"))
    assert first == again
    assert {line.rsplit(",", 1)[1] for line in first.decode().splitlines()[1:]} == set(made.KINDS) - {"normal"}
    heart = made.Patient(np.random.default_rng(1), blocked=False)
    means = {kind: np.mean([heart.beat(kind) for _ in range(30)], axis=0) for kind in made.KINDS}
    assert np.ptp(means["normal"]) > 0.3
    apart = [np.abs(means[a] - means[b]).max() for a in means for b in means if a < b]
    assert min(apart) > 0.04


def test_made_cells_share_the_look_of_their_smear(tmp_path: Path) -> None:
    made.cells(tmp_path / "cells", seed=0, smears=3, each=2)
    folder = read_labelled_folder(tmp_path / "cells", laboratory.SOURCE)
    assert folder.classes == tuple(sorted(made.TYPES)) and len(folder) == 12 * 3 * 2

    assert [len(part) for part in laboratory.parts(folder)] == [6, 4, 2]

    def corner(kind: str, name: str) -> Any:
        return np.asarray(Image.open(tmp_path / "cells" / kind / name), float)[:6, :6].mean(axis=(0, 1))

    same = np.abs(corner("target", "smear00_0.png") - corner("burr cell", "smear00_1.png")).max()
    other = np.abs(corner("target", "smear00_0.png") - corner("target", "smear01_0.png")).max()
    assert same < 6 < other


def test_a_watch_cries_after_a_fall_and_not_before() -> None:
    rng = np.random.default_rng(0)
    usual = rng.normal(0.9, 0.02, 90).tolist()
    told = watched(usual[:30], usual[30:], rng.normal(0.6, 0.02, 60).tolist())
    assert (told["before"], told["after"], told["false_alarm"]) == (60, 60, None)
    assert 1 < told["alarm"] < 15
    assert watched(usual[:30], usual[30:60], usual[60:])["alarm"] is None


def test_the_record_of_an_enrolment_is_locked_watched_and_filed(signal_bundle: Path, tmp_path: Path) -> None:
    windows = {
        kind: [make_signal(number, 0, take) for take in range(24)] for number, kind in ((1, "pvc"), (2, "other"))
    }
    enrolled = {kind: own[:12] for kind, own in windows.items()}
    later = np.stack([*windows["pvc"][12:23], *windows["other"][12:23]])
    noise = np.random.default_rng(0).normal(0, 3, later.shape)
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    for _ in range(2):  # a second run replaces what the first one filed
        told = kept(signal_bundle, tmp_path, "7", enrolled, {"as it was": later, "noise": later + noise},
                    windows["other"][23], at)  # fmt: skip
    assert told["watch"]["as it was"]["alarm"] is None
    assert told["watch"]["noise"]["alarm"] is not None
    assert told["lock"]["answered"] == 22
    first, second = told["lock"]["refused"]
    assert "pass-phrase" in first and "wrong" in second
    assert (told["lock"]["unchanged"], told["lock"]["accepted_with_the_pass_phrase"]) == ({"pvc": 12, "other": 12}, 1)
    assert told["evidence"]["verified"] and told["evidence"]["locked"]
    assert told["evidence"]["enrolled_by"] == [
        {"by": NURSE, "label": "pvc", "examples": 12},
        {"by": NURSE, "label": "other", "examples": 12},
        {"by": PHYSICIAN, "label": "other", "examples": 1},
    ]
    document = json.loads((tmp_path / "evidence-7.json").read_text())
    assert document["made_at"] == at.isoformat() and document["drift"]["alarm"] is False
    assert "holds together" in (tmp_path / "evidence-7.html").read_text()
    assert json.dumps(told)


def committed(name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((ROOT / "docs" / "benchmarks" / f"medical_{name}.json").read_text())
    return told


@pytest.mark.parametrize(("name", "table"), [("bedside", bedside_table), ("laboratory", laboratory_table)])
def test_a_table_of_made_data_says_so_and_stands_on_no_page(name: str, table: Any, tmp_path: Path) -> None:
    real = committed(name)
    assert "made data" not in table(real).lower() and f"medical_{name}.json" in table(real)
    told = real | {"made": True}
    assert table(told).startswith("**Made data**") and f"medical_{name}.json" not in table(told)
    tables = runpy.run_path(str(ROOT / "docs" / "tables.py"))
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / f"medical_{name}.json").write_text(json.dumps(told))
    tables["filled"].__globals__["DOCS"] = tmp_path
    with pytest.raises(ValueError, match="made data"):
        tables["filled"](f"medical_{name}")


def test_the_picture_of_made_data_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert picture.heading(committed("bedside"), committed("laboratory")) == ""
    said = picture.heading(committed("bedside") | {"made": True}, committed("laboratory"))
    assert said.startswith("Made data at the bedside")


@pytest.mark.parametrize("command", [bedside.main, laboratory.main], ids=["bedside", "laboratory"])
def test_real_or_made_must_be_said(command: click.Command) -> None:
    for words in ([], ["--made", __file__]):
        done = CliRunner().invoke(command, words)
        assert done.exit_code == 2 and "--made was expected" in done.output

"""The benchmark of heart beats, on made ones: who is asked about, from when, and the public baseline's classifier."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import head

from benchmarks.heart_beats import ALPHAS, lay_out, measure, read_asked, ridge
from examples.medical import made

TESTED = ("101", "102", "103", "104", "105", "106")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("beats")
    made.beats(place / "made.zip", seed=0)
    with zipfile.ZipFile(place / "made.zip") as of, zipfile.ZipFile(place / "numbered.zip", "w") as numbered:
        for name in of.namelist():
            numbered.writestr(name.replace("made/made", "beats/1"), of.read(name))
    return lay_out(place / "numbered.zip", place, TESTED)


def test_no_patient_is_trained_on_and_asked_about(folders: tuple[Path, Path]) -> None:
    training, test = ({file.name.split("-")[0] for file in folder.rglob("*.npy")} for folder in folders)
    assert test == {f"patient{name}" for name in TESTED}
    assert len(training) == 6 and not training & test


def test_what_is_asked_and_what_is_kept_apart(folders: tuple[Path, Path]) -> None:
    kinds, patients = (read_asked(folders[1], question) for question in ("kinds", "patients"))
    assert (len(set(kinds.labels)), len(set(kinds.sources))) == (2, 6)  # a kind of one patient, asked of another
    assert (len(set(patients.labels)), len(set(patients.sources))) == (6, 4)  # a patient at one time, asked at another
    assert len(patients.windows) == (kinds.labels == 0).sum()  # without the PVC
    for quarter in range(4):
        assert set(patients.labels[patients.sources == quarter]) == set(range(6))


def test_each_method_is_asked_the_same(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.heart_beats.EPISODES", 20)
    asked = read_asked(folders[1], "patients")
    rng = np.random.default_rng(0)
    true = head.unit(np.eye(6, dtype=np.float32)[asked.labels] + rng.normal(0, 0.01, (len(asked.labels), 6)))
    told = measure(asked, "patients", 5, {"trained": [true, true]}, true)
    assert {name: found["mean"] for name, found in told["accuracy"].items() if name != "raw"} == {
        "trained": 1.0,
        "rocket": 1.0,
        "rocket ridge": 1.0,
    }
    assert told["accuracy"]["trained"]["seeds"] == [1.0, 1.0]
    assert 0.2 < told["accuracy"]["raw"]["mean"] < 1
    assert told["open_set"]["trained"]["auroc"]["mean"] == 1.0
    assert told["open_set"]["raw"]["auroc"]["mean"] < 1
    assert "rocket ridge" not in measure(asked, "patients", 1, {"trained": [true]}, true)["accuracy"]


def test_ridge_is_as_strong_as_leaving_each_example_out_says() -> None:
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(3), 4)
    support = rng.normal(size=(12, 40)) + rng.normal(size=(3, 40))[labels]
    query = rng.normal(size=(30, 40))
    target = np.where(labels[:, None] == np.arange(3), 1.0, -1.0)

    def fitted(rows: np.ndarray, wanted: np.ndarray, alpha: float, asked: np.ndarray) -> np.ndarray:
        mean, centre = rows.mean(axis=0), wanted.mean(axis=0)
        weights = np.linalg.solve(
            (rows - mean).T @ (rows - mean) + alpha * np.eye(40), (rows - mean).T @ (wanted - centre)
        )
        return np.asarray((asked - mean) @ weights + centre)

    def missed(alpha: float) -> float:
        left = [np.arange(12) != one for one in range(12)]
        found = [fitted(support[kept], target[kept], alpha, support[~kept])[0] for kept in left]
        return float(np.square(np.stack(found) - target).sum())

    best = min(ALPHAS, key=missed)
    assert np.array_equal(ridge(support, labels, query), fitted(support, target, best, query).argmax(axis=1))

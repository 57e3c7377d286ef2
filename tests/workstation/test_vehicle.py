"""The vehicle example in its short form: one depot, three vehicles, a made bundle; and its committed figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import Classifier

from examples.vehicle import table, vehicle
from examples.vehicle.picture import draw
from tests.conftest import draw_folder

EXAMPLE = Path(vehicle.__file__).parent


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> vehicle.World:
    drawings = draw_folder(tmp_path_factory.mktemp("drawings"), range(vehicle.SIGNS + 2 + 60), sources=1, takes=1)
    return vehicle.make_world(drawings, depots=1, tracks=1, unknown=2, seed=0)


@pytest.fixture(scope="module")
def driven(
    bundle: Path, world: vehicle.World, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict, list[vehicle.Asked], Path]:
    galleries = tmp_path_factory.mktemp("galleries")
    return *vehicle.fleet(bundle, world, galleries), galleries


def test_no_sign_is_in_two_parts_and_no_track_enrolls_and_asks(world: vehicle.World) -> None:
    enrolled, never = set(world.depots[0]), {track.sign for track in world.unknown}
    assert (len(enrolled), len(never), len(world.strangers)) == (vehicle.SIGNS, 2, 60)
    assert not enrolled & never
    asked = {(track.sign, track.number) for track in vehicle.tracks_of(world)}
    shown = {(name, t.number) for name, tracks in world.depots[0].items() for t in tracks[: vehicle.SHOTS]}
    assert not asked & shown


def test_the_pack_carries_the_new_sign_to_every_vehicle(
    driven: tuple[dict, list[vehicle.Asked], Path], bundle: Path, world: vehicle.World
) -> None:
    _, _, galleries = driven
    *usual, newest = world.depots[0]
    with Classifier.open(bundle, galleries / "depot-0.pack") as pack:
        assert [(c.label, c.examples) for c in pack.classes()] == [(newest, vehicle.SHOTS)]
    for number in range(vehicle.VEHICLES):
        with Classifier.open(bundle, galleries / f"depot-0-vehicle-{number}.gallery") as opened:
            assert {c.label: c.examples for c in opened.classes()} == dict.fromkeys([*usual, newest], vehicle.SHOTS)
            # The depot's strangers came along: none is new.
            assert opened.calibrate(list(world.strangers)).accepted == ()


def test_figures_are_shares_of_the_tracks_asked(driven: tuple[dict, list[vehicle.Asked], Path]) -> None:
    figures, asked, _ = driven
    known = [a for a in asked if a.enrolled]
    assert len(known) == vehicle.SIGNS
    right = np.mean([a.verdict == a.track.sign for a in known])
    assert figures["track_right"]["mean"] == pytest.approx(right)
    assert figures["unknown_tracks"]["tracks"] == 6
    assert figures["frame_right"]["mean"] <= figures["nearest"]["mean"]
    for key in table.ROWS:
        assert 0 <= figures[key]["low"] <= figures[key]["mean"] <= figures[key]["high"] <= 1


@pytest.mark.parametrize(("right", "of", "low", "high"), [(0, 20, 0.0, 0.161), (15, 20, 0.531, 0.888)])
def test_wilsons_interval(right: int, of: int, low: float, high: float) -> None:
    told = vehicle.interval([1.0] * right + [0.0] * (of - right))
    assert (told["low"], told["high"]) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_the_picture_is_drawn(driven: tuple[dict, list[vehicle.Asked], Path], tmp_path: Path) -> None:
    figures, asked, _ = driven
    result = {"promised": 0.1, "depots": 1, "bundles": dict.fromkeys(table.BUNDLES, figures)}
    draw(asked, result, tmp_path / "vehicle.png")
    assert (tmp_path / "vehicle.png").stat().st_size > 50_000


def test_the_readmes_table_is_that_of_the_committed_figures() -> None:
    assert (EXAMPLE / "README.md").read_text(encoding="utf-8") == table.filled()
    assert set(json.loads((EXAMPLE / "figures.json").read_text(encoding="utf-8"))["bundles"]) == set(table.BUNDLES)

"""Which variant a device runs: the fastest, measured once; fp32 where nothing can be remembered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgefew_runtime import Bundle, SelfTestError
from edgefew_runtime.manifest import VariantCalibration
from edgefew_runtime.variant_choice import choose_variant


class Clock:
    """A clock that a session moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class TimedSession:
    provider = "CPUExecutionProvider"

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds

    def run(self, inputs: Any) -> list[np.ndarray]:
        assert inputs["frames"].shape[0] == 1
        self._clock.now += self._seconds
        return []


class Machine:
    """Loads sessions that take so many seconds a frame; counts what it loads."""

    def __init__(self, **seconds: float) -> None:
        self.clock, self.seconds, self.loaded = Clock(), seconds, list[str]()

    def load(self, _: Bundle, *, variant: str, **__: Any) -> TimedSession:
        self.loaded.append(variant)
        if variant not in self.seconds:
            raise SelfTestError("computes something else here")
        return TimedSession(self.clock, self.seconds[variant])

    def choose(self, bundle: Bundle, cache: Path | None, **settings: Any) -> str:
        return choose_variant(bundle, cache=cache, load=self.load, clock=self.clock, **settings)


@pytest.fixture
def several(bundle: Path) -> Iterator[Bundle]:
    """A bundle that says it has int8 and float16."""
    opened = Bundle.open(bundle)
    calibration = VariantCalibration(10.0, (), (), 0.98)
    yield replace(opened, manifest=replace(opened.manifest, variants={"int8": calibration, "fp16": calibration}))


def test_the_fastest_is_measured_once_and_remembered(several: Bundle, tmp_path: Path) -> None:
    machine = Machine(fp32=0.010, int8=0.006)
    assert machine.choose(several, tmp_path / "cache") == "int8"
    assert machine.loaded == ["fp32", "int8"]
    assert machine.choose(several, tmp_path / "cache") == "int8"
    assert machine.loaded == ["fp32", "int8"]


def test_another_profile_is_measured_for_itself(several: Bundle, tmp_path: Path) -> None:
    assert Machine(fp32=0.010, int8=0.006).choose(several, tmp_path / "cache") == "int8"
    assert Machine(fp32=0.010, int8=0.020).choose(several, tmp_path / "cache", profile="latency") == "fp32"


def test_what_is_hardly_faster_is_not_chosen(several: Bundle, tmp_path: Path) -> None:
    assert Machine(fp32=0.0100, int8=0.0097).choose(several, tmp_path / "cache") == "fp32"


def test_what_computes_something_else_here_is_not_chosen(several: Bundle, tmp_path: Path) -> None:
    machine = Machine(fp32=0.010)
    assert machine.choose(several, tmp_path / "cache") == "fp32"
    assert machine.loaded == ["fp32", "int8"]


def test_a_broken_fp32_is_told(several: Bundle, tmp_path: Path) -> None:
    with pytest.raises(SelfTestError):
        Machine(int8=0.010).choose(several, tmp_path / "cache")


def test_without_a_cache_it_is_fp32_and_nothing_is_measured(several: Bundle) -> None:
    machine = Machine(fp32=0.010, int8=0.001)
    assert machine.choose(several, None) == "fp32"
    assert machine.loaded == []


def test_a_bundle_of_fp32_alone_is_not_measured(bundle: Path, tmp_path: Path) -> None:
    machine = Machine(fp32=0.010)
    assert machine.choose(Bundle.open(bundle), tmp_path / "cache") == "fp32"
    assert machine.loaded == []
    assert not (tmp_path / "cache").exists()


def test_a_gpu_chooses_among_its_own(several: Bundle, tmp_path: Path) -> None:
    machine = Machine(fp32=0.010, fp16=0.004, int8=0.001)
    assert machine.choose(several, tmp_path / "cache", provider="cuda") == "fp16"
    assert machine.loaded == ["fp32", "fp16"]

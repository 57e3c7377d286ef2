"""`edgefew bench`: every figure is there, is of what it says, and nothing of the user's is changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from edgefew_runtime import (
    Bundle,
    Classifier,
    EdgeFewError,
    Gallery,
    GalleryMismatchError,
    ProviderError,
)
from edgefew_runtime.bench import Timing, bench
from edgefew_runtime.commands import edgefew
from edgefew_runtime.first_answer import peak_memory_mb
from edgefew_runtime.session import thread_count


def run(*arguments: object) -> Result:
    return CliRunner().invoke(edgefew, ["bench", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def site(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of the user's."""
    path = tmp_path_factory.mktemp("site") / "site.gallery"
    with Classifier.open(bundle, path) as classifier:
        classifier.enroll("grey", np.full((20, 20, 3), 90, np.uint8))
        classifier.enroll("noise", np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8))
    return path


@pytest.fixture(scope="module")
def report(bundle: Path) -> dict[str, Any]:
    result = run(bundle, "--runs", 5, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_a_timing_is_the_median_and_the_99th_percentile() -> None:
    timing = Timing.of([number / 1000 for number in range(101)])
    assert (timing.median_ms, timing.p99_ms, timing.runs) == (50, 99, 101)


def test_the_peak_memory_is_that_of_this_process() -> None:
    before = peak_memory_mb()
    if before is None:
        pytest.skip("this system does not tell")
    held = np.ones(int((before + 60) * 1e6), np.uint8)
    after = peak_memory_mb()
    assert after is not None
    assert after >= before + 50
    assert held.any()


def test_both_profiles_are_measured_and_tell_what_they_are(report: dict[str, Any], bundle: Path) -> None:
    results = report["results"]
    assert [(r["variant"], r["profile"], r["threads"]) for r in results] == [
        ("fp32", "power", 1),
        ("fp32", "latency", thread_count(None, "latency")),
    ]
    assert {(r["provider"], r["provider_used"]) for r in results} == {("cpu", "CPUExecutionProvider")}
    assert report["bundle_id"] == Bundle.open(bundle).id
    machine = report["machine"]
    assert machine["processor"]
    assert 1 <= machine["physical_cores"] <= machine["logical_cores"]
    assert machine["onnxruntime"][0].isdigit()


def test_every_figure_is_there_and_possible(report: dict[str, Any]) -> None:
    for result in report["results"]:
        start = result["start"]
        assert 30 < start["median_ms"] < 60_000
        assert start["first_ms"] > 30
        assert start["runs"] == 5
        assert start["peak_memory_mb"] is None or 20 < start["peak_memory_mb"] < 2000
        assert [cost["shape"] for cost in result["frames"]] == [[16, 16, 3], [480, 640, 3]]
        for cost in result["frames"]:
            for what, runs in (("embed", 5), ("classify", 5), ("enroll_1", 5), ("enroll_25", 3)):
                assert cost[what]["runs"] == runs
                assert 0 < cost[what]["median_ms"] <= cost[what]["p99_ms"] < 60_000, what
            assert abs(cost["classify_adds_ms"]) < 2 * max(cost["classify"]["p99_ms"], cost["embed"]["p99_ms"])
            assert cost["enroll_25"]["median_ms"] > cost["enroll_1"]["median_ms"]


def test_people_get_a_table_and_progress_goes_to_standard_error(bundle: Path) -> None:
    result = run(bundle, "--runs", 2, "--profile", "power", "--threads", 2)
    assert result.exit_code == 0, result.output
    assert "fp32, power, 2 threads, cpu asked for, CPUExecutionProvider used" in result.stdout
    header, small, large = result.stdout.splitlines()[-3:]
    assert header.split() == ["frame", "embed", "classify", "added", "enroll", "1", "enroll", "25"]
    assert small.strip().startswith("16 × 16")
    assert large.strip().startswith("640 × 480")
    assert result.stderr == "measuring: fp32, power, threads: 2\n"


def test_the_users_gallery_is_used_and_not_changed(bundle: Path, site: Path) -> None:
    before = {file.name: file.read_bytes() for file in site.parent.iterdir()}
    result = run(bundle, "--gallery", site, "--runs", 2, "--profile", "power", "--json")
    assert result.exit_code == 0, result.output
    assert {file.name: file.read_bytes() for file in site.parent.iterdir()} == before


def test_a_gallery_of_another_bundle_is_refused(bundle: Path, site: Path, tmp_path: Path) -> None:
    opened, other = Bundle.open(bundle), tmp_path / "other.gallery"
    with Gallery(site) as ours, Gallery(other, "0" * 64, opened.manifest.dimension) as theirs:
        for label, examples in ours.content().items():
            theirs.enroll(label, examples)
    with pytest.raises(GalleryMismatchError):
        bench(opened, gallery=other, runs=1)
    assert [file.name for file in tmp_path.iterdir()] == ["other.gallery"]


def test_a_packed_bundle_is_measured_too(bundle: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.edgefew"
    Bundle.open(bundle).pack(packed)
    (measured,) = bench(Bundle.open(packed), profiles=["power"], runs=1)
    assert measured.provider_used == "CPUExecutionProvider"


def test_what_cannot_be_measured_is_told_before_anything_is(bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(bundle)
    steps: list[str] = []
    with pytest.raises(ProviderError, match=r"'npu' is not there; this onnxruntime has .*CPUExecutionProvider"):
        bench(opened, provider="npu", runs=1)
    with pytest.raises(EdgeFewError, match="no profile 'fast'"):
        bench(opened, profiles=["power", "fast"], runs=1, progress=steps.append)
    with pytest.raises(EdgeFewError, match="0 threads"):
        bench(opened, threads=[2, 0], runs=1, progress=steps.append)
    with pytest.raises(EdgeFewError, match="No folder for a throw-away gallery can be made in"):
        bench(opened, gallery=Path("/proc/site.gallery"), runs=1)
    assert steps == []
    missing = run(bundle, "--gallery", tmp_path / "no.gallery")
    assert missing.exit_code == 1
    assert "Error: There is no gallery" in missing.stderr
    assert "--profile" in run(bundle, "--profile", "fast").stderr

"""Variants: kept where they are faster and hardly less accurate, and calibrated on their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgefew_export import variants
from edgefew_export.bundle_writer import export_bundle
from edgefew_export.calibration import calibrate, strictest
from edgefew_export.measured import measured_file
from edgefew_export.sources.trained import trained_source
from edgefew_export.variants import VariantPlan
from edgefew_runtime import Bundle, BundleFormatError, Classifier, SelfTestError
from edgefew_runtime.manifest import Manifest
from edgefew_runtime.selftest import check_golden, verify
from edgefew_runtime.session import OrtSession

from tests.conftest import SOURCE_PATTERN, Cli, draw_class, draw_folder

Speed = Callable[..., list[dict[str, Any]]]


def all_at(speedup: float) -> Speed:
    """In place of a measurement: what a test says of keeping must not depend on the load of its machine."""

    def measured(_: object, candidates: Sequence[object], __: str = "cpu") -> list[dict[str, Any]]:
        return [{"profiles": {}, "speedup": speedup} for _ in candidates]

    return measured


def export(checkpoint: Path, out: Path, plan: VariantPlan, speedup: float = 2.0) -> Bundle:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "measure_speed", all_at(speedup))
        return export_bundle(trained_source(checkpoint), out, variants=plan)


@pytest.fixture(scope="module")
def kept(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with int8 and float16 beside fp32."""
    plan = VariantPlan(("int8", "fp16"), max_loss=3)
    out = tmp_path_factory.mktemp("kept") / "figures.edgefew"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "_pointless", lambda name, target: None)
        return export(checkpoint, out, plan)


def test_a_variant_that_is_faster_and_accurate_is_kept(kept: Bundle) -> None:
    assert set(kept.variants()) == {"fp32", "int8", "fp16"}
    assert kept.variants("enroll") == ["fp32"]
    report = kept.report()
    tried = report["variants_tried"]
    assert [o["variant"] for o in tried["outcomes"] if o["kept"]] == ["int8", "fp16"]
    int8 = report["variants"]["int8"]
    assert 0.5 < int8["open_set"]["auroc"]["mean"] <= 1
    assert int8["bytes"]["embed"] == len(kept.model("embed", "int8"))
    assert 0.9 < int8["embedding"]["to_fp32"]["cosine_min"] <= int8["embedding"]["to_fp32"]["cosine_mean"] < 1
    for side in ("alone", "enrolled_by_fp32", "asked_by_fp32"):
        assert int8["episodes"][side]["loss"]["points"] <= tried["max_loss"]
        assert 0.5 < int8["episodes"][side]["agreement_with_fp32"] <= 1
    assert int8["episodes"]["bundle"]["episodes"] == 600
    lost = 100 * (report["episodes"]["bundle"]["accuracy"] - int8["episodes"]["bundle"]["accuracy"])
    assert int8["episodes"]["alone"]["loss"]["points"] == pytest.approx(lost)
    assert "## Variants" in (kept.path / "model-card.md").read_text()


def test_each_variant_passes_its_test(kept: Bundle) -> None:
    for name in kept.variants():
        cosine = check_golden(kept.for_variant(name), OrtSession(kept.model("embed", name)))
        assert cosine >= kept.for_variant(name).manifest.golden_cosine
    verdicts = {verdict.check: verdict for verdict in verify(kept.path)}
    assert {"golden vectors", "golden vectors (int8)", "golden vectors (fp16)"} <= verdicts.keys()
    assert all(verdict.passed for verdict in verdicts.values()), verdicts


def test_how_far_a_variant_may_be_is_its_own(kept: Bundle) -> None:
    class Turned:
        """Gives the golden embeddings, each turned by the same angle."""

        provider = "CPUExecutionProvider"

        def __init__(self, cosine: float) -> None:
            self._rows = iter(kept.golden()[1])
            self._cosine = cosine

        def run(self, _: object) -> list[np.ndarray]:
            row = next(self._rows)
            across = np.eye(len(row), dtype=np.float32)[0] - row[0] * row
            across /= np.linalg.norm(across)
            return [(self._cosine * row + np.sqrt(1 - self._cosine**2) * across)[None].astype(np.float32)]

    loose = replace(kept, manifest=replace(kept.manifest, golden_cosine=0.98))
    assert check_golden(loose, Turned(0.99)) == pytest.approx(0.99, abs=1e-4)
    with pytest.raises(SelfTestError, match=r"at least 0\.98 expected"):
        check_golden(loose, Turned(0.97))
    with pytest.raises(SelfTestError, match=r"at least 0\.999 expected"):
        check_golden(kept, Turned(0.99))


def test_a_variant_has_thresholds_of_its_own_that_hold_for_galleries_of_others(kept: Bundle) -> None:
    plain, int8 = kept.manifest, kept.for_variant("int8").manifest
    assert int8.operating_points != plain.operating_points or int8.scale != plain.scale
    assert Manifest.from_dict(plain.to_dict(("embed", "enroll", "classify"))) == plain
    assert int8.for_variant("int8") == int8


def test_thresholds_are_the_strictest_over_who_enrolled(kept: Bundle) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(70, 16))
    rows = np.repeat(centres, 3, axis=0) + rng.normal(0, 0.6, (210, 16))
    near = rows + rng.normal(0, 0.2, rows.shape)
    own, other = ((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in (rows, near))
    labels = np.repeat(np.arange(70), 3)
    both = [calibrate(own, labels, None, 0, ways=(5, 20), enrolled=enrolled) for enrolled in (own, other)]
    points, coverages = strictest(both)
    assert points
    for place, point in enumerate(points):
        assert point.threshold == max(found[0][place].threshold for found in both)
    assert {p.threshold for p in both[0][0]} != {p.threshold for p in both[1][0]}
    for place, coverage in enumerate(coverages):
        assert coverage.score == min(found[1][place].score for found in both)


def test_a_gallery_of_one_variant_is_asked_by_another(kept: Bundle, gallery_path: Path) -> None:
    with Classifier.open(kept, gallery_path, variant="fp32", false_accept_rate=None) as classifier:
        for kind in range(3):
            classifier.enroll(f"figure {kind}", [draw_class(kind, source, 0) for source in range(3)])
    for name in ("int8", "fp16"):
        with Classifier.open(kept, gallery_path, variant=name, false_accept_rate=None) as classifier:
            assert classifier.variant == name
            answers = [classifier.classify(draw_class(kind, 1, 5)).label for kind in range(3)]
            assert answers == [f"figure {kind}" for kind in range(3)]


def test_what_is_not_faster_is_not_kept(checkpoint: Path, tmp_path: Path) -> None:
    bundle = export(checkpoint, tmp_path / "b.edgefew", VariantPlan(("int8",), 3), speedup=1.05)
    assert bundle.variants() == ["fp32"]
    assert not bundle.manifest.variants
    outcomes = bundle.report()["variants_tried"]["outcomes"]
    assert {o["why"] for o in outcomes} == {"not faster than fp32 on this machine"}
    assert len(outcomes) == len(variants.settings_for("x86"))


def test_what_loses_too_much_is_not_kept(checkpoint: Path, tmp_path: Path) -> None:
    bundle = export(checkpoint, tmp_path / "b.edgefew", VariantPlan(("int8",), -100))
    assert bundle.variants() == ["fp32"]
    whys = [o["why"] for o in bundle.report()["variants_tried"]["outcomes"]]
    assert "-100 are allowed" in whys[0]


def test_the_same_outcome_gives_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    plan = VariantPlan(("int8", "fp16"), 3)
    ids = []
    for number in range(2):
        (tmp_path / f"{number}").mkdir()
        ids.append(export(checkpoint, tmp_path / f"{number}" / "b.edgefew", plan, 2 + number).id)

    assert ids[0] == ids[1]


def test_a_stated_target_is_kept_by_accuracy_alone(checkpoint: Path, tmp_path: Path) -> None:
    bundle = export(checkpoint, tmp_path / "b.edgefew", VariantPlan(("int8", "fp16"), 3, "gpu"), speedup=0.1)
    assert set(bundle.variants()) == {"fp32", "fp16"}
    whys = {o["variant"]: o["why"] for o in bundle.report()["variants_tried"]["outcomes"]}
    assert "speed on gpu not measured" in whys["fp16"]
    assert "the target is a GPU" in whys["int8"]
    component = json.loads((bundle.path / "embed/component.json").read_text())
    assert component["variants"]["fp16"]["device"] == "gpu"


def test_no_gpu_here_means_no_float16(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "has_gpu", lambda: False)
    bundle = export(checkpoint, tmp_path / "b.edgefew", VariantPlan(("fp16",)))
    (outcome,) = bundle.report()["variants_tried"]["outcomes"]
    assert not outcome["kept"]
    assert "--target gpu" in outcome["why"]


def test_a_variant_that_is_not_there_is_refused(bundle: Path) -> None:
    with pytest.raises(BundleFormatError, match="no variant 'int8' of its network; it has: fp32"):
        Classifier.open(bundle, variant="int8")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--variants", "int4"], "'int4' is no variant. There are: int8, fp16"),
        (["--max-loss", "1"], "Give --variants too"),
        (["--target", "arm"], "Give --variants too"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    cli: Cli, checkpoint: Path, tmp_path: Path, options: list[str], says: str
) -> None:
    result = cli("export", checkpoint, tmp_path / "b.edgefew", *options)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "b.edgefew").exists()


def test_export_tells_measures_and_draws(cli: Cli, checkpoint: Path, tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "secret-place" / "unseen", range(300, 365), takes=1)
    out = tmp_path / "figures.edgefew"
    options = ["--data", folder, "--source-pattern", SOURCE_PATTERN, "--variants", "int8,fp16", "--target", "gpu"]
    result = cli("export", checkpoint, out, *options, "--max-loss", "3")
    assert result.exit_code == 0, result.stderr
    assert "✓ fp16: kept: speed on gpu not measured; loses" in result.stdout
    assert "! int8: not kept: the target is a GPU" in result.stdout
    bundle = Bundle.open(out)
    assert bundle.manifest.lineage["command"] == [
        "export", "figures.ckpt", "figures.edgefew", "--data", "unseen", "--source-pattern", SOURCE_PATTERN,
        "--variants", "int8,fp16", "--max-loss", "3.0", "--target", "gpu",
    ]  # fmt: skip
    measured = json.loads(measured_file(out).read_text())
    assert measured["bundle_id"] == bundle.id
    assert all(entry["median_ms"] > 0 for entry in measured["latency"])
    told = measured_file(out).read_text() + "".join(
        file.read_text() for file in out.rglob("*") if file.suffix in (".json", ".md")
    )
    assert "secret-place" not in told
    assert str(tmp_path) not in told
    drawn = cli("pictures", out, tmp_path / "drawn", "--json")
    assert drawn.exit_code == 0, drawn.stderr
    pictures = [Path(name) for name in json.loads(drawn.stdout)["pictures"]]
    assert [p.name for p in pictures] == ["accuracy-over-shots.png", "known-and-unknown.png", "time-and-accuracy.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in pictures)
    measured_file(out).unlink()
    skipped = json.loads(cli("pictures", out, tmp_path / "drawn", "--json").stdout)["skipped"]
    assert "--measure" in skipped["time and accuracy"]

"""The enrolment doctor names what is wrong with an example, and what would help, before anything is enrolled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edgefew_runtime import Classifier, EnrollmentRefusedError, Example, Gallery, OperatingPoint, head
from edgefew_runtime.answer import Decision
from edgefew_runtime.frame_quality import BLURRED, frame_quality
from edgefew_runtime.leave_one_out import leave_one_out
from PIL import Image, ImageDraw, ImageFilter

from tests.conftest import Cli, draw_class


def frame(kind: int, source: int, take: int = 0) -> np.ndarray:
    return np.asarray(draw_class(kind, source, take))


@pytest.fixture
def classifier(bundle: Path, gallery_path: Path) -> Classifier:
    classifier = Classifier.open(bundle, gallery_path)
    classifier.enroll("figure 51", [frame(51, source, take) for source in range(3) for take in range(2)])
    return classifier


def kinds(classifier: Classifier, label: str, *frames: np.ndarray) -> list[list[str]]:
    return [[f.kind for f in report.findings] for report in classifier.diagnose(label, list(frames)).examples]


def test_good_examples_get_no_finding(classifier: Classifier) -> None:
    good = [frame(50, source, take) for source in range(3) for take in range(2)]
    diagnosis = classifier.diagnose("figure 50", good)
    assert diagnosis.healthy
    assert (diagnosis.judged, diagnosis.recognised, diagnosis.confused_with) == (6, 6, None)


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda image: image.resize((5, 5)), "too small"),
        (lambda image: image.point(lambda v: v // 6), "too dark"),
        (lambda image: Image.new("RGB", image.size, "white"), "blank"),
        (lambda image: image.filter(ImageFilter.GaussianBlur(3)), "blurred"),
    ],
)
def test_a_spoiled_picture_is_named(classifier: Classifier, spoil: object, kind: str) -> None:
    spoiled = np.asarray(spoil(draw_class(50, 0, 0, size=64)))  # type: ignore[operator]
    (found,) = kinds(classifier, "figure 50", spoiled)
    assert kind in found


def test_an_example_of_another_class_is_named_with_that_class(classifier: Classifier) -> None:
    frames = [frame(50, 0), frame(50, 1), frame(50, 2), frame(51, 1, 5)]
    diagnosis = classifier.diagnose("figure 50", frames)
    assert [[f.kind for f in r.findings] for r in diagnosis.examples[:3]] == [[], [], []]
    (finding,) = diagnosis.examples[3].findings
    assert (finding.kind, finding.other) == ("closer to another class", "figure 51")
    assert diagnosis.advice[0].startswith("look at array: leave out what does not show 'figure 50'")


def test_a_first_example_that_looks_like_an_enrolled_class_is_asked_about(classifier: Classifier) -> None:
    (finding,) = classifier.diagnose("new sign", frame(51, 0, 9)).examples[0].findings
    assert (finding.kind, finding.other) == ("closer to another class", "figure 51")
    assert "Is it the same thing?" in finding.text


def test_an_outlier_is_named_without_any_other_class(bundle: Path) -> None:
    with Classifier.open(bundle) as classifier:
        frames = [frame(50, source, take) for source in range(3) for take in range(2)] + [frame(54, 0)]
        found = kinds(classifier, "figure 50", *frames)
        assert found[:6] == [[]] * 6
        assert found[6] == ["outlier"]


def test_the_same_picture_twice_adds_nothing(classifier: Classifier) -> None:
    once = frame(50, 0)
    almost = once.copy()
    almost[0, 0] ^= 1
    assert kinds(classifier, "figure 50", once, frame(50, 1), almost)[2] == ["near-duplicate"]
    # The very same bytes are not enrolled a second time, so there is nothing to say of them.
    assert len(classifier.diagnose("figure 51", [frame(51, 0), frame(50, 0)]).examples) == 1


def test_more_examples_are_advised_with_what_they_brought_elsewhere(classifier: Classifier) -> None:
    bundle = classifier.bundle
    points = [OperatingPoint(10, shot, 0.05, 0.5, recall, 100, 10) for shot, recall in ((1, 0.6), (2, 0.62), (5, 0.8))]
    told = replace(bundle, manifest=replace(bundle.manifest, operating_points=tuple(points)))
    advice = Classifier(told, classifier.gallery, classifier._session).diagnose("figure 50", frame(50, 0)).advice
    assert advice[-1] == (
        "add 4 more from other sides, days and lights: of unseen classes, 80% of frames were recognised with 5 "
        "examples, 60% with 1"
    )
    many = [frame(50, source, take) for source in range(3) for take in range(2)]
    assert not any(
        "add" in a for a in Classifier(told, classifier.gallery, classifier._session).diagnose("x", many).advice
    )


def test_strangers_that_look_like_the_new_class_are_named(classifier: Classifier) -> None:
    classifier.calibrate([frame(50, 0, 5), frame(54, 0), frame(55, 1)])
    ids = [entry.id for entry in classifier.gallery.examples(None)]
    diagnosis = classifier.diagnose("figure 50", [frame(50, source, take) for source in range(3) for take in range(2)])
    assert diagnosis.strangers == (ids[0],)
    assert f"(examples {ids[0]})" in " ".join(diagnosis.advice)


def test_diagnosing_changes_nothing_and_strict_refuses(classifier: Classifier) -> None:
    before, log = classifier.classes(), classifier.gallery.log()
    blank = np.full((32, 32, 3), 255, np.uint8)
    classifier.diagnose("figure 50", blank)
    with pytest.raises(EnrollmentRefusedError, match=r"array: blank: the contrast is 0\.0") as refused:
        classifier.enroll("figure 50", [frame(50, 0), blank], strict=True)
    assert not refused.value.diagnosis.healthy
    assert (classifier.classes(), classifier.gallery.log()) == (before, log)
    enrollment = classifier.enroll("figure 50", [frame(50, 0), blank])
    assert "blank" in {f.kind for f in enrollment.diagnosis.examples[1].findings}
    assert enrollment.examples == 2


def test_the_command_shows_what_the_doctor_says(cli: Cli, bundle: Path, gallery_path: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.png", "b.png", "blank.png")]
    for path, picture in zip(files, (frame(50, 0), frame(50, 1), np.full((32, 32, 3), 255, np.uint8)), strict=True):
        Image.fromarray(picture).save(path)
    place = ["--gallery", gallery_path]
    result = cli("enroll", bundle, "star", *files, *place, "--dry-run")
    assert result.exit_code == 0
    assert "star: nothing enrolled (dry run)" in result.stdout
    assert "  ! blank.png: blank: the contrast is 0.0 (at least 4 is needed)" in result.stdout
    assert not gallery_path.exists()
    told = json.loads(cli("enroll", bundle, "star", *files, *place, "--dry-run", "--json").stdout)
    assert [bool(e["findings"]) for e in told["diagnosis"]["examples"]] == [False, False, True]
    refused = cli("enroll", bundle, "star", *files, *place, "--strict")
    assert refused.exit_code == 1
    assert "Nothing was enrolled" in refused.stderr
    assert not gallery_path.exists()
    assert cli("enroll", bundle, "star", *files[:2], *place, "--strict").exit_code == 0


def test_blur_is_seen_whatever_the_size_and_sharp_is_sharp() -> None:
    for size in (32, 64, 200, 480):
        sharp = Image.new("RGB", (size, size), "white")
        ImageDraw.Draw(sharp).polygon(
            [(0.2 * size, 0.1 * size), (0.9 * size, 0.5 * size), (0.3 * size, 0.8 * size)], "black"
        )
        blurred = sharp.filter(ImageFilter.GaussianBlur(0.08 * size))
        assert frame_quality(np.asarray(sharp)).blur < BLURRED
        assert frame_quality(np.asarray(blurred)).blur > BLURRED


def drawn(size: int, corners: int, rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (size, size), "white")
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    points = 0.5 + 0.4 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ImageDraw.Draw(image).polygon([tuple(point) for point in (size * points).tolist()], "black")
    return image


@pytest.mark.parametrize("noise", [0, 5, 10])
@pytest.mark.parametrize("size", [64, 200, 480])
def test_noise_hides_no_blur_and_makes_none(noise: int, size: int) -> None:
    rng = np.random.default_rng(size + noise)
    sharp = [drawn(size, 5 + number % 5, rng) for number in range(20)]
    blurred = [image.filter(ImageFilter.GaussianBlur(0.05 * size)) for image in sharp]

    def called_blurred(images: list[Image.Image]) -> int:
        found = 0
        for image in images:
            pixels = 20 + np.asarray(image, np.float32) * (215 / 255)  # head room, as a camera leaves it
            noisy = np.clip(pixels + rng.normal(0, noise, pixels.shape), 0, 255)
            found += frame_quality(noisy.astype(np.uint8)).blur > BLURRED
        return found

    assert called_blurred(sharp) == 0
    assert called_blurred(blurred) >= 19


def test_noise_alone_is_not_called_blurred() -> None:
    noise = np.random.default_rng(0).normal(128, 20, (200, 200, 3))
    assert frame_quality(np.clip(noise, 0, 255).astype(np.uint8)).blur < BLURRED


def test_a_blank_picture_alone_is_only_blank(cli: Cli, bundle: Path, gallery_path: Path, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.fromarray(np.full((32, 32, 3), 255, np.uint8)).save(blank)
    told = json.loads(cli("enroll", bundle, "star", blank, "--gallery", gallery_path, "--dry-run", "--json").stdout)
    assert [finding["kind"] for finding in told["diagnosis"]["examples"][0]["findings"]] == ["blank"]
    assert told["diagnosis"]["judged"] == 0


@pytest.mark.parametrize("seed", range(4))
def test_left_out_is_what_a_gallery_without_the_example_would_answer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((4, 6))
    with Gallery(None, "b" * 64, 6) as gallery:
        for number, centre in enumerate(centres):
            rows = head.to_grid((centre + 0.8 * rng.standard_normal((5, 6))).astype(np.float32))
            examples = [Example(row, f"{number}", f"{number}{k}".zfill(64)) for k, row in enumerate(rows)]
            gallery.enroll(f"class {number}", examples[: 1 + number])
            if number % 2:
                gallery.reject(f"class {number}", examples[1 + number :])
        content = gallery.content()
        scores = leave_one_out(content)
        entries = [(label, e) for label, group in content.items() for e in group if not e.negative]
        numbers = {e.source_sha256: e.id for label in content for e in gallery.examples(label)}
        assert scores.turned_away.any()
        assert len(set(scores.right.tolist())) == 2
        for place, (label, example) in enumerate(entries):
            if scores.judged[place]:
                gallery.remove(numbers[example.source_sha256])
                answer = Decision((0, 0), gallery.task(), 10.0, None, None).answer(example.embedding)
                assert (answer.label == label) == scores.right[place]
                gallery.undo()


def test_an_example_nearer_to_what_its_class_is_not_is_named_with_it(classifier: Classifier) -> None:
    classifier.reject("figure 51", frame(50, 0))
    report = classifier.diagnose("figure 51", [frame(50, 0, 1), frame(51, 0, 7)])
    found = {finding.kind: finding for finding in report.examples[0].findings}
    assert found["closer to what it is not"].other == "array"
    assert "which was rejected for this class" in found["closer to what it is not"].text
    assert report.examples[1].findings == ()
    assert report.recognised < report.judged


def test_rejecting_says_which_examples_it_would_turn_away(classifier: Classifier) -> None:
    assert classifier.reject("figure 51", frame(57, 0)).turned_away == ()
    lost = classifier.reject("figure 51", [frame(51, 0, 8), frame(51, 1, 8)])
    assert (lost.label, len(lost.accepted), set(lost.turned_away)) == ("figure 51", 2, {"array"})
    assert leave_one_out(classifier.gallery.content()).turned_away.sum() == len(lost.turned_away)

"""A drift watch in a file: bound to what it watches, told by several processes, shown and reset by a command."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from edgefew_runtime import Answer, Classifier, EdgeFewError
from edgefew_runtime.watch_file import keep_watch, read_watch

from tests.conftest import Cli, draw_class


@pytest.fixture
def gallery(bundle: Path, gallery_path: Path) -> Path:
    with Classifier.open(bundle, gallery_path) as classifier:
        for kind in (50, 51, 52):
            frames = [draw_class(kind, source, take) for source in range(2) for take in range(4)]
            classifier.enroll(f"figure {kind}", frames)
    return gallery_path


def accepted(score: float) -> Answer:
    return Answer("figure 50", 1.0, score, True, None, None, None)


def test_a_watch_goes_on_where_it_was_left(bundle: Path, gallery: Path, tmp_path: Path) -> None:
    file = tmp_path / "drift.json"
    with Classifier.open(bundle, gallery, false_accept_rate=None) as classifier:
        assert keep_watch(file, classifier, [accepted(0.9)] * 3).seen == 3
        status = keep_watch(file, classifier, [accepted(-0.9)] * 60)
    assert (status.alarm, status.seen) == (True, 63)
    watched, kept = read_watch(file)
    assert kept == status
    assert (watched.bundle_id, watched.false_accept_rate) == (classifier.bundle.id, None)
    assert (read_watch(file, reset=True)[1].alarm, read_watch(file)[1].seen) == (False, 0)


def test_a_watch_of_something_else_is_refused_and_kept(bundle: Path, gallery: Path, tmp_path: Path) -> None:
    file = tmp_path / "drift.json"
    with Classifier.open(bundle, gallery, false_accept_rate=None) as classifier:
        keep_watch(file, classifier, [accepted(0.9)])
        before = file.read_bytes()
        with Classifier.open(bundle, None, false_accept_rate=None) as other:
            for kind in (50, 51):
                other.enroll(f"figure {kind}", [draw_class(kind, 0, take) for take in range(12)])
            with pytest.raises(EdgeFewError, match="of another gallery: its scores cannot be compared"):
                keep_watch(file, other, [accepted(0.9)])
    with (
        Classifier.open(bundle, gallery, false_accept_rate=0.2) as stricter,
        pytest.raises(EdgeFewError, match=r"of another false-accept rate \(None, now 0\.2\)"),
    ):
        keep_watch(file, stricter, [accepted(0.9)])
    assert file.read_bytes() == before


def test_what_cannot_be_watched_says_why(bundle: Path, gallery: Path, tmp_path: Path) -> None:
    file = tmp_path / "drift.json"
    with (
        Classifier.open(bundle, gallery, false_accept_rate=1e-4) as classifier,
        pytest.raises(EdgeFewError, match=r"Nothing is accepted, so there is nothing to watch: not enough"),
    ):
        keep_watch(file, classifier, [])
    with Classifier.open(bundle) as classifier:
        classifier.enroll("all sorts", [draw_class(kind, 0, 0) for kind in range(50, 74)])
        promised = classifier.promise()
        assert promised is not None
        assert promised.threshold is not None
        scores = classifier.enrolment_scores()
        passing = int((scores >= promised.threshold).sum())
        assert passing < 20 <= len(scores)
        with pytest.raises(EdgeFewError, match=rf"{passing} of the {len(scores)} enrolled examples would be accepted"):
            keep_watch(file, classifier, [])
    assert not file.exists()


def test_no_count_is_lost_where_several_tell_the_watch_at_once(bundle: Path, gallery: Path, tmp_path: Path) -> None:
    file = tmp_path / "drift.json"
    with Classifier.open(bundle, gallery, false_accept_rate=None) as classifier, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: keep_watch(file, classifier, [accepted(0.9)]), range(40)))
    assert read_watch(file)[1].seen == 40
    assert [path.name for path in tmp_path.glob(".drift.json*")] == []


def test_the_command_shows_and_resets_a_watch(cli: Cli, bundle: Path, gallery: Path, tmp_path: Path) -> None:
    file = tmp_path / "drift.json"
    with Classifier.open(bundle, gallery, false_accept_rate=None) as classifier:
        keep_watch(file, classifier, [accepted(-0.9)] * 60)
    shown = cli("drift", file)
    assert (shown.exit_code, shown.stdout.startswith("drift: Since accepted answer")) == (0, True)
    told = json.loads(cli("drift", file, "--reset", "--json").stdout)
    assert (told["alarm"], told["seen"], told["watched"]["false_accept_rate"]) == (False, 0, None)
    assert cli("drift", file).stdout.startswith("no drift (0 accepted answers")
    missing = cli("drift", tmp_path / "none.json")
    assert (missing.exit_code, "cannot be read: No such file" in missing.stderr) == (1, True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data | {"more": 1},
        lambda data: {"watch": data["watch"]},
        lambda data: data | {"watched": None},
        lambda data: data | {"watched": data["watched"] | {"gallery": 3}},
        lambda data: data | {"watched": data["watched"] | {"false_accept_rate": "0.1"}},
        lambda data: data | {"watch": {}},
    ],
)
def test_a_spoiled_watch_is_refused_and_kept(bundle: Path, gallery: Path, tmp_path: Path, spoil: object) -> None:
    file = tmp_path / "drift.json"
    with Classifier.open(bundle, gallery, false_accept_rate=None) as classifier:
        keep_watch(file, classifier, [accepted(0.9)])
        file.write_text(json.dumps(spoil(json.loads(file.read_text()))))  # type: ignore[operator]
        before = file.read_bytes()
        with pytest.raises(EdgeFewError, match="is no drift watch"):
            keep_watch(file, classifier, [accepted(0.9)])
    assert file.read_bytes() == before

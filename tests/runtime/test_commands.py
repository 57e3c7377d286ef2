"""The device's commands: what they print, and what they say to someone who made a mistake."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Cli, draw_class


@pytest.fixture
def files(unseen_folder: Path) -> dict[str, list[Path]]:
    return {folder.name: sorted(folder.glob("*.png")) for folder in sorted(unseen_folder.iterdir())}


@pytest.fixture
def enrolled(cli: Cli, bundle: Path, files: dict[str, list[Path]], gallery_path: Path) -> Path:
    for label in ("figure50", "figure51"):
        result = cli("enroll", bundle, label, *files[label][:2], "--gallery", gallery_path, "--actor", "Ada")
        assert result.exit_code == 0, result.output
    return gallery_path


def lines(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def test_enroll_classify_forget_undo(cli: Cli, bundle: Path, files: dict[str, list[Path]], enrolled: Path) -> None:
    query = files["figure50"][-1]
    (answer,) = lines(cli("classify", bundle, query, "--gallery", enrolled, "--json").stdout)
    assert set(answer) >= {"file", "label", "probability", "score", "known", "runner_up"}
    assert (answer["file"], answer["label"], answer["runner_up"]) == (str(query), "figure50", "figure51")

    entries = lines(cli("classes", bundle, "--gallery", enrolled, "--json").stdout)
    assert [(e["label"], e["examples"]) for e in entries] == [("figure50", 2), ("figure51", 2)]
    assert entries[0]["enrolled_at"].startswith("20")

    assert lines(cli("forget", bundle, "figure50", "--gallery", enrolled, "--json").stdout) == [
        {"label": "figure50", "examples": 2, "undoable": True}
    ]
    assert len(lines(cli("classes", "--gallery", enrolled, "--json").stdout)) == 1
    (undone,) = lines(cli("undo", "--gallery", enrolled, "--json").stdout)
    assert (undone["undid"], undone["label"]) == ("forget", "figure50")
    log = lines(cli("log", "--gallery", enrolled, "--json").stdout)
    assert [e["kind"] for e in log] == ["create", "enroll", "enroll", "forget", "undo"]
    assert log[1]["actor"] == "Ada"


def test_people_read_the_same(cli: Cli, bundle: Path, files: dict[str, list[Path]], enrolled: Path) -> None:
    assert "figure50: 1 added, 3 in all" in cli(
        "enroll", bundle, "figure50", *files["figure50"][1:3], "--gallery", enrolled
    ).stdout  # fmt: skip
    assert cli("classify", bundle, files["figure50"][0], "--gallery", enrolled).stdout.count("figure50") >= 1
    assert "figure51  2 examples, since 20" in cli("classes", "--gallery", enrolled).stdout
    assert "figure51: 2 examples erased" in cli("forget", "figure51", "--erase", "--gallery", enrolled).stdout
    assert "Ada" in cli("log", "--gallery", enrolled).stdout


def test_verify_names_each_check(cli: Cli, bundle: Path, enrolled: Path, tmp_path: Path) -> None:
    result = cli("verify", bundle, "--gallery", enrolled)
    assert result.exit_code == 0
    assert [line[0] for line in result.stdout.splitlines()] == ["✓"] * 9
    verdicts = lines(cli("verify", bundle, "--json").stdout)
    assert all(v["passed"] for v in verdicts)
    broken = Path(shutil.copytree(bundle, tmp_path / "broken"))
    (broken / "report.json").write_text("{}")
    result = cli("verify", broken)
    assert result.exit_code == 1
    assert "✗ hashes and manifest: report.json" in result.stdout


def test_a_packed_bundle_works_everywhere(
    cli: Cli, bundle: Path, files: dict[str, list[Path]], enrolled: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "figures.pack"
    assert cli("pack", bundle, packed).exit_code == 0
    assert cli("classify", packed, files["figure50"][0], "--gallery", enrolled).exit_code == 0


def test_a_mistake_in_the_first_enrolment_leaves_no_gallery(cli: Cli, bundle: Path, tmp_path: Path) -> None:
    assert cli("enroll", bundle, "stop", "nowhere.png", "--gallery", tmp_path / "new.gallery").exit_code == 1
    assert not list(tmp_path.iterdir())


def test_an_emptied_gallery_is_not_taken_for_a_new_one(
    cli: Cli, bundle: Path, files: dict[str, list[Path]], tmp_path: Path
) -> None:
    empty = tmp_path / "empty.gallery"
    empty.touch()
    for command in (["classify", bundle, files["figure50"][0]], ["classes"], ["verify", bundle]):
        assert cli(*command, "--gallery", empty).exit_code == 1
        assert empty.stat().st_size == 0


def test_a_rate_that_cannot_be_promised_is_told_with_what_would_be_enough(
    cli: Cli, bundle: Path, files: dict[str, list[Path]], enrolled: Path
) -> None:
    rate = ["--gallery", enrolled, "--false-accept-rate", "0.001"]
    result = cli("classify", bundle, files["figure50"][0], *rate, "--json")
    assert result.exit_code == 0
    (answer,) = lines(result.stdout)
    assert (answer["known"], answer["threshold"]) == (False, None)
    for told in (answer["note"], result.stderr):
        assert "not enough to promise a false-accept rate of 0.001 with 2 classes" in told
        assert "Frames of 2995 different things that are not enrolled would be enough (none were given)" in told
    (answer,) = lines(cli("classify", bundle, files["figure50"][0], "--gallery", enrolled, "--json").stdout)
    assert (answer["known"], answer["note"]) == (True, None)


def test_an_unreadable_file_does_not_hide_the_other_answers(
    cli: Cli, bundle: Path, files: dict[str, list[Path]], enrolled: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    result = cli("classify", bundle, bad, files["figure50"][0], "--gallery", enrolled, "--json")
    assert result.exit_code == 1
    assert len(lines(result.stdout)) == 1
    assert "bad.png is not an image" in result.stderr


def test_one_example_is_erased_and_undo_goes_on_behind_it(cli: Cli, enrolled: Path) -> None:
    assert cli("forget", "figure51", "--gallery", enrolled).exit_code == 0
    erased = cli("forget", "--example", 1, "--erase", "--gallery", enrolled)
    assert erased.exit_code == 0, erased.stderr
    assert erased.stdout.startswith("figure50: example 1 erased (")
    again = cli("forget", "--example", 1, "--erase", "--gallery", enrolled)
    assert "No example 1 is enrolled" in again.stderr
    stopped = cli("undo", "--gallery", enrolled)
    assert stopped.exit_code == 1
    assert "event 5 (erase example 1 of figure50), cannot be undone: what was erased is gone" in stopped.stderr
    assert "event 4 (forget figure51): `edgefew undo --to 3` takes it back" in stopped.stderr
    back = cli("undo", "--to", 3, "--gallery", enrolled)
    assert back.stdout.startswith("undone: forget figure51, of ")
    assert "event 5 (erase example 1 of figure50) stays: what was erased is gone" in back.stderr
    entries = lines(cli("classes", "--gallery", enrolled, "--json").stdout)
    assert [(e["label"], e["examples"]) for e in entries] == [("figure50", 1), ("figure51", 2)]
    (told,) = lines(cli("forget", "--example", 2, "--erase", "--gallery", enrolled, "--json").stdout)
    assert (told["id"], told["undoable"], told["same_picture"]) == (2, False, [])
    assert cli("log", "--verify", "--gallery", enrolled).exit_code == 0


def test_examples_rename_and_going_back(cli: Cli, enrolled: Path, bundle: Path) -> None:
    held = lines(cli("examples", "figure50", "--gallery", enrolled, "--json").stdout)
    assert [e["label"] for e in held] == ["figure50"] * 2
    assert "example 1 forgotten" in cli("forget", "--example", held[0]["id"], "--gallery", enrolled).stdout
    assert len(cli("examples", bundle, "figure50", "--gallery", enrolled).stdout.splitlines()) == 1
    assert cli("rename", "figure50", "a star", "--gallery", enrolled).stdout == "figure50 is now a star\n"
    undone = lines(cli("undo", "--to", 3, "--gallery", enrolled, "--json").stdout)
    assert [e["undid"] for e in undone] == ["rename", "remove"]
    entries = lines(cli("classes", "--gallery", enrolled, "--json").stdout)
    assert [(e["label"], e["examples"]) for e in entries] == [("figure50", 2), ("figure51", 2)]
    log = cli("log", "--verify", "--gallery", enrolled)
    assert log.exit_code == 0
    assert "rename figure50 to a star" in log.stdout
    assert "undo event 5 (rename figure50)" in log.stdout


def test_classes_are_carried_to_another_device(cli: Cli, enrolled: Path, bundle: Path, tmp_path: Path) -> None:
    pack, other = tmp_path / "signs.pack", tmp_path / "other.gallery"
    assert cli("share", pack, "figure51", "--gallery", enrolled).stdout == f"{pack}: figure51 (2 examples)\n"
    assert cli("merge", pack, "--gallery", other).stdout == f"{pack}: figure51 (2 examples)\n"
    assert cli("merge", pack, enrolled, "--gallery", other, "--json").stdout.count('"figure50": 2') == 1
    assert cli("verify", bundle, "--gallery", other).exit_code == 0
    cli("rename", "figure51", "circle", "--gallery", enrolled)
    result = cli("merge", enrolled, "--gallery", other)
    assert result.exit_code == 1
    assert "Nothing was merged" in result.stderr
    assert "is 'figure51' here and 'circle' there" in result.stderr
    assert "exists already" in cli("share", pack, "--gallery", enrolled).stderr
    for label in ("figure50", "circle"):
        cli("forget", label, "--gallery", enrolled)
    nothing = cli("share", tmp_path / "empty.pack", "--gallery", enrolled)
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert "none to share" in nothing.stderr
    assert not (tmp_path / "empty.pack").exists()


def test_pictures_are_kept_of_what_is_enrolled_already(
    cli: Cli, bundle: Path, files: dict[str, list[Path]], enrolled: Path
) -> None:
    held, new = files["figure50"][:2], files["figure50"][2]
    keep = ["--gallery", enrolled, "--keep-frames"]
    result = cli("enroll", bundle, "figure50", *held, *keep)
    assert result.exit_code == 0, result.stderr
    assert "figure50: 0 added, 2 in all" in result.stdout
    assert "2 pictures kept of examples that were there already" in result.stdout
    again = cli("enroll", bundle, "figure50", *held, new, *keep, "--json")
    assert lines(again.stdout)[0]["frames_added"] == 0
    assert cli("examples", "figure50", "--gallery", enrolled).stdout.count("(picture kept)") == 3
    assert "keep 2 frames of figure50" in cli("log", "--gallery", enrolled).stdout
    cli("undo", "--to", 3, "--gallery", enrolled)
    assert "picture kept" not in cli("examples", "figure50", "--gallery", enrolled).stdout


def test_a_locked_gallery_needs_its_passphrase(
    cli: Cli, bundle: Path, files: dict[str, list[Path]], enrolled: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("correct horse\n")
    assert cli("lock", "--gallery", enrolled, "--passphrase-file", secret).exit_code == 0
    image = files["figure52"][0]
    for command in (["enroll", bundle, "new", image], ["forget", "figure50"], ["undo"], ["rename", "figure50", "x"]):
        result = cli(*command, "--gallery", enrolled)
        assert result.exit_code == 1
        assert "gallery is locked" in result.stderr
        assert "Nothing was changed" in result.stderr
    assert cli("classify", bundle, image, "--gallery", enrolled).exit_code == 0
    unlocked = ["--gallery", enrolled, "--passphrase-file", secret]
    assert cli("enroll", bundle, "new", image, *unlocked).exit_code == 0
    assert cli("unlock", *unlocked).exit_code == 0
    assert cli("forget", "new", "--gallery", enrolled).exit_code == 0


def test_reject_is_remembered_and_listed(cli: Cli, bundle: Path, files: dict[str, list[Path]], enrolled: Path) -> None:
    wrong = files["figure52"][0]
    result = cli("reject", bundle, "figure50", wrong, "--gallery", enrolled)
    assert result.stdout == "not figure50: 1 remembered\n"
    assert "skipped, remembered already" in cli("reject", bundle, "figure50", wrong, "--gallery", enrolled).stdout
    told = lines(cli("reject", bundle, "figure51", wrong, "--gallery", enrolled, "--json").stdout)
    assert told == [
        {"label": "figure51", "accepted": [str(wrong)], "skipped": [], "frames_added": 0, "turned_away": []}
    ]
    assert f"not {wrong}" in cli("examples", "figure50", "--gallery", enrolled).stdout
    assert "figure50  2 examples, 1 rejected, since" in cli("classes", "--gallery", enrolled).stdout
    always = cli("classify", bundle, wrong, "--gallery", enrolled, "--always-answer", "--json")
    assert lines(always.stdout)[0]["label"] is None
    result = cli("reject", bundle, "nobody", wrong, "--gallery", enrolled)
    assert result.exit_code == 1
    assert "No class 'nobody' is enrolled" in result.stderr
    merged = cli("merge", enrolled, "--gallery", enrolled.with_name("other.gallery")).stdout
    assert "figure50 (2 examples)" in merged
    assert merged.endswith("not figure50 (1 example), not figure51 (1 example)\n")


def test_calibrate_says_what_can_be_promised(
    cli: Cli, bundle: Path, files: dict[str, list[Path]], enrolled: Path, tmp_path: Path
) -> None:
    place = ["--gallery", enrolled]
    first = lines(cli("calibrate", bundle, *place, "--json").stdout)
    assert [(p["false_accept_rate"], p["basis"]) for p in first] == [(0.01, "none"), (0.05, "bundle"), (0.1, "bundle")]
    assert [p["strangers_needed"] for p in first] == [299, 59, 29]
    strangers = tmp_path / "strangers"
    strangers.mkdir()
    for kind in range(300, 360):
        draw_class(kind, 0, 0).save(strangers / f"{kind}.png")
    result = cli("calibrate", bundle, *place, "--negatives", strangers)
    assert result.exit_code == 0, result.stderr
    told = result.stdout.splitlines()
    assert told[0] == "60 strangers added, 60 in all"
    assert told[1].startswith("✗ 0.01: not enough to promise a false-accept rate of 0.01 with 2 classes")
    assert "Frames of 299 different things that are not enrolled would be enough (given: " in told[1]
    assert told[3].startswith("✓ 0.1: threshold ")
    assert " things of this site" in told[3]
    assert "; by the bundle alone it would be 0." in told[3]
    assert len(cli("examples", "--strangers", *place).stdout.splitlines()) == 60
    (promise,) = lines(cli("calibrate", bundle, *place, "--clear", "--false-accept-rate", 0.1, "--json").stdout)
    assert (promise["basis"], promise["strangers"]) == ("bundle", 0)
    assert "undone: clear (60 strangers)" in cli("undo", *place).stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "There is no image in" in cli("calibrate", bundle, *place, "--negatives", empty).stderr


def test_frames_of_one_thing_are_answered_together(
    cli: Cli, bundle: Path, files: dict[str, list[Path]], enrolled: Path
) -> None:
    frames = [*files["figure50"], files["figure51"][0]]
    result = cli("classify", bundle, *frames, "--gallery", enrolled, "--track", "--always-answer")
    assert result.stdout.splitlines()[-1].startswith(f"track: figure50 ({len(frames) - 1} of {len(frames)} frames")
    told = lines(cli("classify", bundle, *frames, "--gallery", enrolled, "--track", "--always-answer", "--json").stdout)
    assert len(told) == len(frames) + 1
    assert told[-1]["track"]["label"] == "figure50"


def test_a_watch_is_kept_over_accepted_answers(
    cli: Cli, bundle: Path, files: dict[str, list[Path]], enrolled: Path, tmp_path: Path
) -> None:
    state = tmp_path / "drift.json"
    watch = ["--gallery", enrolled, "--always-answer", "--watch", state]
    few = cli("classify", bundle, files["figure50"][0], *watch)
    assert few.exit_code == 1
    assert "scores; at least" in few.stderr
    assert not state.exists()
    for label in ("figure50", "figure51", "figure52", "figure53"):
        cli("enroll", bundle, label, *files[label], "--gallery", enrolled)
    good = [file for label in ("figure50", "figure51") for file in files[label]]
    (drift,) = [line["drift"] for line in lines(cli("classify", bundle, *good, *watch, "--json").stdout)[-1:]]
    assert (drift["alarm"], drift["seen"]) == (False, len(good))
    # Things of other kinds, always answered: their scores are far below.
    for _ in range(3):
        strange = [file for label in ("figure56", "figure57", "figure58") for file in files[label]]
        result = cli("classify", bundle, *strange, *watch)
        assert result.exit_code == 0
    assert "drift: Since accepted answer" in result.stderr
    state.write_text("{}")
    broken = cli("classify", bundle, good[0], *watch)
    assert broken.exit_code == 1
    assert state.read_text() == "{}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["enroll", "{bundle}", "stop", "nowhere.png", "--gallery", "{new}"], "There is no file nowhere.png"),
        (["enroll", "{bundle}", "stop", "{text}", "--gallery", "{new}"], "is not an image"),
        (["enroll", "{bundle}", " ", "{image}", "--gallery", "{new}"], "class name is empty"),
        (["enroll", "nowhere", "stop", "{image}", "--gallery", "{new}"], "There is no bundle nowhere"),
        (["enroll", "{text}", "stop", "{image}", "--gallery", "{new}"], "is not a bundle"),
        (["enroll", "{bundle}", "stop", "{image}", "--gallery", "{text}"], "is not a gallery"),
        (["enroll", "{bundle}", "stop", "{image}", "--gallery", "{new}", "--provider", "cuda"], "is not there"),
        (["classify", "{bundle}", "{image}", "--gallery", "{new}"], "There is no gallery"),
        (["classify", "{bundle}", "{image}", "--gallery", "{enrolled}", "--false-accept-rate", "1.5"], "between 1e-06"),
        (["classify", "{bundle}", "{image}", "--gallery", "{enrolled}", "--coverage", "0.999"], "calibrated for 0.8"),
        (["classes", "--gallery", "{new}"], "There is no gallery"),
        (["forget", "{bundle}", "stop", "--gallery", "{enrolled}"], "No class 'stop' is enrolled"),
        (["pack", "{bundle}", "{text}"], "exists already"),
    ],
)
def test_a_mistake_gets_one_clear_line(
    cli: Cli,
    bundle: Path,
    files: dict[str, list[Path]],
    enrolled: Path,
    tmp_path: Path,
    arguments: list[str],
    says: str,
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("hello")
    places = {
        "bundle": bundle, "new": tmp_path / "new.gallery", "text": text, "image": files["figure52"][0],
        "enrolled": enrolled,
    }  # fmt: skip
    before = enrolled.read_bytes()
    result = cli(*(a.format(**places) for a in arguments))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert says in result.stderr
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert (text.read_text(), enrolled.read_bytes()) == ("hello", before)

"""The evidence file: what it tells of a gallery, and what it tells of one that was changed by other means."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from edgefew_runtime.evidence import page, wilson

from tests.conftest import Cli


@pytest.fixture
def enrolled(cli: Cli, bundle: Path, unseen_folder: Path, gallery_path: Path) -> Path:
    for label, actor in (("figure50", "Ada"), ("figure51", "<b>Ben</b>")):
        files = sorted((unseen_folder / label).glob("*.png"))[:4]
        result = cli("enroll", bundle, label, *files, "--gallery", gallery_path, "--actor", actor)
        assert result.exit_code == 0, result.output
    return gallery_path


def test_it_tells_who_enrolled_what_and_how_it_is_recognised(
    cli: Cli, bundle: Path, enrolled: Path, tmp_path: Path
) -> None:
    out = tmp_path / "evidence.json"
    printed = cli("evidence", bundle, enrolled, out, "--json")
    assert printed.exit_code == 0, printed.output
    told = json.loads(out.read_text())
    assert told == json.loads(printed.stdout)
    log = [json.loads(line) for line in cli("log", "--gallery", enrolled, "--json").stdout.splitlines()]
    assert told["verified"] and told["problems"] == []
    assert told["gallery"] == {"id": log[0]["sha256"], "locked": False, "strangers": 0, "unlabelled": 0}
    assert told["log"]["head_sha256"] == log[-1]["sha256"]
    assert told["promise"]["basis"] == "bundle"
    first, second = told["classes"]
    assert [c["label"] for c in (first, second)] == ["figure50", "figure51"]
    assert {(e["enrolled_by"], e["event"]) for e in first["examples"]} == {("Ada", 2)}
    assert first["leave_one_out"]["judged"] == 4
    assert first["leave_one_out"]["right"] == sum(e["right"] for e in first["examples"])
    assert first["leave_one_out"]["least_margin"] == min(e["own"] - e["other"] for e in first["examples"])
    assert first["nearest_class"]["label"] == "figure51"
    assert any("no medical device" in line for line in told["is_not"])


def test_one_example_or_one_class_cannot_be_judged(
    cli: Cli, bundle: Path, unseen_folder: Path, gallery_path: Path, tmp_path: Path
) -> None:
    file = next((unseen_folder / "figure50").glob("*.png"))
    assert cli("enroll", bundle, "alone", file, "--gallery", gallery_path).exit_code == 0
    told = json.loads(cli("evidence", bundle, gallery_path, tmp_path / "e.json", "--json").stdout)
    (only,) = told["classes"]
    assert only["nearest_class"] is None
    assert (only["leave_one_out"]["judged"], only["leave_one_out"]["right_95"]) == (0, None)


def test_after_changes_each_example_still_has_its_event(
    cli: Cli, bundle: Path, enrolled: Path, unseen_folder: Path, tmp_path: Path
) -> None:
    pack, merged = tmp_path / "a.pack", tmp_path / "merged.gallery"
    other = sorted((unseen_folder / "figure52").glob("*.png"))[0]
    for words in (
        ("reject", bundle, "figure50", other, "--gallery", enrolled, "--actor", "Cleo"),
        ("forget", "figure51", "--gallery", enrolled),
        ("undo", "--gallery", enrolled),
        ("rename", "figure51", "renamed", "--gallery", enrolled),
        ("share", pack, "--gallery", enrolled),
        ("merge", pack, "--gallery", merged, "--actor", "Dan"),
    ):
        result = cli(*words)
        assert result.exit_code == 0, result.output
    told = json.loads(cli("evidence", bundle, enrolled, tmp_path / "e.json", "--json").stdout)
    assert told["classes"][1]["label"] == "renamed"
    (rejected,) = [e for e in told["classes"][0]["examples"] if e["rejected"]]
    assert rejected["enrolled_by"] == "Cleo" and "own" not in rejected
    told = json.loads(cli("evidence", bundle, merged, tmp_path / "m.json", "--json").stdout)
    assert {e["enrolled_by"] for c in told["classes"] for e in c["examples"]} == {"Dan"}


def test_a_page_for_people_escapes_everything(cli: Cli, bundle: Path, enrolled: Path, tmp_path: Path) -> None:
    out = tmp_path / "evidence.html"
    assert cli("evidence", bundle, enrolled, out).exit_code == 0
    text = out.read_text(encoding="utf-8")
    assert "holds together" in text and "&lt;b&gt;Ben&lt;/b&gt;" in text
    assert "<b>" not in text and "<script" not in text and "http" not in text
    assert "<th>examples<td><table><tr><th>id" in text  # a class below another: side by side, columns get a letter wide
    assert "&lt;i&gt;" in page({"verified": False, "<i>": [{"<i>": "<i>"}]})


def test_a_gallery_that_was_changed_is_told_of(cli: Cli, bundle: Path, enrolled: Path, tmp_path: Path) -> None:
    with sqlite3.connect(enrolled) as db:
        (trigger,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'event_is_append_only_update'").fetchone()
        db.execute("DROP TRIGGER event_is_append_only_update")
        db.execute("UPDATE event SET actor = 'Eve' WHERE id = 2")
        db.execute(trigger)
    db.close()
    out = tmp_path / "evidence.json"
    result = cli("evidence", bundle, enrolled, out)
    assert result.exit_code == 1 and "event 2" in result.output
    told = json.loads(out.read_text())
    assert not told["verified"] and "event 2" in told["problems"][0] and "classes" not in told
    assert cli("evidence", bundle, enrolled, tmp_path / "e.html").exit_code == 1
    assert "DOES NOT hold together" in (tmp_path / "e.html").read_text()


def test_nothing_is_overwritten_and_other_names_are_refused(
    cli: Cli, bundle: Path, enrolled: Path, tmp_path: Path
) -> None:
    out = tmp_path / "evidence.json"
    out.write_text("kept")
    result = cli("evidence", bundle, enrolled, out)
    assert result.exit_code == 1 and "exists already" in result.output
    assert out.read_text() == "kept"
    assert cli("evidence", bundle, enrolled, tmp_path / "evidence.pdf").exit_code == 2
    assert cli("evidence", bundle, tmp_path / "none", tmp_path / "e.json").exit_code == 1
    assert not (tmp_path / "e.json").exists()


def test_interval_of_a_share() -> None:
    assert wilson(0, 0) is None
    low, high = wilson(8, 10) or (0, 0)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)  # Wilson 1927, as in Newcombe 1998

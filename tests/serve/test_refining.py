"""Unlabelled frames over the service: `/api/v1/refine`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import draw_class
from tests.serve.conftest import OPERATOR, Server

REFINE = "/api/v1/refine"


@pytest.fixture
def drawn(tmp_path: Path) -> dict[int, list[Path]]:
    """Four drawings of each kind."""
    found: dict[int, list[Path]] = {}
    for kind in (50, 51, 52):
        for take in range(4):
            file = tmp_path / f"kind{kind}-{take}.png"
            draw_class(kind, take % 2, take).save(file)
            found.setdefault(kind, []).append(file)
    return found


def test_unlabelled_frames_count_in_what_they_resemble_and_are_taken_back(
    server: Server, drawn: dict[int, list[Path]]
) -> None:
    refused, told = server.form(REFINE, drawn[50][1:])
    assert (refused, told["error"]["type"]) == (409, "RefinementError")
    for kind in (50, 51):
        assert server.form("/api/v1/enroll", drawn[kind][:1], label=f"kind {kind}")[0] == 200
    none = server.ask("GET", REFINE)[1]
    assert (none["unlabelled"], none["taken"], none["of_no_class"]) == (0, {"kind 50": 0, "kind 51": 0}, 0)
    before = server.ask("GET", "/api/v1/status")[1]["gallery"]

    status, told = server.form(REFINE, drawn[50][1:], by="Mara")
    assert (status, len(told["accepted"]), told["unlabelled"]) == (200, 3, 3)
    assert told["taken"]["kind 50"] > told["taken"]["kind 51"] > 0
    assert sum(told["taken"].values()) + told["of_no_class"] == pytest.approx(3, abs=1e-3)
    assert server.form(REFINE, drawn[50][1:2])[1]["skipped"] == ["kind50-1.png"]
    again = server.ask("GET", REFINE, token=OPERATOR)[1]
    assert (again["taken"], again["reported"]) == (told["taken"], told["reported"])
    after = server.ask("GET", "/api/v1/status")[1]["gallery"]
    assert (after["classes"], after["examples"]) == (before["classes"], before["examples"])

    assert server.form(REFINE, drawn[51][1:3], replace="true")[1]["unlabelled"] == 2
    undone = [server.ask("POST", "/api/v1/undo", {"by": "Mara"})[1]["kind"] for _ in range(2)]
    assert undone == ["refine", "clear"]
    assert server.ask("GET", REFINE)[1]["unlabelled"] == 3
    assert server.ask("DELETE", f"{REFINE}?by=Mara")[1] == {"unlabelled": 3}
    assert server.ask("POST", "/api/v1/undo")[1]["kind"] == "clear"
    assert server.ask("GET", REFINE)[1]["taken"] == told["taken"]
    # Those that were replaced are erased too: they were on the disk still.
    assert server.ask("DELETE", f"{REFINE}?erase=true")[1] == {"unlabelled": 5}
    assert server.ask("GET", REFINE)[1]["unlabelled"] == 0
    assert server.ask("GET", "/api/v1/log/verify")[1]["problems"] == []


def test_only_a_teacher_refines(server: Server, drawn: dict[int, list[Path]]) -> None:
    assert server.form(REFINE, drawn[52], token=OPERATOR)[0] == 403
    assert server.ask("DELETE", REFINE, token=OPERATOR)[0] == 403
    assert server.ask("GET", REFINE, token=None)[0] == 401
    assert server.form(REFINE, drawn[52], replace="maybe")[0] == 400

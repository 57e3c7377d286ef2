"""The console in a real Chromium, against a real server; `make console` fetches what drives it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from edgefew_runtime import Gallery
from PIL import Image

from tests.conftest import draw_class
from tests.serve.clips import write_clip

ROOT = Path(__file__).parents[2]
CONSOLE = ROOT / "runtime" / "edgefew_runtime" / "serve" / "console"
MODULES = Path(os.environ.get("EDGEFEW_CONSOLE", ROOT / "build" / "console")) / "node_modules"
TOKEN = "a-token-of-the-tests-with-32-signs"  # noqa: S105


def test_the_page_asks_no_other_host_and_has_no_inline_script_or_style() -> None:
    for file in CONSOLE.iterdir():
        text = file.read_text()
        hosts = set(re.findall(r"https?://[^/\"' ]+", text))
        assert hosts <= {"http://www.w3.org"}, file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), (
            file.name
        )
    page = (CONSOLE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL) == [""]


def test_every_file_that_the_page_names_is_there() -> None:
    page = (CONSOLE / "index.html").read_text()
    named = set(re.findall(r'(?:src|href)="([^"#]+)"', page))
    for module in CONSOLE.glob("*.js"):
        named |= {Path(name).name for name in re.findall(r'(?:from "\./|addModule\(")([^"]+)"', module.read_text())}
    assert named | {"index.html"} == {file.name for file in CONSOLE.iterdir()}


def test_every_element_that_a_module_asks_for_is_made() -> None:
    page = (CONSOLE / "index.html").read_text()
    modules = "".join(module.read_text() for module in CONSOLE.glob("*.js"))
    made = set(re.findall(r'\bid="([^"]+)"', page)) | set(re.findall(r'\bid: "([^"]+)"', modules))
    assert set(re.findall(r'byId\("([^"]+)"\)', modules)) <= made


@pytest.fixture(scope="module")
def told(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What console.mjs saw."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    playwright, axe = MODULES / "playwright-core" / "index.js", MODULES / "axe-core" / "axe.min.js"
    if chromium is None or shutil.which("node") is None or not playwright.exists():
        pytest.skip("the console's test needs node, playwright-core (make console) and chromium")
    if find_spec("uvicorn") is None:
        pytest.skip("the console's test needs the extra serve")
    folder = tmp_path_factory.mktemp("console")
    pictures = draw_pictures(folder / "pictures")
    port = free_port()
    token = folder / "token"
    token.write_text(f"teacher {TOKEN}\n")
    token.chmod(0o600)
    served = [Path(sys.executable).with_name("edgefew"), "serve", bundle, "--gallery", folder / "site.gallery"]
    config = {
        "playwright": playwright,
        "axe": axe if axe.exists() else None,
        "chromium": chromium,
        "serve": [*map(str, served), "--port", str(port), "--token-file", str(token), "--keep-frames"],
        "url": f"http://127.0.0.1:{port}/",
        "token": TOKEN,
        "pictures": pictures,
        "clip": pictures / "clip.y4m",
        "out": folder,
    }
    (folder / "config.json").write_text(json.dumps(config, default=str))
    words = ["node", str(Path(__file__).with_name("console.mjs")), str(folder / "config.json")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout) | {"gallery": folder / "site.gallery"}
    return result


def draw_pictures(folder: Path) -> Path:
    folder.mkdir()
    drawn = {"one": (50, 0), "two": (50, 1), "again": (50, 2), "three": (54, 0), "four": (54, 1), "stranger": (57, 0)}
    for name, (kind, take) in drawn.items():
        draw_class(kind, 1, take, size=160).convert("RGB").save(folder / f"{name}.png")
    Image.new("RGB", (160, 160), "white").save(folder / "blank.png")
    write_clip(folder / "clip.y4m", [draw_class(52, 1, take, size=480) for take in range(6)])
    return folder


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def test_nothing_goes_wrong_in_the_browser_and_nothing_leaves_the_host(told: dict[str, Any]) -> None:
    assert told["problems"] == []
    assert len(told["hosts"]) == 1
    assert not told["tokenInUrl"]


def test_a_token_that_is_not_known_is_refused_in_words(told: dict[str, Any]) -> None:
    assert "token" in told["wrongToken"].lower()


def test_an_empty_gallery_says_what_to_do(told: dict[str, Any]) -> None:
    assert "Teach" in told["empty"]


def test_the_doctor_speaks_of_each_example_before_it_is_saved(told: dict[str, Any]) -> None:
    assert dict(told["advice"]) == {"blank.png": "odd", "one.png": "fine", "two.png": "fine"}
    assert told["advice"][0][0] == "blank.png"
    assert told["saved"].startswith("2 examples of figure one saved.")


def test_the_camera_adds_examples_as_long_as_the_button_or_the_key_is_held(told: dict[str, Any]) -> None:
    for seen in (told["held"], told["heldByKey"]):
        assert len(seen) >= 2
        assert all(name.startswith("camera-") for name, _ in seen)
    assert "of from the camera saved" in told["savedFromCamera"]


def test_a_known_thing_is_named_and_a_stranger_is_unknown(told: dict[str, Any]) -> None:
    assert told["live"] == {"kind": "known", "label": "from the camera"}
    assert told["known"] == {"kind": "known", "label": "figure one"}
    assert told["unknown"] == {"kind": "unknown", "label": "unknown"}


def test_classes_are_renamed_forgotten_and_brought_back(told: dict[str, Any]) -> None:
    assert [label for label, _ in told["classes"]] == ["figure one", "from the camera"]
    assert sorted(label for label, _ in told["renamed"]) == ["figure one", "two <b>"]
    assert [label for label, _ in told["forgotten"]] == ["two <b>"]
    assert sorted(told["undone"]) == sorted(told["renamed"])
    assert told["reloaded"] == told["undone"]


def test_unlabelled_pictures_count_in_what_they_resemble_and_are_taken_back(told: dict[str, Any]) -> None:
    counted = dict(zip(told["refined"][::2], told["refined"][1::2], strict=True))
    assert next(iter(counted)) == "figure one"
    assert set(counted) == {"figure one", "two <b>", "of no class"}
    assert told["refinedNoMore"] == "0 pictures"


def test_a_server_that_is_killed_while_it_saves_loses_nothing(told: dict[str, Any]) -> None:
    assert "The server is away" in told["away"]
    assert "2 examples" in told["away"]
    assert told["keptWhileAway"] == 2
    assert told["savedWhenBack"].startswith("2 examples of third saved")
    assert ["third", "2 examples"] in told["afterRestart"]
    with Gallery(told["gallery"]) as gallery:
        assert {one.label: one.examples for one in gallery.classes()}["third"] == 2


def test_a_closed_tab_loses_no_example_that_waits(told: dict[str, Any]) -> None:
    assert told["waitingAfterReload"] == ["stranger.png"]


def test_the_map_shows_every_example_in_marks_and_in_words(told: dict[str, Any]) -> None:
    with Gallery(told["gallery"]) as gallery:
        examples = {one.label: one.examples for one in gallery.classes()}
    assert told["marks"] == sum(examples.values())
    assert all(f"{label}, {number} example" in told["mapInWords"] for label, number in examples.items())


def test_the_log_tells_who_did_what_and_its_chain_is_checked(told: dict[str, Any]) -> None:
    assert ["Mara", "2 examples of third added"] in told["log"]
    assert ["Mara", "from the camera renamed to two <b>"] in told["log"]
    assert any(what.endswith("taken back (forget figure one)") for _, what in told["log"])
    assert told["verdict"].startswith("The chain holds")


def test_the_slider_says_what_it_means_and_what_cannot_be_promised(told: dict[str, Any]) -> None:
    assert told["rate"] == "At most 1 in 20 strangers will be taken for a class."
    assert told["strictest"] == "Not enough is known to promise 1 in 1000."
    assert told["unpromised"]["kind"] == "unknown"


def test_no_view_is_wider_than_a_phone(told: dict[str, Any]) -> None:
    assert {name: over for name, over in told["overflow"].items() if over > 0} == {}
    assert sum(name.startswith("phone") for name in told["overflow"]) == 5


def test_axe_finds_nothing_in_any_view(told: dict[str, Any]) -> None:
    if told["axe"] is None:
        pytest.skip("the accessibility test needs axe-core (make console)")
    assert {name: found for name, found in told["axe"].items() if found} == {}

"""The hosts in C, Node and the browser do what Python does. `make hosts` builds them; here those that are built run.

What is not there is skipped by name. EDGEFEW_HOSTS names another folder than build/hosts.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgefew_runtime import Bundle, Classifier, Gallery
from edgefew_runtime.host_state import HostState, read_state, write_state
from PIL import Image

from tests.conftest import draw_class

ROOT = Path(__file__).parents[2]
HOSTS = Path(os.environ.get("EDGEFEW_HOSTS", ROOT / "build" / "hosts"))
VECTORS = ROOT / "examples" / "hosts" / "vectors.py"
Run = Callable[..., subprocess.CompletedProcess[str]]


def command_of(host: str) -> list[str]:
    """The words that start a host; the test is skipped where it was not built."""
    needed = {"C": [HOSTS / "host"], "Node": [HOSTS / "node" / "host.js", HOSTS / "node" / "node_modules"]}[host]
    if not all(path.exists() for path in needed):
        pytest.skip(f"the {host} host is not built: make hosts")
    if host == "Node" and shutil.which("node") is None:
        pytest.skip("the Node host needs node")
    return [str(needed[0])] if host == "C" else ["node", str(needed[0])]


@pytest.fixture(params=["C", "Node"])
def host(request: pytest.FixtureRequest) -> Run:
    words = command_of(request.param)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture(scope="module")
def vectors(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The conformance vectors of the bundle."""
    out = tmp_path_factory.mktemp("vectors") / "vectors"
    subprocess.run([sys.executable, str(VECTORS), str(bundle), str(out)], check=True, capture_output=True)
    return out


def frame(kind: int, take: int) -> Image.Image:
    return draw_class(kind, take % 3, take, size=40 + kind % 3)


def as_ppm(image: Image.Image, path: Path) -> Path:
    image.convert("RGB").save(path, format="PPM")
    return path


def pixels(path: Path) -> np.ndarray:
    """What a host sees of a file: it is known by its pixels, not by the file's bytes."""
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_vectors_cover_every_step_and_every_trap(vectors: Path) -> None:
    lines = (vectors / "steps.txt").read_text().splitlines()
    verbs = [line.split()[0] for line in lines]
    assert {"embed", "enroll", "classify", "learn", "recognise", "reset"} <= set(verbs)
    decisions = [line.split()[3] for line in lines if line.startswith("recognise")]
    assert "unknown" in decisions
    assert len(set(decisions)) >= 3
    labels = np.fromfile(vectors / "bad-rows.labels", "<i8")
    assert not np.fromfile(vectors / "bad-rows.accepted", "u1").any()
    assert (labels < 0).any()
    assert not np.fromfile(vectors / "bad-queries.known", "u1").any()


def test_a_host_agrees_on_every_vector(host: Run, bundle: Path, vectors: Path) -> None:
    done = host(bundle, "vectors", vectors)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
    steps = sum(
        line.split()[0] in ("embed", "enroll", "classify", "learn", "recognise")
        for line in (vectors / "steps.txt").read_text().splitlines()
    )
    assert f"{steps} of {steps} steps agree" in done.stdout


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("embed-exact.embedding", lambda a: a + np.float32(2e-4)),
        ("embed-large.embedding", lambda a: a[::-1]),
        ("enroll.sums", lambda a: a + np.float32(2**-16)),
        ("enroll.counts", lambda a: a + np.float32(1)),
        ("classify.scores", lambda a: a + np.float32(2e-4)),
        ("classify.probabilities", lambda a: a * np.float32(0.99)),
    ],
)
def test_a_vector_that_differs_fails(
    host: Run, bundle: Path, vectors: Path, tmp_path: Path, name: str, spoil: Callable[[Any], Any]
) -> None:
    wrong = shutil.copytree(vectors, tmp_path / "wrong")
    spoil(np.fromfile(wrong / name, "<f4")).astype("<f4").tofile(wrong / name)
    done = host(bundle, "vectors", wrong)
    assert done.returncode == 1
    assert f"✗ {name.split('-')[0].split('.')[0]} {name.split('.')[0]}" in done.stdout


def test_a_host_learns_keeps_recognises_and_forgets_as_python_does(host: Run, bundle: Path, tmp_path: Path) -> None:
    state = tmp_path / "classes.state"
    pictures = {
        kind: [as_ppm(frame(kind, take), tmp_path / f"{kind}-{take}.ppm") for take in range(5)]
        for kind in (50, 51, 52, 53)
    }
    for kind in (50, 51, 52):
        done = host(bundle, state, "enroll", f"figure {kind}", *pictures[kind][:3])
        assert done.stdout == f"figure {kind}: 3 added, 3 in all\n", done.stderr
    assert host(bundle, state, "enroll", "figure 50", pictures[50][0]).stdout == "figure 50: 0 added, 3 in all\n"
    asked = [path for kind in pictures for path in pictures[kind][3:]]
    told = host(bundle, state, "classify", *asked)

    with Classifier.open(bundle) as ours:
        for kind in (50, 51, 52):
            ours.enroll(f"figure {kind}", [pixels(path) for path in pictures[kind][:3]])
        read_state(state, ours.bundle.id, ours.bundle.manifest.dimension)
        answers = [ours.classify(pixels(path)) for path in asked]
        expected = [str(answer) for answer in answers]
        assert [line.split(": ", 1)[1].split(" (")[0] for line in told.stdout.splitlines()] == expected
        assert "unknown" in expected
        assert len(set(expected)) > 2
        scores = [float(line.split("score ")[1].split(",")[0]) for line in told.stdout.splitlines()]
        assert scores == pytest.approx([answer.score for answer in answers], abs=1e-3)
        python = HostState.of(ours.gallery)
        theirs = HostState.from_bytes(state.read_bytes())
        assert list(theirs.content) == list(python.content)
        assert theirs.counts.tolist() == python.counts.tolist()
        assert np.abs(theirs.sums - python.sums).max() < 1e-3
        assert [e.source_sha256 for e in theirs.content["figure 51"]] == [
            e.source_sha256 for e in python.content["figure 51"]
        ]

        assert host(bundle, state, "forget", "figure 51").stdout == "figure 51: forgotten\n"
        assert host(bundle, state, "classes").stdout == "figure 50: 3\nfigure 52: 3\n"
        with Gallery(tmp_path / "site.gallery", ours.bundle.id, ours.bundle.manifest.dimension) as gallery:
            HostState.from_bytes(state.read_bytes()).enroll_into(gallery)
            assert [(c.label, c.examples) for c in gallery.classes()] == [("figure 50", 3), ("figure 52", 3)]
            again = tmp_path / "again.state"
            write_state(HostState.of(gallery), again)
    assert again.read_bytes()[: 8 + 32 + 12] == state.read_bytes()[: 8 + 32 + 12]
    assert host(bundle, again, "classes").stdout == "figure 50: 3\nfigure 52: 3\n"


def test_a_host_refuses_what_is_damaged_and_loses_nothing(host: Run, bundle: Path, tmp_path: Path) -> None:
    state = tmp_path / "classes.state"
    picture = as_ppm(frame(50, 0), tmp_path / "a.ppm")
    assert host(bundle, state, "enroll", "a", picture).returncode == 0
    good = state.read_bytes()
    for spoiled in (
        good[:-1],
        good + b"\0",
        b"X" + good[1:],
        good[:8] + b"\1" + good[9:],
        good[:60] + b"\1" + good[61:],
    ):
        state.write_bytes(spoiled)
        for words in (["classes"], ["enroll", "b", picture], ["classify", picture]):
            done = host(bundle, state, *words)
            assert done.returncode == 1
            assert done.stderr.startswith("Error: ")
        assert state.read_bytes() == spoiled
    state.write_bytes(good)
    missing = host(bundle, state, "enroll", "b", picture, tmp_path / "none.ppm")
    assert missing.returncode == 1
    assert state.read_bytes() == good

    damaged = shutil.copytree(bundle, tmp_path / "damaged.edgefew")
    model = damaged / "embed" / "fp32" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    refused = host(damaged, state, "classes")
    assert refused.returncode == 1
    assert "has other bytes than were exported" in refused.stderr


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(bundle: Path, vectors: Path, tmp_path: Path) -> Iterator[str]:
    """The address of the page with the bundle and the vectors beside it."""
    page = HOSTS / "page"
    if not (page / "ort").is_dir():
        pytest.skip("the page is not built: make hosts")
    folder = shutil.copytree(page, tmp_path / "page")
    shutil.copytree(bundle, folder / "bundle", dirs_exist_ok=True)
    shutil.copytree(vectors, folder / "vectors", dirs_exist_ok=True)
    server = http.server.ThreadingHTTPServer(("localhost", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_page_learns_keeps_recognises_and_forgets_in_a_browser(served: str, bundle: Path, tmp_path: Path) -> None:
    playwright = HOSTS / "npm-web" / "node_modules" / "playwright-core" / "index.js"
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not playwright.exists() or chromium is None or shutil.which("node") is None:
        pytest.skip("the page's test needs node, playwright-core (make hosts) and chromium")
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    out.mkdir()
    for name, image in {
        "one": draw_class(50, 0, 0, size=160),
        "two": draw_class(50, 0, 1, size=160),
        "other": draw_class(52, 0, 0, size=160),
        "stranger": draw_class(57, 1, 0, size=160),
    }.items():
        image.convert("RGB").save(pictures / f"{name}.png")
    words = ["node", Path(__file__).with_name("page.mjs"), playwright, chromium, served, pictures, out]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    two = [["figure one", "2 examples"], ["other", "1 example"]]
    assert told["problems"] == []
    assert told["hosts"] == [served.split("/")[2]]
    assert (told["vectors"]["failed"], len(told["vectors"]["lines"]) > 20) == (0, True)
    assert told["nothing"] == {"label": "unknown", "kind": "unknown", "detail": "No class is enrolled."}
    assert told["taught"] == "figure one: 2 added, 2 in all."
    assert told["again"] == "other: 0 added, 1 in all (1 had been added before)."
    assert told["classes"] == told["afterReload"] == told["undone"][1] == told["stillThere"] == told["loaded"] == two
    assert told["forgotten"][1] == two[:1]
    assert (told["known"]["label"], told["known"]["kind"]) == ("figure one", "known")
    assert (told["unknown"]["label"], told["unknown"]["kind"]) == ("unknown", "unknown")
    assert told["phoneUnknown"] == told["unknown"]
    assert "A class name has 1 to 200 characters" in told["noName"]
    assert "no state file" in told["badState"]
    assert (told["cameraAnswer"], told["cameraStopped"]) == ("what the camera shows", True)
    assert told["overflow"] == 0
    with Classifier.open(bundle) as ours:
        kept = read_state(out / "page.state", ours.bundle.id, ours.bundle.manifest.dimension)
        ours.enroll("figure one", [pixels(pictures / "one.png"), pixels(pictures / "two.png")])
        ours.enroll("other", pixels(pictures / "other.png"))
        python = HostState.of(ours.gallery)
    assert np.abs(kept.sums - python.sums).max() < 1e-3
    assert [e.source_sha256 for e in kept.content["other"]] == [e.source_sha256 for e in python.content["other"]]


def test_what_the_hosts_need_is_pinned() -> None:
    for folder in ("node", "browser"):
        package = json.loads((ROOT / "examples" / "hosts" / folder / "package.json").read_text())
        assert all(v[0].isdigit() for v in {**package["dependencies"], **package.get("devDependencies", {})}.values())
    for file in (ROOT / "examples" / "hosts" / "browser").glob("*.*"):
        assert "http://" not in file.read_text()
        assert "https://" not in file.read_text()


def test_the_bundle_that_hosts_open_is_the_one_that_python_opens(bundle: Path, vectors: Path) -> None:
    assert f"bundle {Bundle.open(bundle).id}" in (vectors / "steps.txt").read_text().splitlines()

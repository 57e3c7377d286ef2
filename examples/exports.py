"""Five networks from five sources, each exported, measured and verified: `python examples/exports.py OUT BUNDLES`.

What each bundle says of itself goes to OUT (`docs/exports`): its report, model card and verdicts, what it costs on this
machine, and the pictures of one. Data, checkpoints and the bundles themselves go to BUNDLES.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from edgefew_export.backbones.efficientnet_lite0 import EfficientNetLite0
from edgefew_export.measured import measured_file
from edgefew_export.sources.pretrained import fill_published

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = r"^(?P<source>[a-z]+)\."
RECORDERS = r"^(recorder\d)"
WINDOW, RATE = 200, 400
"""Samples of a window, and in a second."""


def main() -> None:
    """Write all five."""
    out, bundles = (Path(folder).resolve() for folder in sys.argv[1:])
    shutil.rmtree(bundles, ignore_errors=True)
    bundles.mkdir(parents=True)
    test, train = bundles / "pictograms-test", bundles / "pictograms-train"
    edgefew("data", "pictograms", test, "--part", "test")
    edgefew("data", "pictograms", train, "--part", "train")
    motors, other_motors = bundles / "motors", bundles / "other-motors"
    vibrations(motors, range(80))
    vibrations(other_motors, range(100, 160))
    checkpoint, signals = bundles / "pictograms.ckpt", bundles / "motors.ckpt"
    edgefew("train", train, "--out", checkpoint, "--source-pattern", FAMILIES, "--episodes", 600)
    edgefew("train", other_motors, "--out", signals, "--source-pattern", RECORDERS, "--episodes", 150)
    embedder = bundles / "lite0.onnx"
    plain_onnx(embedder)

    pictures = ["--data", test, "--source-pattern", FAMILIES]
    windows = ["--data", motors, "--source-pattern", RECORDERS]
    lasts = WINDOW / RATE
    declared = ["--kind", "signal", "--samples", 128, "--channels", 2, "--normalize", "window", "--seconds", lasts]
    sources: dict[str, list[object]] = {
        "checkpoint": [checkpoint, *pictures],
        "efficientnet-lite0": ["efficientnet_lite0", "--image-size", 96, "--variants", "int8,fp16", *pictures],
        "module-factory": ["examples.signal_backbone:spectrum", *declared, *windows],
        "signal-checkpoint": [signals, *windows],
        "onnx-file": [embedder, "--scaling", "symmetric", *pictures],
    }
    for name, (source, *options) in sources.items():
        bundle, text = bundles / f"{name}.edgefew", out / name
        text.mkdir(parents=True, exist_ok=True)
        said = [edgefew("export", source, bundle, *options, "--measure")]
        said.append(edgefew("verify", bundle, *(windows if motors in options else pictures)))
        for file, words in zip(("export.txt", "verify.txt"), said, strict=True):
            (text / file).write_text(words.replace(f"{bundles}/", ""), encoding="utf-8")
        for file in ("report.json", "model-card.md"):
            shutil.copy(bundle / file, text / file)
        shutil.copy(measured_file(bundle), text / "measured.json")
    edgefew("pictures", bundles / "efficientnet-lite0.edgefew", out / "efficientnet-lite0")


def edgefew(*words: object) -> str:
    """What a command prints; an error ends all."""
    command = [str(Path(sys.executable).with_name("edgefew")), *map(str, words)]
    print("$ edgefew", *words, flush=True)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def vibrations(folder: Path, machines: range) -> None:
    """Windows of two channels: a class is a machine with its own tones, a source one of three recorders."""
    for machine in machines:
        rng = np.random.default_rng(machine)
        tones, phase = rng.uniform(5, 60, 5), rng.uniform(0, 2 * np.pi, (5, 2))
        strength = rng.uniform(0.2, 1, (5, 2))
        for recorder in range(3):
            for take in range(4):
                time = np.arange(WINDOW)[:, None] / RATE + rng.uniform(0, 1)
                waves = sum(
                    s * np.sin(2 * np.pi * t * time + p) for t, s, p in zip(tones, strength, phase, strict=True)
                )
                gain, offset = rng.uniform(0.5, 2), rng.uniform(-1, 1)
                path = folder / f"machine{machine:03}" / f"recorder{recorder}-{take}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, (gain * (waves + rng.normal(0, 0.5, (WINDOW, 2))) + offset).astype(np.float32))


def plain_onnx(path: Path) -> None:
    """EfficientNet-Lite0 with its ImageNet weights as an ONNX file such as another program may have made."""
    network = EfficientNetLite0(64)
    fill_published(network)
    program = torch.onnx.export(
        network.eval(),
        (torch.zeros(2, 3, 64, 64),),
        dynamo=True,
        external_data=False,
        opset_version=18,
        input_names=["images"],
        output_names=["features"],
        dynamic_shapes=({0: torch.export.Dim("n")},),
    )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    program.save(path)


if __name__ == "__main__":
    main()

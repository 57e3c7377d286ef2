"""What one device computes, for the matrix: runs in an environment that has the runtime alone.

    python device.py FRAMES OUT BUNDLE…

For each bundle, OUT/NAME.npz gets the embeddings of each variant and the answers. All that is wrong is an exception.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from edgefew_runtime import Bundle, Classifier
from edgefew_runtime.loading import load_embedder
from edgefew_runtime.selftest import verify


def main() -> None:
    frames, out, *bundles = map(Path, sys.argv[1:])
    for path in bundles:
        for verdict in verify(path):
            if not verdict.passed:
                raise SystemExit(f"{verdict.check}: {verdict.seen}")
        np.savez(out / f"{path.name}.npz", **computed(path, frames, out))


def computed(path: Path, folder: Path, scratch: Path) -> dict[str, np.ndarray]:
    bundle = Bundle.open(path)
    with np.load(folder / f"{bundle.manifest.input.kind}.npz") as archive:
        frames = {name: archive[name] for name in archive.files}  # CLASS-NUMBER → a raw frame
    results = {}
    for variant in bundle.variants():
        # From the exported graph, then from the one optimised here: what is kept must compute the same.
        for cache in (None, scratch / "cache", scratch / "cache"):
            session = load_embedder(bundle, variant=variant, cache=cache)
            embeddings = np.concatenate([session.run({"frames": frame[None]})[0] for frame in frames.values()])
            before = results.setdefault(f"embeddings {variant}", embeddings)
            if np.abs(before - embeddings).max() > 1e-4:
                raise SystemExit(f"{variant}: the optimised graph computes something else")
    gallery = scratch / f"{path.name}.gallery"
    support = {name: frame for name, frame in frames.items() if name.endswith(("-0", "-1"))}
    with Classifier.open(bundle, gallery, cache=scratch / "cache", false_accept_rate=None) as classifier:
        for name, frame in support.items():
            classifier.enroll(name.partition("-")[0], [frame])
    # Anew, as after a restart: what was enrolled is read back.
    with Classifier.open(path, gallery, cache=scratch / "cache", false_accept_rate=None) as classifier:
        answers = {name: classifier.classify(frame) for name, frame in frames.items() if name not in support}
    results["labels"] = np.array([str(answer.label) for answer in answers.values()])
    results["right"] = np.array([answer.label == name.partition("-")[0] for name, answer in answers.items()])
    results["probabilities"] = np.array([answer.probability for answer in answers.values()])
    return results


if __name__ == "__main__":
    main()

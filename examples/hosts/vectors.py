"""Write conformance vectors from a bundle: `python examples/hosts/vectors.py BUNDLE OUT`.

OUT/steps.txt is a list of steps, one a line; beside it lie the raw arrays that each step takes, and those that it must
give, as Python's ONNX Runtime computed them from the same bundle. docs/hosts.md says how a host runs them.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from edgefew_runtime import Bundle, FrameError, head
from edgefew_runtime.frames import Pixels
from edgefew_runtime.session import OrtSession, Session

STEPS = ("embed", "enroll", "classify", "learn", "recognise")
SLOTS = 4
TOLERANCE = 1e-4
COSINE = 0.999
"""Of embeddings of frames that were resized: another runtime may round a pixel by 1 of 255 the other way."""

WIDEST_GAP = 0.02
"""Decisions are asked for only where no best score is within half of this of the threshold."""

Floats = npt.NDArray[np.float32]


class Vectors:
    """The steps so far, and the state that they lead to."""

    def __init__(self, bundle: Bundle, out: Path) -> None:
        self.out = out
        self.dimension, self.scale = bundle.manifest.dimension, np.float32(bundle.manifest.scale)
        self.embedder, self.enroller, self.classifier = (
            OrtSession(bundle.model(component)) for component in ("embed", "enroll", "classify")
        )
        self.lines = [
            "edgefew-vectors 1",
            f"bundle {bundle.id}",
            f"dimension {self.dimension}",
            f"classes {SLOTS}",
            f"scale {float(self.scale)!r}",
            f"tolerance {TOLERANCE}",
            f"cosine {COSINE}",
        ]
        self.reset()

    def reset(self) -> None:
        """Begin with no class enrolled."""
        self.sums = np.zeros((SLOTS, self.dimension), np.float32)
        self.counts = np.zeros(SLOTS, np.float32)
        self.lines.append("reset")

    def embed(self, name: str, frame: Pixels, kind: str) -> None:
        """A frame and its embedding."""
        self.lines.append(f"embed {name} {kind}")
        self._frame(name, frame)
        self._write(name, embedding=self._embedding(frame)[0])

    def enroll(self, name: str, embeddings: Floats, labels: list[int], weight: float = 1) -> None:
        """Embeddings into the state, and the state after it."""
        self.lines.append(f"enroll {name} {len(labels)}")
        given = {
            "embeddings": embeddings,
            "labels": np.array(labels, np.int64),
            "weights": np.full(len(labels), weight, np.float32),
        }
        accepted = self._enroll(given)
        self._write(name, **given, accepted=accepted.astype(np.uint8), sums=self.sums, counts=self.counts)

    def classify(self, name: str, embeddings: Floats, threshold: float) -> None:
        """Embeddings, and what they are taken for."""
        self.lines.append(f"classify {name} {len(embeddings)} {threshold!r}")
        probabilities, scores, best, known = self._classify(embeddings, threshold)
        results = {"probabilities": probabilities, "scores": scores, "best": best, "known": known.astype(np.uint8)}
        self._write(name, embeddings=embeddings, **results)

    def learn(self, name: str, frame: Pixels, label: int) -> None:
        """A frame into a class: the host embeds it by itself."""
        self.lines.append(f"learn {name} {label}")
        self._frame(name, frame)
        given = {"embeddings": self._embedding(frame), "labels": np.array([label]), "weights": np.ones(1, np.float32)}
        self._enroll(given)

    def recognise(self, frames: dict[str, Pixels]) -> None:
        """Frames, and what they are taken for, at a threshold that is near none of their scores."""
        tops = {name: float(self._classify(self._embedding(frame), 0)[1].max()) for name, frame in frames.items()}
        ordered = sorted(tops.values())
        gap, low = max((high - low, low) for low, high in itertools.pairwise(ordered))
        if gap < WIDEST_GAP:
            raise FrameError(f"The frames' best scores are all within {gap:.3f}: no decision would be safe to compare.")
        threshold = round(low + gap / 2, 4)
        for name, frame in frames.items():
            _, scores, best, known = self._classify(self._embedding(frame), threshold)
            second = np.sort(scores[0])[-2]
            if known[0] and scores[0].max() - second < WIDEST_GAP / 2:
                raise FrameError(f"{name} is as near to two classes: no decision would be safe to compare.")
            self.lines.append(f"recognise {name} {threshold!r} {int(best[0]) if known[0] else 'unknown'}")
            self._frame(name, frame)

    def finish(self) -> int:
        """Write the list of steps; gives their number."""
        (self.out / "steps.txt").write_text("\n".join(self.lines) + "\n", encoding="ascii")
        return sum(line.split()[0] in STEPS for line in self.lines)

    def _embedding(self, frame: Pixels) -> Floats:
        return self._run(self.embedder, frames=frame[None])[0]

    def _enroll(self, given: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
        self.sums, self.counts, accepted = self._run(self.enroller, **given, sums=self.sums, counts=self.counts)
        return accepted

    def _classify(self, embeddings: Floats, threshold: float) -> list[npt.NDArray[Any]]:
        numbers = {"scale": np.array(self.scale), "threshold": np.array(threshold, np.float32)}
        return self._run(self.classifier, embeddings=embeddings, sums=self.sums, counts=self.counts, **numbers)

    @staticmethod
    def _run(session: Session, **inputs: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        return session.run(inputs)

    def _frame(self, name: str, frame: Pixels) -> None:
        height, width, _ = frame.shape
        (self.out / f"{name}.ppm").write_bytes(f"P6\n{width} {height}\n255\n".encode() + frame.tobytes())

    def _write(self, name: str, **arrays: npt.NDArray[Any]) -> None:
        for part, array in arrays.items():
            little = array.astype(array.dtype.newbyteorder("<"))
            (self.out / f"{name}.{part}").write_bytes(little.tobytes())


def drawn(kind: int, take: int, height: int, width: int) -> Pixels:
    """A picture of one of four kinds: bars, a disc, a cross, stripes; a little elsewhere in each take."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1) - 0.5
    y, x = y + 0.03 * take, x - 0.04 * take
    kinds = [np.abs(x) < 0.12, x * x + y * y < 0.12, np.abs(np.abs(x) - np.abs(y)) < 0.1, np.sin(30 * y) > 0]
    ink = kinds[kind][..., None] * np.array([1.0, 0.8, 0.6]) * (1 - 0.1 * take)
    return np.asarray(255 - np.round(220 * ink), np.uint8)


def unit_rows(number: int, dimension: int, seed: int) -> Floats:
    """Rows that every IEEE float32 puts on the same points of the grid: they lie near one, and are not of length 1."""
    rows = head.to_grid(np.random.default_rng(seed).standard_normal((number, dimension)).astype(np.float32))
    return rows * np.float32(3)


def graph_steps(vectors: Vectors) -> None:
    """The two small graphs alone, on given embeddings, with every trap."""
    d = vectors.dimension
    rows = unit_rows(6, d, 1)
    vectors.enroll("enroll", rows, [0, 1, 2, 0, 1, 2])
    queries = np.concatenate([rows[:3] + unit_rows(3, d, 2) / 2, unit_rows(2, d, 3)]).astype(np.float32)
    vectors.classify("classify", queries, 0.5)
    bad = unit_rows(6, d, 4)
    bad[0, 0], bad[1, 0], bad[2] = np.nan, np.inf, 0
    vectors.enroll("bad-rows", bad, [0, 1, 2, -1, SLOTS, -(2**63)])
    vectors.classify("bad-queries", bad[:3], -1.0)
    vectors.enroll("nothing", rows[:0], [])
    vectors.classify("nobody", rows[:0], 0.5)
    vectors.enroll("take-out", rows[[2, 5]], [2, 2], weight=-1)
    vectors.classify("emptied-class", queries, 0.5)
    vectors.reset()
    vectors.classify("no-class", queries, -1.0)


def frame_steps(vectors: Vectors, height: int, width: int) -> None:
    """Frames alone: from pixels to a decision."""
    sizes = {"exact": (height, width), "large": (3 * height + 1, 2 * width + 5), "small": (height // 2, width - 3)}
    for number, (name, size) in enumerate(sizes.items()):
        vectors.embed(f"embed-{name}", drawn(number, 0, *size), "exact" if name == "exact" else "resized")
    vectors.embed("embed-pixel", np.full((1, 1, 3), 90, np.uint8), "resized")
    for kind in range(3):
        for take in range(2):
            vectors.learn(f"learn-{kind}-{take}", drawn(kind, take, height, width), kind)
    frames = {f"recognise-{kind}": drawn(kind, 2, height, width) for kind in range(3)}
    vectors.recognise({**frames, "recognise-stranger": drawn(3, 0, height, width)})


def main() -> None:
    """Write the vectors of the bundle that the command line names."""
    bundle, out = Bundle.open(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True)
    vectors = Vectors(bundle, out)
    graph_steps(vectors)
    frame_steps(vectors, *bundle.manifest.input.size)
    print(f"{out}: {vectors.finish()} steps")


if __name__ == "__main__":
    main()

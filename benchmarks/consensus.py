"""Is a video answered better than a frame? Error rates of single frames beside those of their consensus.

    python benchmarks/consensus.py BUNDLE FOLDER --source-pattern REGEX [--galleries 40] [--seed 0]

FOLDER holds classes that training did not see. Each gallery enrolls `--way` of them, chosen at random, with `--shots`
pictures. A track is one picture from a source that was not enrolled for its class, seen in 9 frames: shifted (around
the edge), blurred, darkened and noisy, each differently. There is one track of each enrolled class and one of each of
as many others (strangers). Prints one JSON object. Intervals are 95 %, over galleries; "gain" is the paired difference,
as far as consensus is better.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from edgefew_export.labelled_folder import LabelledFolder, read_labelled_folder
from edgefew_runtime import Answer, Bundle, Classifier
from edgefew_runtime.consensus import Consensus, TrackAnswer, track_answer
from edgefew_runtime.frames import Pixels, load_frame
from intervals import with_interval
from PIL import Image, ImageChops, ImageFilter

FRAMES = 9
SHIFT, BLUR, DARK, NOISE = 0.12, 2.0, 0.5, 40.0
"""The most of each: share of the side, Gaussian radius in pixels, share of the light lost, standard deviation."""


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--source-pattern", required=True, help="A regular expression that finds the source in a file name.")
@click.option("--way", default=20, show_default=True, help="Classes enrolled, and as many strangers.")
@click.option("--shots", default=3, show_default=True, help="Pictures enrolled of each.")
@click.option("--window", default=7, show_default=True, help="Frames that vote.")
@click.option("--galleries", default=40, show_default=True, help="Random galleries.")
@click.option("--seed", default=0, show_default=True)
def main(
    bundle: Path, folder: Path, source_pattern: str, way: int, shots: int, window: int, galleries: int, seed: int
) -> None:
    """Measure consensus on tracks of pictures in FOLDER, with and without a promised false-accept rate."""
    opened, data = Bundle.open(bundle), read_labelled_folder(folder, source_pattern)
    rows = []
    for rate in (None, 0.05):
        rng = np.random.default_rng(seed)
        told = [_gallery(opened, data, rate, way, shots, window, rng) for _ in range(galleries)]
        figures = {name: with_interval([value for one in told if (value := one[name]) is not None]) for name in told[0]}
        rows.append({"false_accept_rate": rate, **figures})
    setting = {"way": way, "shots": shots, "window": window, "frames": FRAMES, "galleries": galleries, "seed": seed}
    click.echo(json.dumps({"bundle": opened.id, **setting, "rows": rows}, indent=1))


def _gallery(
    bundle: Bundle,
    data: LabelledFolder,
    rate: float | None,
    way: int,
    shots: int,
    window: int,
    rng: np.random.Generator,
) -> dict[str, float | None]:
    """The figures of one random gallery."""
    support, tracks = _choose(data, way, shots, rng)
    with Classifier.open(bundle, false_accept_rate=rate) as classifier:
        for label, files in support.items():
            classifier.enroll(label, [data.root / file for file in files])
        seen = [
            (label if label in support else None, classifier.classify_many(_frames(data.root / file, rng)))
            for label, file in tracks
        ]
    verdicts = [(truth, _follow(answers, window)) for truth, answers in seen]
    enrolled = [i for i, (truth, _) in enumerate(seen) if truth is not None]
    strangers = [i for i, (truth, _) in enumerate(seen) if truth is None]

    frame_wrong = _mean([_wrong(a, seen[i][0]) for i in enrolled for a in seen[i][1]])
    last_wrong = _mean([_wrong(verdicts[i][1][-1], verdicts[i][0]) for i in enrolled])
    frame_right = _mean([_right(a, seen[i][0]) for i in enrolled for a in seen[i][1]])
    last_right = _mean([_right(verdicts[i][1][-1], verdicts[i][0]) for i in enrolled])
    whole = [(seen[i][0], track_answer(seen[i][1])) for i in enrolled]
    delays = [
        delay
        for before, after in itertools.pairwise(enrolled)
        if (delay := _delay(seen[before][1], seen[after][1], seen[after][0], window)) is not None
    ]
    return {
        "frame_wrong": frame_wrong,
        "consensus_wrong": last_wrong,
        "gain_wrong": frame_wrong - last_wrong,
        "frame_right": frame_right,
        "consensus_right": last_right,
        "gain_right": last_right - frame_right,
        "track_wrong": _mean([_wrong(answer, truth) for truth, answer in whole]),
        "track_right": _mean([_right(answer, truth) for truth, answer in whole]),
        "stranger_frame_known": _mean([a.known for i in strangers for a in seen[i][1]]),
        "stranger_consensus_known": _mean([verdicts[i][1][-1].known for i in strangers]),
        "frame_changes": _mean([_changes(seen[i][1]) for i in enrolled]),
        "consensus_changes": _mean([_changes(verdicts[i][1][2:]) for i in enrolled]),
        "frames_to_follow": _mean(delays) if delays else None,
    }


def _choose(
    data: LabelledFolder, way: int, shots: int, rng: np.random.Generator
) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """Files to enroll for each of `way` classes, and one file (class, file) for each track."""
    assert data.sources is not None
    support: dict[str, list[str]] = {}
    tracks: list[tuple[str, str]] = []
    for index in rng.permutation(len(data.classes)):
        members = rng.permutation(np.flatnonzero(data.labels == index))
        asked = members[0]
        others = [m for m in members if data.sources[m] != data.sources[asked]][:shots]
        name = data.classes[index]
        if len(support) < way and len(others) == shots:
            support[name] = [data.files[m] for m in others]
            tracks.append((name, data.files[asked]))
        elif sum(label not in support for label, _ in tracks) < way:
            tracks.append((name, data.files[asked]))
    return support, tracks


def _frames(file: Path, rng: np.random.Generator) -> list[Pixels]:
    """A picture as a moving, unsteady camera might give it: uint8 [H, W, 3] each."""
    picture = Image.fromarray(load_frame(file).values)
    side = min(picture.size)
    frames = []
    for _ in range(FRAMES):
        shift = (rng.uniform(-SHIFT, SHIFT, 2) * side).round().astype(int)
        moved = ImageChops.offset(picture, int(shift[0]), int(shift[1]))
        pixels = np.asarray(moved.filter(ImageFilter.GaussianBlur(rng.uniform(0, BLUR))), np.float64)
        pixels = pixels * (1 - rng.uniform(0, DARK)) + rng.normal(0, rng.uniform(0, NOISE), pixels.shape)
        frames.append(pixels.clip(0, 255).round().astype(np.uint8))
    return frames


def _follow(answers: Sequence[Answer], window: int) -> list[TrackAnswer]:
    consensus = Consensus(window)
    return [consensus.add(answer) for answer in answers]


def _delay(before: Sequence[Answer], after: Sequence[Answer], truth: str | None, window: int) -> int | None:
    """Frames of the second track until the verdict is what it is; None if it never is."""
    verdicts = _follow([*before, *after], window)[len(before) :]
    return next((number for number, verdict in enumerate(verdicts, 1) if verdict.label == truth), None)


def _wrong(answer: Answer | TrackAnswer, truth: str | None) -> bool:
    return answer.known and answer.label != truth


def _right(answer: Answer | TrackAnswer, truth: str | None) -> bool:
    return answer.known and answer.label == truth


def _changes(answers: Sequence[Answer] | Sequence[TrackAnswer]) -> int:
    told = [str(answer) for answer in answers]
    return sum(one != other for one, other in itertools.pairwise(told))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


if __name__ == "__main__":
    main()

"""A depot teaches its vehicles a new sign, and drivers teach them spoken commands; then two tables and a picture.

Run it with `make vehicle`. No real sign is trained on: the first bundle learned from invented signs, the second from
ImageNet, the third is raw pixels. All three go the same way. The commands (`commands.py`) run beside it, on the other
core.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from edgefew_export.labelled_folder import read_labelled_folder
from edgefew_runtime import Classifier
from edgefew_runtime.consensus import Consensus, track_answer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.vehicle.commands import RECORDINGS
from examples.vehicle.drives import Frame, Track, drive, invent
from examples.vehicle.spoken import left_out
from examples.vehicle.steps import ROOT, edgefew, step
from examples.vehicle.table import BUNDLES, commands_table, table

RATE = 0.1
SIGNS, VEHICLES, SHOTS = 10, 3, 3
"""Of a depot: signs, the last of which is the new one; vehicles; frames that enroll a sign, each of another track."""

ENROLL_AT = 10
"""The frame of a track that enrolls: two thirds of the way."""


@dataclass(frozen=True)
class World:
    """What there is to drive past, of concepts that no bundle was trained on.

    Attributes:
        depots: of each depot its signs by name, each with its tracks; the first `SHOTS` enroll.
        strangers: one frame of each of many other signs, to calibrate on.
        unknown: tracks of yet other signs, to be said unknown.
    """

    depots: tuple[dict[str, list[Track]], ...]
    strangers: tuple[Frame, ...]
    unknown: tuple[Track, ...]


@dataclass(frozen=True)
class Asked:
    """One track and what a vehicle said of it.

    Attributes:
        track: the track.
        enrolled: whether its sign is.
        frames: what each frame alone was taken for; None for unknown.
        nearest: the nearest class of each frame, whether near enough or not.
        running: the consensus after each frame.
        verdict: the answer for the whole track; None for unknown.
        guess: the same where every frame must be answered; None where no class has more than half of the votes.
    """

    track: Track
    enrolled: bool
    frames: tuple[str | None, ...]
    nearest: tuple[str | None, ...]
    running: tuple[str | None, ...]
    verdict: str | None
    guess: str | None


def main() -> None:
    """Do everything, and write the figures."""
    options = parse()
    out: Path = options.out
    started = time.monotonic()
    reason = left_out(options.recordings)
    with contextlib.nullcontext() if reason else commands(options.recordings, out / "commands", options.seed) as spoken:
        result, shown = signs(options)
        if spoken:
            step("5. drivers teach spoken commands, which others say (this ran beside the rest)")
            result["commands"] = spoken()
    result["seconds"] = round(time.monotonic() - started)
    if options.figures:
        options.figures.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"\n{table(result)}")
    print(f"\n{commands_table(result['commands'])}" if spoken else f"\nSpoken commands are left out: {reason}")
    if options.picture:
        from examples.vehicle.picture import draw  # matplotlib is the workstation's alone

        draw(shown, result, options.picture, out / "commands" / "shown.json")
        print(f"\npicture: {options.picture}")


def signs(options: argparse.Namespace) -> tuple[dict[str, Any], list[Asked]]:
    """The figures of the signs, and the first depot's answers by the first bundle."""
    out: Path = options.out
    step("1. drawings; invented signs to train on; drives past signs of concepts that training never saw")
    data(out)
    world = make_world(out / "pictograms" / "test", options.depots, options.tracks, options.unknown, options.seed)
    asked = sum(len(tracks) - SHOTS for depot in world.depots for tracks in depot.values())
    print(f"{asked} tracks to recognise, {len(world.unknown)} of unknown signs, {len(world.strangers)} strangers")
    step("2. a backbone from invented signs")
    checkpoint = options.checkpoint or train(out, options.minutes)
    step("3. three bundles")
    bundles = export(out, checkpoint)
    step(f"4. each of {len(world.depots)} depots teaches {VEHICLES} vehicles, which then drive")
    result: dict[str, Any] = {"promised": RATE, "signs": SIGNS, "shots": SHOTS, "seed": options.seed, "bundles": {}}
    shown: list[Asked] = []
    for name, bundle in bundles.items():
        figures, answers = fleet(bundle, world, out / "galleries" / name)
        result["bundles"][name] = figures
        shown = shown or answers
        print(f"{BUNDLES[name]}: {figures['promise']}", flush=True)
    world_figures = {"depots": len(world.depots), "strangers": len(world.strangers)}
    return result | world_figures | {"training": trained(checkpoint)}, shown


@contextlib.contextmanager
def commands(recordings: Path, out: Path, seed: int) -> Iterator[Callable[[], dict[str, Any]]]:
    """Run `commands.py` beside what is done within; gives a function that waits for it and gives its figures."""
    out.mkdir(parents=True, exist_ok=True)
    figures, log = out / "figures.json", out / "log.txt"
    script = Path(__file__).with_name("commands.py")
    words = ["--recordings", recordings, "--out", out, "--figures", figures, "--shown", out / "shown.json"]
    command = [sys.executable, str(script), *map(str, words), "--seed", str(seed)]
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)

    def done() -> dict[str, Any]:
        status = process.wait()
        text = log.read_text(encoding="utf-8")
        if status:
            sys.exit(f"{text}\n`{script.name}` failed with exit status {status}")
        print("\n".join(line for line in text.splitlines() if line.startswith("$")))
        return dict(json.loads(figures.read_text(encoding="utf-8")))

    try:
        yield done
    finally:
        process.terminate()
        process.wait()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "vehicle", help="a folder for everything made")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long to train")
    parser.add_argument("--checkpoint", type=Path, help="take this backbone instead of training one")
    parser.add_argument("--depots", type=int, default=3)
    parser.add_argument("--tracks", type=int, default=6, help="tracks of each sign to be asked about")
    parser.add_argument("--unknown", type=int, default=25, help="signs that are never enrolled; three tracks each")
    parser.add_argument("--recordings", type=Path, default=RECORDINGS, help="spoken words, WORD_SPEAKER_TAKE.wav")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figures", type=Path, help="where the figures go as JSON")
    parser.add_argument("--picture", type=Path, help="where the picture goes")
    return parser.parse_args()


def data(out: Path) -> None:
    """Drawings of two sets of concepts, and signs invented of the first, where they are not there yet."""
    train, signs = out / "pictograms" / "train", [480, "--photographs", 12]
    for folder, words in (
        (train, ["pictograms", train, "--part", "train"]),
        (out / "pictograms" / "test", ["pictograms", out / "pictograms" / "test", "--part", "test"]),
        (out / "signs", ["signs", train, out / "signs", "--signs", *signs]),
        (out / "calibration", ["signs", train, out / "calibration", "--signs", 96, "--photographs", 6, "--seed", 1]),
    ):
        if not folder.exists():
            edgefew("data", *words)


def train(out: Path, minutes: float) -> Path:
    """The short form of `examples/recipes/signs.toml`: fewer signs, and less time."""
    checkpoint = out / "signs.ckpt"
    recipe = ROOT / "examples" / "recipes" / "signs.toml"
    edgefew("train", out / "signs", "--config", recipe, "--out", checkpoint, "--minutes", minutes, "--replace")
    return checkpoint


def trained(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint says of its training."""
    from edgefew_export.checkpoint import read_checkpoint

    training = read_checkpoint(checkpoint).training
    asked = {key: training["config"][key] for key in ("backbone", "image_size", "way", "minutes")}
    return {**asked, "steps": training["episode"], "unseen_accuracy": training["validation"]["accuracy"]}


def export(out: Path, checkpoint: Path) -> dict[str, Path]:
    """The three bundles; the two not trained here are proved on signs invented of the training drawings."""
    bundles = {name: out / f"{name}.edgefew" for name in BUNDLES}
    held_out = ["--data", out / "calibration", "--replace"]
    edgefew("export", checkpoint, bundles["trained"], "--replace")
    edgefew("export", "efficientnet_lite0", bundles["lite0"], "--image-size", 128, *held_out)
    pixels = ["--image-size", 28, "--scaling", "unit", *held_out]
    edgefew("export", "examples.vehicle.raw_pixels:raw_pixels", bundles["raw"], *pixels)
    return bundles


def make_world(drawings: Path, depots: int, tracks: int, unknown: int, seed: int) -> World:
    """All signs that drawings are there for, each in one part alone."""
    folder = read_labelled_folder(drawings, kind="image")
    signs = list(invent(folder, len(folder.classes), seed).items())

    def driven(count: int, number: int) -> dict[str, list[Track]]:
        taken = [signs.pop(0) for _ in range(count)]
        return {name: [drive(name, sign, track, seed) for track in range(number)] for name, sign in taken}

    sites = tuple(driven(SIGNS, SHOTS + tracks) for _ in range(depots))
    never = tuple(track for seen in driven(unknown, 3).values() for track in seen)
    strangers = tuple(seen[0].frames[ENROLL_AT] for seen in driven(len(signs), 1).values())
    return World(sites, strangers, never)


def fleet(bundle: Path, world: World, galleries: Path) -> tuple[dict[str, Any], list[Asked]]:
    """What the vehicles of all depots say; the figures, and the first depot's answers."""
    galleries.mkdir(parents=True, exist_ok=True)
    for old in galleries.iterdir():
        old.unlink()
    with Classifier.open(bundle, false_accept_rate=RATE) as embedder:
        embedded: dict[int, Any] = {id(track): embedder.embed(track.frames) for track in tracks_of(world)}
    known: list[Asked] = []
    unknown: list[list[Asked]] = []
    before: list[Asked] = []
    new: list[Asked] = []
    first: list[Asked] = []
    for number, signs in enumerate(world.depots):
        vehicles, earlier = teach(bundle, signs, world.strangers, galleries / f"depot-{number}", embedded)
        *_, newest = signs
        answers = [
            ask(vehicles[position % VEHICLES], track, embedded[id(track)], True)
            for tracks in signs.values()
            for position, track in enumerate(tracks[SHOTS:])
        ]
        others = [
            ask(vehicles[position % VEHICLES], track, embedded[id(track)], False)
            for position, track in enumerate(world.unknown)
        ]
        known += answers
        before += earlier
        new += [a for a in answers if a.track.sign == newest]
        unknown.append(others)
        first = first or answers + others
        promise = vehicles[0].promise()
        for vehicle in vehicles:
            vehicle.close()
    figures = {
        "promise": "" if promise is None else promise.reason,
        "nearest": interval(share(a.nearest, a.track.sign) for a in known),
        "track_nearest": interval(a.guess == a.track.sign for a in known),
        "frame_right": interval(share(a.frames, a.track.sign) for a in known),
        "frame_wrong": interval(max(0.0, taken(a) - share(a.frames, a.track.sign)) for a in known),
        "track_right": interval(a.verdict == a.track.sign for a in known),
        "track_wrong": interval(a.verdict not in (None, a.track.sign) for a in known),
        "new_before": interval(a.verdict is not None for a in before),
        "new_nearest": interval(a.guess == a.track.sign for a in new),
        "new_after": interval(a.verdict == a.track.sign for a in new),
        # A depot asks about the same tracks as the others, so each track counts once.
        "unknown_frames": interval(statistics.fmean(map(taken, asked)) for asked in zip(*unknown, strict=True)),
        "unknown_tracks": interval(
            statistics.fmean(a.verdict is not None for a in asked) for asked in zip(*unknown, strict=True)
        ),
    }
    return figures, first


def tracks_of(world: World) -> Iterable[Track]:
    """Every track that is asked about."""
    for depot in world.depots:
        for tracks in depot.values():
            yield from tracks[SHOTS:]
    yield from world.unknown


def teach(
    bundle: Path, signs: dict[str, list[Track]], strangers: Sequence[Frame], place: Path, embedded: dict[int, Any]
) -> tuple[list[Classifier], list[Asked]]:
    """The vehicles of a depot after it has taught them its last sign, and what they said of that sign before."""
    *usual, newest = signs
    examples = {name: [track.frames[ENROLL_AT] for track in tracks[:SHOTS]] for name, tracks in signs.items()}
    with Classifier.open(bundle, place.with_suffix(".gallery"), false_accept_rate=RATE) as depot:
        for name in usual:
            depot.enroll(name, examples[name], actor="depot")
        depot.calibrate(list(strangers), actor="depot")
        vehicles = []
        for number in range(VEHICLES):
            gallery = place.with_name(f"{place.name}-vehicle-{number}.gallery")
            vehicles.append(Classifier.open(bundle, gallery, false_accept_rate=RATE))
            vehicles[-1].gallery.merge(depot.gallery)
        asked = [
            ask(vehicles[position % VEHICLES], track, embedded[id(track)], False)
            for position, track in enumerate(signs[newest][SHOTS:])
        ]
        depot.enroll(newest, examples[newest], actor="depot")
        pack = place.with_suffix(".pack")
        depot.gallery.share(pack, [newest])
    with Classifier.open(bundle, pack) as carried:
        for vehicle in vehicles:
            vehicle.gallery.merge(carried.gallery)
    return vehicles, asked


def ask(vehicle: Classifier, track: Track, embeddings: Any, enrolled: bool) -> Asked:
    """One vehicle drives one track."""
    answers = [vehicle.answer(row) for row in embeddings]
    consensus = Consensus()
    return Asked(
        track,
        enrolled,
        tuple(a.label if a.known else None for a in answers),
        tuple(a.label for a in answers),
        tuple(consensus.add(a).label for a in answers),
        track_answer(answers).label,
        track_answer(replace(a, known=True, threshold=None) for a in answers).label,
    )


def share(labels: Sequence[str | None], truth: str) -> float:
    """How many of the labels are the truth."""
    return labels.count(truth) / len(labels)


def taken(asked: Asked) -> float:
    """How many of a track's frames were taken for an enrolled sign."""
    return 1 - asked.frames.count(None) / len(asked.frames)


def interval(values: Iterable[float]) -> dict[str, float]:
    """Mean of one value a track, each from 0 to 1, with Wilson's 95 % interval (1927): too wide for fractions."""
    numbers = np.array([float(value) for value in values])
    n, mean, z = len(numbers), float(numbers.mean()), 1.96
    middle = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return {"mean": mean, "low": max(0.0, middle - half), "high": min(1.0, middle + half), "tracks": n}


if __name__ == "__main__":
    main()

"""The curves of training logs: loss and accuracy over steps."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgefew_runtime import TrainingError

from .loop import LOG_COLUMNS


@dataclass(frozen=True)
class Point:
    """A line of a log.

    Attributes:
        episode: how many steps were done.
        stage: "pre-training" or "meta-training".
        seconds: training time so far.
        loss: mean since the line before.
        accuracy: likewise, on the training classes.
        validation: accuracy on unseen classes.
        ci95: half the width of its 95 % interval.
    """

    episode: int
    stage: str
    seconds: float
    loss: float
    accuracy: float
    validation: float
    ci95: float


def read_log(path: Path) -> list[Point]:
    """The lines of a log that `edgefew train` wrote.

    Raises:
        TrainingError: there is none, or it is no such log, or has no line yet.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} cannot be read: {error}. Give a .log.csv that `edgefew train` wrote.") from None
    if not rows or tuple(rows[0]) != LOG_COLUMNS:
        raise TrainingError(f"{path} is no log of `edgefew train`: its first line is not {','.join(LOG_COLUMNS)}.")
    try:
        points = [Point(int(row[0]), row[1], *map(float, row[2:])) for row in rows[1:]]
    except (ValueError, IndexError, TypeError) as error:
        raise TrainingError(f"{path} is not whole: {error}. Train again, or copy it again.") from None
    if not points:
        raise TrainingError(f"{path} has no line yet: the first is written with the first validation.")
    return points


def draw_curves(logs: Mapping[str, Sequence[Point]], out: Path) -> None:
    """Draw the loss and the accuracies of some logs into one picture; the format is by the suffix of its name.

    Raises:
        TrainingError: it cannot be written, or the suffix is of no picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    loss, accuracy = figure.subplots(1, 2)
    for number, (name, points) in enumerate(logs.items()):
        steps, colour = [p.episode for p in points], f"C{number}"
        loss.plot(steps, [p.loss for p in points], color=colour, label=name)
        accuracy.plot(steps, [p.accuracy for p in points], color=colour, linestyle=":", label=f"{name}, training")
        accuracy.errorbar(
            steps, [p.validation for p in points], [p.ci95 for p in points], color=colour, label=f"{name}, unseen"
        )
        for before, after in itertools.pairwise(points):
            if before.stage != after.stage:
                for axes in (loss, accuracy):
                    axes.axvline(before.episode, color=colour, linewidth=0.8, linestyle="--")
    loss.set(xlabel="step", ylabel="loss", ylim=(0, None))
    accuracy.set(xlabel="step", ylabel="accuracy", ylim=(0, 1))
    for axes in (loss, accuracy):
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    try:
        figure.savefig(out, dpi=120)
    except (OSError, ValueError) as error:
        raise TrainingError(f"{out} cannot be written: {error}. Give a name such as curves.png.") from None

"""What a recipe gives: train by it, and measure on classes that it never saw.

    python benchmarks/recipes.py examples/recipes/pictograms.toml pictograms/test [-- --head ridge]

Options after `--` are `edgefew train`'s, and go before what the recipe says. Prints one JSON object: the figures with
their 95 % intervals, the same of raw pixels, the wall time of the training and the processor time that it got.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import tomllib

EDGEFEW = Path(sys.executable).with_name("edgefew")


def edgefew(*arguments: object) -> dict[str, Any]:
    """What a command prints as JSON."""
    command = [str(EDGEFEW), *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def processor_seconds() -> float:
    """Processor time of all commands run so far."""
    times = os.times()
    return times.children_user + times.children_system


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("test", type=click.Path(path_type=Path))
@click.argument("options", nargs=-1)
@click.option("--shape", "shapes", multiple=True, default=["5x1", "20x1"], help="Way x shot; may be given again.")
@click.option("--episodes", default=1000, show_default=True, help="Test episodes.")
@click.option(
    "--strangers",
    default=5,
    type=click.IntRange(1),
    show_default=True,
    help="Further classes that a test episode asks about.",
)
@click.option("--within-group", is_flag=True, help="The classes of a test episode are of one group.")
@click.option("--exclude", multiple=True, help="Test classes to leave out.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the checkpoint here.")
def main(
    recipe: Path,
    test: Path,
    options: tuple[str, ...],
    shapes: tuple[str, ...],
    episodes: int,
    strangers: int,
    within_group: bool,
    exclude: tuple[str, ...],
    out: Path | None,
) -> None:
    """Train by RECIPE, with other OPTIONS of `edgefew train` if wanted, and measure on the folder TEST."""
    settings = tomllib.loads(recipe.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch, "a.ckpt") if out is None else out
        before = processor_seconds()
        trained = edgefew("train", "--config", recipe, "--out", checkpoint, *options)
        spent = processor_seconds() - before
        asked = ["--episodes", episodes, "--strangers", strangers]
        if "source-pattern" in settings:
            asked += ["--source-pattern", settings["source-pattern"]]
        asked += ["--within-group"] * within_group + [f"--exclude={pattern}" for pattern in exclude]
        rows = []
        for shape in shapes:
            way, shot = shape.split("x")
            measured = {"way": int(way), "shot": int(shot)}
            for name, model in (("accuracy", checkpoint), ("raw", "raw-pixels")):
                result = edgefew("evaluate", model, test, "--way", way, "--shot", shot, *asked)
                measured[name] = {key: result[key] for key in ("accuracy", "ci95", "episodes", "seed", "open_set")}
            rows.append(measured)
    told = {
        "recipe": recipe.stem,
        "options": " ".join(options),
        "within_group": within_group,
        "test": test.name,
        "steps": trained["episodes"],
        "seconds": round(trained["seconds"], 1),
        "processor_seconds": round(spent, 1),
        "device": trained["device"],
        "validation": trained["validation"],
        "training_classes": trained["classes"],
        "rows": rows,
    }
    click.echo(json.dumps(told))


if __name__ == "__main__":
    main()

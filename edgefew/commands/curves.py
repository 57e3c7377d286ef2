"""`edgefew curves`."""

from __future__ import annotations

from pathlib import Path

import click
from edgefew_runtime.commands.options import json_option, print_json


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The picture: .png, .svg or .pdf.")
@json_option
def curves(logs: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Draw loss and accuracy over the steps of one or more trainings, from the logs beside their checkpoints."""
    from edgefew.training.curves import draw_curves, read_log

    read = {str(log).removesuffix(".log.csv"): read_log(log) for log in logs}
    draw_curves(read, out)
    if as_json:
        print_json(
            {"out": str(out), "best": {name: max(p.validation for p in points) for name, points in read.items()}}
        )
        return
    for name, points in read.items():
        best = max(points, key=lambda point: point.validation)
        click.echo(
            f"{name}: {points[-1].episode} steps, at best {best.validation:.1%} ± {best.ci95:.1%} on unseen classes, "
            f"after step {best.episode}"
        )
    click.echo(str(out))

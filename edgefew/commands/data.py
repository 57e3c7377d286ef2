"""`edgefew data`."""

from __future__ import annotations

from pathlib import Path

import click
from edgefew_runtime.commands.options import json_option, print_json


@click.group()
def data() -> None:
    """Make data to train and test on."""


@data.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--part",
    type=click.Choice(["all", "train", "test"]),
    default="all",
    show_default=True,
    help="test: one concept in five, none of which is in train.",
)
@click.option(
    "--min-families",
    default=2,
    type=click.IntRange(1, 6),
    show_default=True,
    help="Leave out concepts drawn by fewer families.",
)
@click.option("--image-size", default=64, type=click.IntRange(8, 1024), show_default=True, help="Pixels a side.")
@json_option
def pictograms(out: Path, part: str, min_families: int, image_size: int, as_json: bool) -> None:
    r"""Draw pictograms of six design families into OUT/concept/family.*.png.

    Use them with --source-pattern '^(\w+)\.', so that support and query are never of one family.
    """
    from edgefew.data.pictograms import render

    counts = render(out, part, min_families, image_size)
    if as_json:
        print_json({"out": str(out), "part": part, **counts})
    else:
        click.echo(
            f"{out}: {counts['images']} drawings of {counts['classes']} concepts by {counts['families']} families"
        )

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
    type=click.IntRange(1, 12),
    show_default=True,
    help="Leave out concepts drawn by fewer families.",
)
@click.option(
    "--more-families",
    is_flag=True,
    help="Also draw those of six more families, to train on; what may be a test concept by another name is left out of "
    "train. Their fonts: pip install 'edgefew[pictograms]'.",
)
@click.option("--image-size", default=64, type=click.IntRange(8, 1024), show_default=True, help="Pixels a side.")
@json_option
def pictograms(out: Path, part: str, min_families: int, more_families: bool, image_size: int, as_json: bool) -> None:
    r"""Draw pictograms of six design families into OUT/concept/family.*.png.

    Use them with --source-pattern '^(\w+)\.', so that support and query are never of one family.
    """
    from edgefew.data.pictograms import render

    counts = render(out, part, min_families, image_size, more_families)
    if as_json:
        print_json({"out": str(out), "part": part, **counts})
    else:
        click.echo(
            f"{out}: {counts['images']} drawings of {counts['classes']} concepts by {counts['families']} families"
        )


@data.command()
@click.argument("drawings", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--signs", default=600, type=click.IntRange(2), show_default=True, help="How many signs, 12 a plate.")
@click.option("--photographs", default=20, type=click.IntRange(2), show_default=True, help="Of each sign.")
@click.option("--image-size", default=64, type=click.IntRange(16, 1024), show_default=True, help="Pixels a side.")
@click.option("--seed", default=0, type=click.IntRange(0), show_default=True, help="Decides all of it.")
@json_option
def signs(drawings: Path, out: Path, signs: int, photographs: int, image_size: int, seed: int, as_json: bool) -> None:
    """Photographs of invented signs into OUT/plate/sign/*.jpg: DRAWINGS and numbers on plates, as on a road.

    DRAWINGS is a labelled folder of black drawings on white, such as pictograms. Each photograph has its own scene,
    view, light, weather, blur and distance. Signs of one plate differ by what is drawn on them alone; `edgefew train
    --group-share` makes episodes of them.
    """
    from edgefew.data.signs import render

    counts = render(drawings, out, signs=signs, photographs=photographs, image_size=image_size, seed=seed)
    if as_json:
        print_json({"out": str(out), **counts})
    else:
        click.echo(f"{out}: {counts['images']} photographs of {counts['classes']} signs on {counts['plates']} plates")


@data.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--alphabets", default=30, type=click.IntRange(1), show_default=True, help="How many.")
@click.option("--characters", default=30, type=click.IntRange(1), show_default=True, help="Of each alphabet.")
@click.option("--hands", default=20, type=click.IntRange(2), show_default=True, help="Drawings of each, by as many.")
@click.option("--image-size", default=64, type=click.IntRange(16, 1024), show_default=True, help="Pixels a side.")
@click.option("--seed", default=0, type=click.IntRange(0), show_default=True, help="Decides all of it.")
@json_option
def characters(
    out: Path, alphabets: int, characters: int, hands: int, image_size: int, seed: int, as_json: bool
) -> None:
    r"""Draw characters of invented alphabets, by several hands, into OUT/alphabet/character/*_hand.png.

    Put real alphabets beside them, if there are few: `edgefew train --group-share 1` takes each alphabet as often as
    the others. Use --source-pattern '_(\d+)\.png$', so that support and query are never by one hand.
    """
    from edgefew.data.characters import render

    counts = render(out, alphabets=alphabets, characters=characters, hands=hands, image_size=image_size, seed=seed)
    if as_json:
        print_json({"out": str(out), **counts})
    else:
        click.echo(
            f"{out}: {counts['images']} drawings of {counts['classes']} characters of {counts['alphabets']} alphabets"
        )

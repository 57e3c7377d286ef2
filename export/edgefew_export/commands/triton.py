"""`edgefew triton`."""

from __future__ import annotations

from pathlib import Path

import click
from edgefew_runtime import Bundle
from edgefew_runtime.commands.options import bundle_argument, json_option, print_json


@click.command()
@bundle_argument
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--max-batch",
    type=click.IntRange(1, 1024),
    default=32,
    show_default=True,
    help="Frames that the server embeds at once.",
)
@json_option
def triton(bundle: Path, folder: Path, max_batch: int, as_json: bool) -> None:
    """Write a model repository for Triton Inference Server: embed, enroll, classify and recognise.

    FOLDER is made. Its README.md has the calls of a client.
    """
    from edgefew_export.triton import write_repository

    opened = Bundle.open(bundle)
    files = write_repository(opened, folder, max_batch=max_batch)
    if as_json:
        print_json({"folder": str(folder), "bundle_id": opened.id, "files": files})
        return
    for file in files:
        click.echo(f"{folder / file}")

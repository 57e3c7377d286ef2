"""`edgefew triton`."""

from __future__ import annotations

from pathlib import Path

import click
from edgefew_runtime import Bundle
from edgefew_runtime.commands.options import bundle_argument, json_option, print_json


@click.command()
@bundle_argument
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def triton(bundle: Path, folder: Path, as_json: bool) -> None:
    """Write a model repository for Triton Inference Server: embed, enroll, classify and recognise.

    FOLDER is made. Its README.md has the calls of a client. `edgefew export --triton` writes the same.
    """
    from edgefew_export.triton import write_repository

    opened = Bundle.open(bundle)
    files = write_repository(opened, folder)
    if as_json:
        print_json({"folder": str(folder), "bundle_id": opened.id, "files": files})
        return
    for file in files:
        click.echo(f"{folder / file}")

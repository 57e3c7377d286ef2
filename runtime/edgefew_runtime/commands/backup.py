"""`edgefew backup`."""

from __future__ import annotations

from pathlib import Path

import click

from .options import gallery_option, json_option, open_gallery, print_json


@click.command()
@click.argument("copy", type=click.Path(path_type=Path))
@gallery_option
@json_option
def backup(copy: Path, gallery: Path, as_json: bool) -> None:
    """Write a copy of a gallery, log and all, to a new file COPY.

    It may be in use meanwhile: the copy is the gallery as it was at one moment. To restore it, put it in the place of
    the damaged one while nothing runs, and take away files of the same name that end in -wal and -shm.
    """
    with open_gallery(gallery, None) as opened:
        opened.back_up(copy)
    if as_json:
        print_json({"gallery": str(gallery), "copy": str(copy), "bytes": copy.stat().st_size})
    else:
        click.echo(f"{copy}: {copy.stat().st_size / 1e6:.1f} MB")

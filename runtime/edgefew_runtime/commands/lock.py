"""`edgefew lock` and `unlock`: who may change a gallery."""

from __future__ import annotations

from pathlib import Path

import click

from .options import actor_option, gallery_option, json_option, open_gallery, print_json, read_passphrase

_required_passphrase = click.option(
    "--passphrase-file",
    required=True,
    type=click.Path(path_type=Path),
    envvar="EDGEFEW_PASSPHRASE_FILE",
    help="A file with the pass-phrase, at least 8 characters.",
)


@click.command()
@gallery_option
@_required_passphrase
@actor_option
@json_option
def lock(gallery: Path, passphrase_file: Path, actor: str, as_json: bool) -> None:
    """From now on, refuse every change to a gallery that does not give this pass-phrase. It goes on classifying.

    This stops mistakes and bystanders; it does not stop someone who can write the file with other tools.
    """
    with open_gallery(gallery, None) as opened:
        opened.lock(read_passphrase(passphrase_file), actor)
    _tell(gallery, locked=True, as_json=as_json)


@click.command()
@gallery_option
@_required_passphrase
@actor_option
@json_option
def unlock(gallery: Path, passphrase_file: Path, actor: str, as_json: bool) -> None:
    """Take the lock off a gallery."""
    with open_gallery(gallery, None, passphrase_file) as opened:
        opened.remove_lock(actor)
    _tell(gallery, locked=False, as_json=as_json)


def _tell(gallery: Path, *, locked: bool, as_json: bool) -> None:
    if as_json:
        print_json({"gallery": str(gallery), "locked": locked})
    else:
        click.echo(f"{gallery} is {'locked' if locked else 'not locked'}")

"""Options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import click

from edgefew_runtime.bundle import Bundle
from edgefew_runtime.gallery import Gallery

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON alone on standard output.")

gallery_option = click.option(
    "--gallery",
    required=True,
    type=click.Path(path_type=Path),
    help="The file that holds the enrolled classes.",
)

actor_option = click.option(
    "--actor",
    default=None,
    help="Who does this, for the gallery's log. Default: the name of the user logged in.",
)

provider_option = click.option(
    "--provider", default="cpu", show_default=True, help="Where the network runs: cpu, cuda, tensorrt."
)

bundle_argument = click.argument("bundle", type=click.Path(path_type=Path))


def print_json(document: dict[str, Any]) -> None:
    """One object on one line of standard output."""
    click.echo(json.dumps(document, ensure_ascii=False))


def actor_name(actor: str | None) -> str:
    """The name for the log."""
    if actor is not None:
        return actor
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def open_gallery(gallery: Path, bundle: Path | None) -> Gallery:
    """A gallery that exists; checked against the bundle if one is given."""
    opened = None if bundle is None else Bundle.open(bundle)
    if opened is not None and gallery.exists():
        return Gallery(gallery, opened.id, opened.manifest.dimension)
    return Gallery(gallery)

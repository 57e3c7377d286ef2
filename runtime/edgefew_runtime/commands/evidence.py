"""`edgefew evidence`."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import click

from edgefew_runtime.bundle import Bundle
from edgefew_runtime.classifier import FALSE_ACCEPT_RATE
from edgefew_runtime.errors import GalleryFormatError
from edgefew_runtime.evidence import evidence as record
from edgefew_runtime.evidence import page
from edgefew_runtime.gallery import Gallery
from edgefew_runtime.new_file import new_file

from .options import bundle_argument, json_option, plural, print_json, require_gallery


@click.command()
@bundle_argument
@click.argument("gallery", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--false-accept-rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=FALSE_ACCEPT_RATE,
    show_default=True,
    help="The rate whose promise is told.",
)
@click.option("--watch", type=click.Path(path_type=Path), help="A drift watch of `edgefew classify --watch`.")
@json_option
def evidence(
    bundle: Path, gallery: Path, out: Path, false_accept_rate: float, watch: Path | None, as_json: bool
) -> None:
    """Write what is known about a gallery to a new file OUT: .json, or .html for people.

    Who enrolled what, how each class tells its own examples from the others, what is promised, the lock, the log. A
    gallery that was changed by other means is told of in OUT too; then the exit status is 1.
    """
    if out.suffix not in (".json", ".html"):
        raise click.UsageError(f"{out} ends in {out.suffix or 'nothing'}; .json or .html was expected.")
    opened = Bundle.open(bundle)
    require_gallery(gallery)
    with Gallery(gallery, opened.id, opened.manifest.dimension) as held, new_file(out) as part:
        document = record(opened, held, datetime.now(timezone.utc), false_accept_rate, watch)
        text = page(document) if out.suffix == ".html" else json.dumps(document, indent=2, allow_nan=False) + "\n"
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
    if as_json:
        print_json(document)
    if not document["verified"]:
        problems = "; ".join(document["problems"])
        raise GalleryFormatError(f"{gallery} was changed by other means than EdgeFew: {problems}. {out} says so.")
    if not as_json:
        examples = sum(len(entry["examples"]) for entry in document["classes"])
        click.echo(f"{out}: {plural(examples, 'example')}, the log holds (bundle {opened.id[:12]}…)")

"""What happened to a gallery: `edgefew log`, `undo`."""

from __future__ import annotations

from pathlib import Path

import click

from edgefew_runtime.errors import GalleryFormatError

from .options import (
    change_options,
    gallery_option,
    json_option,
    minute,
    open_gallery,
    optional_bundle_argument,
    print_json,
)


@click.command()
@optional_bundle_argument
@gallery_option
@click.option("--verify", is_flag=True, help="Check the log's chain, the examples and the sums; name what was changed.")
@json_option
def log(bundle: Path | None, gallery: Path, verify: bool, as_json: bool) -> None:
    """Show every change ever made to a gallery: when, who, what."""
    with open_gallery(gallery, bundle) as opened:
        problems = opened.problems() if verify else []
        entries = opened.log()
    if problems:
        raise GalleryFormatError(f"{gallery} was changed by other means than EdgeFew: {'; '.join(problems)}.")
    if verify:
        click.echo(f"✓ {len(entries)} events: the chain, the examples and the sums hold", err=True)
    for event in entries:
        if as_json:
            print_json(event.to_dict())
        else:
            click.echo(f"{event.id:5}  {minute(event.at)}  {event.actor or '-':12}  {event.describe()}")


@click.command()
@optional_bundle_argument
@click.option(
    "--to",
    type=click.IntRange(min=1),
    help="Go back to the state right after this event; `edgefew log` shows the numbers.",
)
@gallery_option
@change_options
def undo(
    bundle: Path | None, to: int | None, gallery: Path, actor: str, passphrase_file: Path | None, as_json: bool
) -> None:
    """Take back the last change; again for the one before it. Or all changes after an event (--to).

    What was erased stays erased: without --to an erase is where this stops; with --to all the rest comes back.
    """
    with open_gallery(gallery, bundle, passphrase_file) as opened:
        undone = [opened.undo(actor)] if to is None else opened.roll_back(to, actor)
        erased = [] if to is None else [event for event in opened.log()[to:] if event.kind == "erase"]
    for event in undone:
        if as_json:
            print_json({"undid": event.kind, "label": event.payload["label"], "event": event.id})
        else:
            click.echo(f"undone: {event.describe()}, of {minute(event.at)}")
    for event in erased:
        click.echo(f"event {event.id} ({event.describe()}) stays: what was erased is gone", err=True)

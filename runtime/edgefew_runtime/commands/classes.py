"""`edgefew classes`, `forget`, `undo` and `log`. They need no network, so the bundle may be left out."""

from __future__ import annotations

from pathlib import Path

import click

from .options import actor_name, actor_option, gallery_option, json_option, open_gallery, print_json


def minute(at: str) -> str:
    """A time of the log, for people."""
    return f"{at[:16].replace('T', ' ')} UTC"


_optional_bundle = click.argument("bundle", required=False, type=click.Path(path_type=Path))


@click.command()
@_optional_bundle
@gallery_option
@json_option
def classes(bundle: Path | None, gallery: Path, as_json: bool) -> None:
    """List the enrolled classes. With BUNDLE, check first that the gallery belongs to it."""
    with open_gallery(gallery, bundle) as opened:
        enrolled = opened.classes()
    for entry in enrolled:
        if as_json:
            print_json(entry.to_dict())
        else:
            plural = "" if entry.examples == 1 else "s"
            click.echo(f"{entry.label}  {entry.examples} example{plural}, since {minute(entry.enrolled_at)}")
    if not enrolled and not as_json:
        click.echo("nothing is enrolled")


@click.command()
@click.argument("bundle_and_label", nargs=-1, required=True, metavar="[BUNDLE] CLASS")
@click.option("--erase", is_flag=True, help="Delete the examples from the disk too. This cannot be undone.")
@gallery_option
@actor_option
@json_option
def forget(bundle_and_label: tuple[str, ...], erase: bool, gallery: Path, actor: str | None, as_json: bool) -> None:
    """Take a class out of a gallery. `edgefew undo` brings it back, unless --erase was given."""
    *bundles, label = bundle_and_label
    if len(bundles) > 1:
        raise click.UsageError("One class was expected. Put a name with blanks in quotes.")
    with open_gallery(gallery, Path(bundles[0]) if bundles else None) as opened:
        examples = (opened.erase if erase else opened.forget)(label, actor_name(actor))
    done = "erased" if erase else "forgotten"
    if as_json:
        print_json({"label": label, "examples": examples, "undoable": not erase})
    else:
        click.echo(f"{label}: {examples} example{'' if examples == 1 else 's'} {done}")


@click.command()
@_optional_bundle
@gallery_option
@actor_option
@json_option
def undo(bundle: Path | None, gallery: Path, actor: str | None, as_json: bool) -> None:
    """Take back the last enroll or forget; again for the one before it."""
    with open_gallery(gallery, bundle) as opened:
        event = opened.undo(actor_name(actor))
    if as_json:
        print_json({"undid": event.kind, "label": event.payload["label"], "event": event.id})
    else:
        click.echo(f"undone: {event.kind} {event.payload['label']} of {minute(event.at)}")


@click.command()
@_optional_bundle
@gallery_option
@json_option
def log(bundle: Path | None, gallery: Path, as_json: bool) -> None:
    """Show every change ever made to a gallery: when, who, what."""
    with open_gallery(gallery, bundle) as opened:
        entries = opened.log()
    for event in entries:
        if as_json:
            print_json(event.to_dict())
        else:
            what = event.payload.get("label", "")
            undid = f" (event {event.undoes}, {event.payload['undid']})" if event.undoes else ""
            click.echo(f"{event.id:5}  {event.at[:19]}  {event.actor or '-':12}  {event.kind} {what}{undid}")

"""What is in a gallery: `edgefew classes`, `examples`, `forget`, `rename`.

These need no network, so the bundle may be left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgefew_runtime.gallery import EnrolledExample

from .options import (
    change_options,
    gallery_option,
    json_option,
    minute,
    open_gallery,
    optional_bundle_argument,
    plural,
    print_json,
    split_bundle,
)


@click.command()
@optional_bundle_argument
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
            rejected = f", {entry.rejected} rejected" if entry.rejected else ""
            click.echo(
                f"{entry.label}  {plural(entry.examples, 'example')}{rejected}, since {minute(entry.enrolled_at)}"
            )
    if not enrolled and not as_json:
        click.echo("nothing is enrolled")


@click.command()
@click.argument("bundle_and_label", nargs=-1, metavar="[BUNDLE] [CLASS]")
@click.option("--strangers", is_flag=True, help="List the strangers, given to `edgefew calibrate`, instead of a class.")
@click.option("--unlabelled", is_flag=True, help="List what was given to `edgefew refine` instead of a class.")
@gallery_option
@json_option
def examples(
    bundle_and_label: tuple[str, ...], strangers: bool, unlabelled: bool, gallery: Path, as_json: bool
) -> None:
    """List the examples of a class and the rejected ones, each with the number that `forget --example` takes."""
    if strangers and unlabelled:
        raise click.UsageError("--strangers does not go with --unlabelled. Give one of them.")
    bundle, labels = split_bundle(bundle_and_label, 0 if strangers or unlabelled else 1)
    with open_gallery(gallery, bundle) as opened:
        held = opened.unlabelled_examples() if unlabelled else opened.examples(None if strangers else labels[0])
    for example in held:
        if as_json:
            print_json(example.to_dict())
        else:
            side = "not " if example.rejected else ""
            kept = " (picture kept)" if example.frame_kept else ""
            click.echo(f"{example.id:6}  {minute(example.enrolled_at)}  {side}{example.source}{kept}")


@click.command()
@click.argument("bundle_and_label", nargs=-1, metavar="[BUNDLE] [CLASS]")
@click.option(
    "--example",
    type=click.IntRange(1, 2**63 - 1),
    help="Take this one example out instead of a class; `edgefew examples` lists them.",
)
@click.option("--erase", is_flag=True, help="Delete what is taken out from the disk too. This cannot be undone.")
@gallery_option
@change_options
def forget(
    bundle_and_label: tuple[str, ...],
    example: int | None,
    erase: bool,
    gallery: Path,
    actor: str,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Take a class, or one example, out of a gallery. `edgefew undo` brings it back, unless --erase was given."""
    bundle, labels = split_bundle(bundle_and_label, 0 if example is not None else 1)
    with open_gallery(gallery, bundle, passphrase_file) as opened:
        if example is not None:
            removed, others = opened.erase_example(example, actor) if erase else (opened.remove(example, actor), [])
            document: dict[str, Any] = {**removed.to_dict(), "undoable": not erase}
            if erase:
                document["same_picture"] = [other.id for other in others]
            done = "erased" if erase else "forgotten"
            text = f"{_shown(removed)}: example {example} {done} ({removed.source})"
            for other in others:
                text += f"\n  the same picture is also example {other.id}: {_shown(other)}"
        else:
            (label,) = labels
            count = (opened.erase if erase else opened.forget)(label, actor)
            document = {"label": label, "examples": count, "undoable": not erase}
            text = f"{label}: {plural(count, 'example')} {'erased' if erase else 'forgotten'}"
    if as_json:
        print_json(document)
    else:
        click.echo(text)


@click.command()
@click.argument("bundle_and_labels", nargs=-1, required=True, metavar="[BUNDLE] CLASS NEW_NAME")
@gallery_option
@change_options
def rename(
    bundle_and_labels: tuple[str, ...], gallery: Path, actor: str, passphrase_file: Path | None, as_json: bool
) -> None:
    """Give a class another name."""
    bundle, (label, to) = split_bundle(bundle_and_labels, 2)
    with open_gallery(gallery, bundle, passphrase_file) as opened:
        opened.rename(label, to, actor)
    if as_json:
        print_json({"label": to, "was": label})
    else:
        click.echo(f"{label} is now {to}")


def _shown(example: EnrolledExample) -> str:
    return example.label or ("a stranger" if example.label is None else "unlabelled")

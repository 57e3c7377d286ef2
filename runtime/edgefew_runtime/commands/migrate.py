"""`edgefew migrate`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edgefew_runtime.classifier import Classifier
from edgefew_runtime.migration import migrate as run_migration

from .options import (
    actor_option,
    bundle_argument,
    json_option,
    open_gallery,
    passphrase_option,
    plural,
    print_json,
    provider_option,
    variant_option,
)


@click.command()
@bundle_argument
@click.argument("gallery", type=click.Path(path_type=Path))
@click.argument("new_gallery", type=click.Path(path_type=Path))
@actor_option
@passphrase_option
@provider_option
@variant_option
@json_option
def migrate(
    bundle: Path,
    gallery: Path,
    new_gallery: Path,
    actor: str,
    passphrase_file: Path | None,
    provider: str,
    variant: str,
    as_json: bool,
) -> None:
    """Enroll all of GALLERY again with a new BUNDLE, into NEW_GALLERY.

    The frames must have been kept (`edgefew enroll --keep-frames`). All or nothing: GALLERY stays as it is, and
    NEW_GALLERY is there whole or not at all. Shown before and after: how many examples are recognised when each is left
    out in turn.
    """
    with (
        open_gallery(gallery, None, passphrase_file) as old,
        Classifier.open(bundle, provider=provider, variant=variant, false_accept_rate=None) as classifier,
    ):
        result = run_migration(old, classifier, new_gallery, actor, _show_progress)
    if as_json:
        print_json({"gallery": str(new_gallery), **result.to_dict()})
        return
    click.echo(
        f"{new_gallery}: {plural(result.examples, 'example')} of {result.classes} class"
        f"{'es' * (result.classes != 1)}, {plural(result.strangers, 'stranger')} to calibrate with"
        + f", {result.unlabelled} unlabelled to refine with"
        * bool(result.unlabelled)
    )
    if result.before is not None and result.after is not None:
        click.echo(f"  recognised when left out: {result.before:.1%} before, {result.after:.1%} now")


def _show_progress(done: int, total: int) -> None:
    """One line on standard error that is written over; where that is no terminal, a line for each tenth."""
    if sys.stderr.isatty():
        click.echo(f"\r{done} of {plural(total, 'picture')}", err=True, nl=done == total)
    elif done * 10 // total > (done - 1) * 10 // total:
        click.echo(f"{done} of {plural(total, 'picture')}", err=True)

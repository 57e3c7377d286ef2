"""`edgefew enroll`."""

from __future__ import annotations

from pathlib import Path

import click

from edgefew_runtime.classifier import Classifier

from .options import (
    actor_name,
    actor_option,
    bundle_argument,
    gallery_option,
    json_option,
    passphrase_option,
    print_json,
    provider_option,
    read_passphrase,
)


@click.command()
@bundle_argument
@click.argument("label", metavar="CLASS")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@gallery_option
@actor_option
@passphrase_option
@provider_option
@json_option
def enroll(
    bundle: Path,
    label: str,
    files: tuple[Path, ...],
    gallery: Path,
    actor: str | None,
    passphrase_file: Path | None,
    provider: str,
    as_json: bool,
) -> None:
    """Add examples of a class to a gallery; both may be new.

    All files are added or, if one cannot be read, none. A file that the class has already is skipped.
    """
    with Classifier.open(bundle, gallery, provider=provider) as classifier:
        if passphrase_file is not None:
            classifier.gallery.unlock(read_passphrase(passphrase_file))
        enrollment = classifier.enroll(label, list(files), actor_name(actor))
    if as_json:
        print_json(enrollment.to_dict())
        return
    click.echo(f"{enrollment.label}: {len(enrollment.accepted)} added, {enrollment.examples} in all")
    for name in enrollment.skipped:
        click.echo(f"  skipped, enrolled already: {name}")

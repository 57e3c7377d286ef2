"""`edgefew reject`."""

from __future__ import annotations

from pathlib import Path

import click

from edgefew_runtime.classifier import Classifier

from .options import (
    bundle_argument,
    frames_options,
    gallery_option,
    given_frames,
    plural,
    print_json,
    require_gallery,
    show_frames_added,
    text_option,
    unlock_with,
)


@click.command()
@bundle_argument
@click.argument("label", metavar="CLASS")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@text_option
@gallery_option
@frames_options
def reject(
    bundle: Path,
    label: str,
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    gallery: Path,
    keep_frames: bool,
    actor: str,
    passphrase_file: Path | None,
    provider: str,
    variant: str,
    as_json: bool,
) -> None:
    """Say that files are not of an enrolled class.

    From then on, a frame that is nearer to one of them than to every example of the class is not taken for it.
    """
    require_gallery(gallery)
    with Classifier.open(bundle, gallery, provider=provider, variant=variant) as classifier:
        unlock_with(classifier.gallery, passphrase_file)
        rejection = classifier.reject(label, given_frames(files, texts, classifier), actor, keep_frames=keep_frames)
    if as_json:
        print_json(rejection.to_dict())
        return
    click.echo(f"not {rejection.label}: {len(rejection.accepted)} remembered")
    for name in rejection.skipped:
        click.echo(f"  skipped, remembered already: {name}")
    show_frames_added(rejection.frames_added)
    if away := [Path(name).name for name in rejection.turned_away]:
        click.echo(
            f"  ! {plural(len(away), 'example')} of {rejection.label!r} would now be turned away if left out: "
            f"{', '.join(away[:3])}{' …' * (len(away) > 3)}"
        )

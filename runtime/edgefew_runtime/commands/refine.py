"""`edgefew refine`."""

from __future__ import annotations

from pathlib import Path

import click

from edgefew_runtime.classifier import Classifier, Refined
from edgefew_runtime.refinement import reported_gain

from .options import (
    bundle_argument,
    frames_in,
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

_SHOWN = 20
"""Classes of a large gallery that people are told of, those first that take most."""


@click.command()
@bundle_argument
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@text_option
@gallery_option
@click.option(
    "--clear", is_flag=True, help="Take out what was given before: all or nothing with the new ones. `undo` reverts it."
)
@click.option("--erase", is_flag=True, help="Delete what was given before from the disk. This cannot be undone.")
@frames_options
def refine(
    bundle: Path,
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    gallery: Path,
    clear: bool,
    erase: bool,
    keep_frames: bool,
    actor: str,
    passphrase_file: Path | None,
    provider: str,
    variant: str,
    as_json: bool,
) -> None:
    """Refine the enrolled classes by unlabelled FILES or folders: frames of this site whose class nobody said.

    Each counts in the classes that it resembles, by how much it does, or in none. The choice between the classes then
    follows; whether a frame is known stays with the enrolled examples, and so does what is promised. Without FILES, say
    what there is. `edgefew undo` takes back what was given last.
    """
    if erase and (files or texts or clear):
        raise click.UsageError("--erase goes alone. Erase first, then give the new ones.")
    require_gallery(gallery)
    with Classifier.open(bundle, gallery, provider=provider, variant=variant) as classifier:
        store, spec = classifier.gallery, classifier.bundle.manifest.input
        unlock_with(store, passphrase_file)
        found = tuple(file for path in files for file in frames_in(path, spec))
        given = given_frames(found, texts, classifier) if found or texts else []
        taken_out = 0
        if erase or (clear and not given):
            taken_out = (store.erase_unlabelled if erase else store.clear_unlabelled)(actor)
        if given:
            result = classifier.refine(given, actor, keep_frames=keep_frames, replace=clear)
        else:
            result = Refined((), (), *classifier.refined())
        held, gained = len(store.unlabelled()), reported_gain(classifier.bundle.report())
    if as_json:
        print_json(
            {
                **result.to_dict(),
                "taken_out": taken_out,
                "unlabelled": held,
                "reported": gained,
            }
        )
        return
    if given:
        click.echo(f"{len(result.accepted)} unlabelled added, {held} in all")
        for name in result.skipped:
            click.echo(f"  skipped, there already: {name}")
        show_frames_added(result.frames_added)
    elif clear or erase:
        click.echo(f"{taken_out} unlabelled {'erased' if erase else 'taken out'}")
    else:
        click.echo(f"{held} unlabelled")
    if held:
        most = sorted(result.taken.items(), key=lambda entry: -entry[1])
        for label, count in most[:_SHOWN]:
            click.echo(f"  {label}: as {count:.1f} more example{'s' * (round(count, 1) != 1)}")
        if rest := most[_SHOWN:]:
            click.echo(f"  {len(rest)} other classes: as {sum(count for _, count in rest):.1f}")
        click.echo(f"  of no class: {result.of_no_class:.1f}")
    if given and gained is None:
        click.echo("  ! the bundle's report does not say whether refining gains; its frames to prove on were too few")
    elif given and gained is not None:
        number, gain, ci95 = int(gained["unlabelled"]), gained["gain"], gained["gain_ci95"]
        mark, of = "✓" if gain > ci95 else "!", plural(number, "unlabelled frame")
        click.echo(f"  {mark} by the bundle's report, with {of} of each class: {gain:+.1%} ± {ci95:.1%} at one example")

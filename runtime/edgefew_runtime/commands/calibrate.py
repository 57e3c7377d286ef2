"""`edgefew calibrate`."""

from __future__ import annotations

from pathlib import Path

import click

from edgefew_runtime.classifier import FALSE_ACCEPT_RATE, Classifier
from edgefew_runtime.leave_one_out import leave_one_out
from edgefew_runtime.operating_point import strangers_needed

from .options import (
    bundle_argument,
    frames_in,
    frames_options,
    gallery_option,
    plural,
    print_json,
    require_gallery,
    show_frames_added,
    unlock_with,
)

RATES = (0.01, FALSE_ACCEPT_RATE, 0.1)


@click.command()
@bundle_argument
@gallery_option
@click.option(
    "--negatives",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A folder of frames, or a frame, of strangers: things of this site that are of no class. May be given again. "
    "What one class is not is told with `edgefew reject`.",
)
@click.option(
    "--clear", is_flag=True, help="Take out the strangers that were given before: all or nothing with the new ones."
)
@click.option("--erase", is_flag=True, help="Delete the strangers given before from the disk. This cannot be undone.")
@click.option(
    "--false-accept-rate",
    "rates",
    type=float,
    multiple=True,
    help="Say what can be promised at this rate. May be given again. Default: 0.01, 0.05 and 0.1.",
)
@frames_options
def calibrate(
    bundle: Path,
    gallery: Path,
    negatives: tuple[Path, ...],
    clear: bool,
    erase: bool,
    rates: tuple[float, ...],
    keep_frames: bool,
    actor: str,
    passphrase_file: Path | None,
    provider: str,
    variant: str,
    as_json: bool,
) -> None:
    """Say which false-accept rates a gallery can promise, and measure them on this site's own strangers.

    A false accept is a thing that is not enrolled and is taken for one that is. The strangers stay in the gallery (as
    embeddings), so that thresholds follow when it grows. Different things in different pictures count; ten pictures of
    one thing tell little more than one.
    """
    if erase and negatives:
        raise click.UsageError("--erase does not go with --negatives. Erase first, then give the new ones.")
    require_gallery(gallery)
    with Classifier.open(bundle, gallery, provider=provider, variant=variant, false_accept_rate=None) as classifier:
        files = [file for path in negatives for file in frames_in(path, classifier.bundle.manifest.input)]
        unlock_with(classifier.gallery, passphrase_file)
        cleared = classifier.gallery.clear(actor) if clear and not files else 0
        erased = classifier.gallery.erase_strangers(actor) if erase else 0
        added = classifier.calibrate(files, actor, keep_frames=keep_frames, replace=clear) if files else None
        promises = [p for rate in rates or RATES if (p := classifier.promise(rate)) is not None]
        held = len(classifier.gallery.strangers())
        scores = leave_one_out(classifier.gallery.content())
    if added is not None and not as_json:
        click.echo(f"{plural(len(added.accepted), 'stranger')} added, {held} in all")
        show_frames_added(added.frames_added)
    elif cleared and not as_json:
        click.echo(f"{plural(cleared, 'stranger')} taken out")
    if erased and not as_json:
        click.echo(f"{plural(erased, 'stranger')} erased")
    judged, right = int(scores.judged.sum()), scores.own[scores.right]
    for promise in promises:
        recognised = None if promise.threshold is None else int((right >= promise.threshold).sum())
        if as_json:
            needed = strangers_needed(promise.false_accept_rate)
            counts = {"strangers": held, "strangers_needed": needed, "judged": judged, "recognised": recognised}
            print_json({**promise.to_dict(), **counts})
        elif promise.threshold is None:
            click.echo(f"✗ {promise.false_accept_rate:.4g}: {promise.reason}")
        else:
            own = f"; {recognised} of {plural(judged, 'example')} recognised when left out" if judged else ""
            click.echo(f"✓ {promise.false_accept_rate:.4g}: threshold {promise.threshold:.3f}, {promise.reason}{own}")

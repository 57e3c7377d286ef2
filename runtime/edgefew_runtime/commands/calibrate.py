"""`edgefew calibrate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from edgefew_runtime.classifier import FALSE_ACCEPT_RATE, Classifier
from edgefew_runtime.errors import DataError
from edgefew_runtime.frames import IMAGE_SUFFIXES
from edgefew_runtime.leave_one_out import leave_one_out
from edgefew_runtime.operating_point import strangers_needed

from .options import (
    actor_name,
    actor_option,
    bundle_argument,
    gallery_option,
    json_option,
    keep_frames_option,
    passphrase_option,
    plural,
    print_json,
    provider_option,
    require_gallery,
    unlock_with,
    variant_option,
)

RATES = (0.01, FALSE_ACCEPT_RATE, 0.1)


@click.command()
@bundle_argument
@gallery_option
@click.option(
    "--negatives",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A folder of images, or an image, of things of this site that are not enrolled. May be given again.",
)
@click.option(
    "--clear", is_flag=True, help="Take out the negatives that were given before: all or nothing with the new ones."
)
@click.option("--erase", is_flag=True, help="Delete the negatives given before from the disk. This cannot be undone.")
@click.option(
    "--false-accept-rate",
    "rates",
    type=float,
    multiple=True,
    help="Say what can be promised at this rate. May be given again. Default: 0.01, 0.05 and 0.1.",
)
@keep_frames_option
@actor_option
@passphrase_option
@provider_option
@variant_option
@json_option
def calibrate(
    bundle: Path,
    gallery: Path,
    negatives: tuple[Path, ...],
    clear: bool,
    erase: bool,
    rates: tuple[float, ...],
    keep_frames: bool,
    actor: str | None,
    passphrase_file: Path | None,
    provider: str,
    variant: str,
    as_json: bool,
) -> None:
    """Say which false-accept rates a gallery can promise, and measure them on this site's own negatives.

    A false accept is a thing that is not enrolled and is taken for one that is. The negatives stay in the gallery (as
    embeddings), so that thresholds follow when it grows. Different things in different pictures count; ten pictures of
    one thing tell little more than one.
    """
    if erase and negatives:
        raise click.UsageError("--erase does not go with --negatives. Erase first, then give the new ones.")
    require_gallery(gallery)
    files = [file for path in negatives for file in _images(path)]
    with Classifier.open(bundle, gallery, provider=provider, variant=variant, false_accept_rate=None) as classifier:
        unlock_with(classifier.gallery, passphrase_file)
        who = actor_name(actor)
        cleared = classifier.gallery.clear(who) if clear and not files else 0
        erased = classifier.gallery.erase_strangers(who) if erase else 0
        added = classifier.calibrate(files, who, keep_frames=keep_frames, replace=clear) if files else None
        promises = [p for rate in rates or RATES if (p := classifier.promise(rate)) is not None]
        held = len(classifier.gallery.strangers())
        scores = leave_one_out(classifier.gallery.content())
    if added is not None and not as_json:
        click.echo(f"{len(added.accepted)} negatives added, {held} in all")
    elif cleared and not as_json:
        click.echo(f"{plural(cleared, 'negative')} taken out")
    if erased and not as_json:
        click.echo(f"{plural(erased, 'negative')} erased")
    judged, right = int(scores.judged.sum()), scores.own[scores.right]
    for promise in promises:
        recognised = None if promise.threshold is None else int((right >= promise.threshold).sum())
        if as_json:
            needed = strangers_needed(promise.false_accept_rate)
            counts = {"negatives": held, "negatives_needed": needed, "judged": judged, "recognised": recognised}
            print_json({**promise.to_dict(), **counts})
        elif promise.threshold is None:
            click.echo(f"✗ {promise.false_accept_rate:.4g}: {promise.reason}")
        else:
            own = f"; {recognised} of {plural(judged, 'example')} recognised when left out" if judged else ""
            click.echo(f"✓ {promise.false_accept_rate:.4g}: threshold {promise.threshold:.3f}, {promise.reason}{own}")


def _images(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise DataError(f"There is no image in {path} ({', '.join(sorted(IMAGE_SUFFIXES))}). Check the folder.")
    yield from found

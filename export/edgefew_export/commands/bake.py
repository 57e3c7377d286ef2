"""`edgefew bake`."""

from __future__ import annotations

from pathlib import Path

import click
from edgefew_runtime import Bundle, ExportError, Gallery
from edgefew_runtime.bundle import check_outside
from edgefew_runtime.classifier import FALSE_ACCEPT_RATE
from edgefew_runtime.commands.options import (
    bundle_argument,
    gallery_option,
    json_option,
    print_json,
    require_gallery,
)


@click.command()
@bundle_argument
@click.argument("out", type=click.Path(path_type=Path))
@gallery_option
@click.option(
    "--false-accept-rate",
    type=float,
    default=FALSE_ACCEPT_RATE,
    show_default=True,
    help="The share of things not enrolled that may get a label. Where it cannot be promised, nothing is written.",
)
@click.option("--always-answer", is_flag=True, help="Never answer unknown.")
@click.option("--replace", is_flag=True, help="Put the new file in the place of one that is there.")
@json_option
def bake(
    bundle: Path,
    out: Path,
    gallery: Path,
    false_accept_rate: float,
    always_answer: bool,
    replace: bool,
    as_json: bool,
) -> None:
    """Write one ONNX file OUT that recognises the enrolled classes: frames in, label index and probabilities out.

    For hosts that only recognise. The names, the threshold and where it all comes from are in the file's metadata. What
    is enrolled later is not in it: bake again.
    """
    from edgefew_export.bake import bake as baked_from
    from edgefew_export.bake import write_baked

    require_gallery(gallery)
    check_outside(out, ExportError, bundle)
    opened = Bundle.open(bundle)
    with Gallery(gallery, opened.id, opened.manifest.dimension) as store:
        baked = baked_from(opened, store, None if always_answer else false_accept_rate)
    write_baked(baked, out, replace=replace)
    if as_json:
        print_json({"file": str(out), "bytes": len(baked.model), **baked.to_dict()})
        return
    number, promise = len(baked.labels), baked.promise
    click.echo(f"{out}: {number} class{'es' * (number != 1)}, {len(baked.model) / 1e6:.1f} MB")
    if promise is None:
        click.echo("! it always answers: what is not enrolled gets the label of the nearest class")
    else:
        click.echo(f"✓ {promise.false_accept_rate:.4g}: threshold {promise.threshold:.3f}, {promise.reason}")

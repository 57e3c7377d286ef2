"""`edgefew export`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from edgefew_runtime import OperatingPoint
from edgefew_runtime.commands.options import json_option, print_json


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--name", help="The bundle's name. Default: that of the directory.")
@click.option("--bundle-version", default="1", show_default=True, help="The bundle's own version.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Prove and calibrate on this labelled folder, of classes that training never saw, instead of on the "
    "held-out classes in the checkpoint.",
)
@click.option("--source-pattern", help="For --data: a regular expression that finds the source in a file name.")
@click.option("--replace", "overwrite", is_flag=True, help="Put the new bundle in the place of one that is there.")
@json_option
def export(
    checkpoint: Path,
    bundle: Path,
    name: str | None,
    bundle_version: str,
    data: Path | None,
    source_pattern: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Turn a checkpoint into a bundle that has proved itself against PyTorch.

    If the proof fails, no bundle is written and the exit status is 1.
    """
    from edgefew_export.bundle_writer import export_bundle
    from edgefew_export.labelled_folder import read_labelled_folder

    folder = None if data is None else read_labelled_folder(data, source_pattern)
    # As an exception, SIGTERM lets the writer clear away what it had begun.
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        opened = export_bundle(
            checkpoint,
            bundle,
            name=name,
            version=bundle_version,
            data=folder,
            overwrite=overwrite,
            progress=lambda step: click.echo(f"{step} …", err=True),
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    report = opened.report()
    if as_json:
        print_json({"bundle": str(bundle), "bundle_id": opened.id, "report": report})
        return
    embedding, episodes = report["variants"]["fp32"]["embedding"], report["episodes"]
    worst = max(b["max_abs_error"] for b in embedding["batch_sizes"].values())
    accuracy = episodes["bundle"]
    sizes = ", ".join(embedding["batch_sizes"])
    click.echo(f"✓ embeddings equal PyTorch's to {worst:.1e} at batch sizes {sizes}")
    click.echo(f"✓ resized frames: cosine at least {embedding['resized_frames']['cosine_min']:.5f}")
    click.echo(
        f"✓ {episodes['agreement']:.2%} of {episodes['decisions']} decisions over {accuracy['episodes']} episodes agree"
    )
    click.echo(
        f"✓ {accuracy['way']}-way {accuracy['shot']}-shot on unseen classes: {accuracy['accuracy']:.1%} ± "
        f"{accuracy['ci95']:.1%}"
    )
    click.echo(_promised(opened.manifest.operating_points))
    click.echo(f"{bundle}: bundle {opened.id[:12]}…, {report['variants']['fp32']['bytes']['embed'] / 1e6:.1f} MB")


def _promised(points: Sequence[OperatingPoint]) -> str:
    """Which false-accept rates the bundle promises by itself, for people."""
    from edgefew_export.calibration import classes_needed

    if not points:
        return (
            "! no false-accept rate is promised: the classes that training never saw are too few "
            f"({classes_needed(0.05)} are needed for 5 %). Give more with --data, or calibrate on site"
        )
    largest = {p.false_accept_rate: p.way for p in sorted(points, key=lambda p: p.way)}
    rates = ", ".join(f"{rate:g} (up to {largest[rate]:,} classes)" for rate in sorted(largest))
    return f"✓ false-accept rates promised from {points[0].stranger_classes} unseen classes: {rates}"

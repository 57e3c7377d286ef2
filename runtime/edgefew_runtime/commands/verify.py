"""`edgefew verify`."""

from __future__ import annotations

from pathlib import Path

import click

from edgefew_runtime import selftest
from edgefew_runtime.labelled_folder import read_labelled_folder

from .options import bundle_argument, json_option, print_json, provider_option


@click.command()
@bundle_argument
@click.option("--gallery", type=click.Path(path_type=Path), help="Check this gallery too: its pages, log and sums.")
@click.option(
    "--public-key",
    type=click.Path(path_type=Path),
    help="The bundle must be signed for the key in this PEM file.  [default: the one that EDGEFEW_PUBLIC_KEY names]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Ask episodes of this labelled folder too: the accuracy must be what the bundle's report states.",
)
@click.option("--source-pattern", help="For --data: a regular expression that finds the source in a file name.")
@provider_option
@json_option
def verify(
    bundle: Path,
    gallery: Path | None,
    public_key: Path | None,
    data: Path | None,
    source_pattern: str | None,
    provider: str,
    as_json: bool,
) -> None:
    """Check a bundle on this machine: hashes, signature, structure, golden vectors, episodes. One verdict a line.

    The exit status is 1 if any check fails.
    """
    if source_pattern is not None and data is None:
        raise click.UsageError("--source-pattern says how the images of --data are told apart. Give --data too.")
    folder = None if data is None else read_labelled_folder(data, source_pattern)
    failed = False
    for verdict in selftest.verify(bundle, gallery, provider, public_key=public_key, data=folder):
        failed |= not verdict.passed
        if as_json:
            print_json(verdict.to_dict())
        else:
            click.echo(f"{'✓' if verdict.passed else '✗'} {verdict.check}: {verdict.seen}")
    if failed:
        raise SystemExit(1)

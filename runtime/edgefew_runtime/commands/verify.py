"""`edgefew verify`."""

from __future__ import annotations

from pathlib import Path

import click

from edgefew_runtime import selftest

from .options import bundle_argument, json_option, print_json, provider_option


@click.command()
@bundle_argument
@click.option("--gallery", type=click.Path(path_type=Path), help="Check this gallery too: its pages, log and sums.")
@click.option(
    "--public-key",
    type=click.Path(path_type=Path),
    help="The bundle must be signed for the key in this PEM file.  [default: the one that EDGEFEW_PUBLIC_KEY names]",
)
@provider_option
@json_option
def verify(bundle: Path, gallery: Path | None, public_key: Path | None, provider: str, as_json: bool) -> None:
    """Check a bundle on this machine: hashes, signature, structure, golden vectors. One verdict a line.

    The exit status is 1 if any check fails.
    """
    failed = False
    for verdict in selftest.verify(bundle, gallery, provider, public_key=public_key):
        failed |= not verdict.passed
        if as_json:
            print_json(verdict.to_dict())
        else:
            click.echo(f"{'✓' if verdict.passed else '✗'} {verdict.check}: {verdict.seen}")
    if failed:
        raise SystemExit(1)

"""`edgefew pack`."""

from __future__ import annotations

from pathlib import Path

import click

from edgefew_runtime.bundle import Bundle

from .options import bundle_argument, json_option, print_json


@click.command()
@bundle_argument
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def pack(bundle: Path, file: Path, as_json: bool) -> None:
    """Pack a bundle into one file; every command opens it like the directory."""
    opened = Bundle.open(bundle)
    opened.pack(file)
    if as_json:
        print_json({"file": str(file), "bundle_id": opened.id, "bytes": file.stat().st_size})
    else:
        click.echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB, bundle {opened.id[:12]}…")

"""`edgefew sign`."""

from __future__ import annotations

from pathlib import Path

import click
from edgefew_runtime import Bundle
from edgefew_runtime.commands.options import bundle_argument, json_option, print_json, read_passphrase


@click.command()
@bundle_argument
@click.option(
    "--key", required=True, type=click.Path(path_type=Path), help="The private key: PEM, P-256, -384 or -521."
)
@click.option(
    "--passphrase-file", type=click.Path(path_type=Path), help="A file with the pass-phrase of an encrypted key."
)
@click.option("--replace", is_flag=True, help="Put the signature in the place of one that is there.")
@json_option
def sign(bundle: Path, key: Path, passphrase_file: Path | None, replace: bool, as_json: bool) -> None:
    """Sign a bundle, so that devices which have the public key open no other.

    BUNDLE is a directory or a packed file. Its id stays, and so do the galleries made with it. The signature is one of
    OpenSSF model-signing; it needs the extra `sign` (pip install "edgefew-export[sign]").
    """
    from edgefew_export.signing import sign_bundle

    passphrase = None if passphrase_file is None else read_passphrase(passphrase_file).encode()
    public = sign_bundle(bundle, key, passphrase=passphrase, replace=replace)
    bundle_id = Bundle.open_unsigned(bundle).id
    if as_json:
        print_json({"bundle": str(bundle), "bundle_id": bundle_id, "key_sha256": public.fingerprint})
    else:
        click.echo(f"{bundle}: bundle {bundle_id[:12]}…, signed with the key {public.fingerprint[:12]}…")

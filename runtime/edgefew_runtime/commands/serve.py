"""`edgefew serve`."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import click

from edgefew_runtime.classifier import FALSE_ACCEPT_RATE, Classifier
from edgefew_runtime.errors import RuntimeMissingError

from .options import (
    bundle_argument,
    gallery_option,
    json_option,
    passphrase_option,
    print_json,
    provider_option,
    unlock_with,
    variant_option,
)


@click.command()
@bundle_argument
@gallery_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8417, type=click.IntRange(1, 65535), show_default=True, help="The port to listen on.")
@click.option(
    "--name",
    "names",
    multiple=True,
    help="A host name by which others call this server, such as bench.local. May be given again.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="A file with a role (operator, teacher) and a token a line. Default: a new teacher's token, printed once.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="A PEM file with the certificate, for https.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="A PEM file with its private key.")
@click.option(
    "--insecure-http",
    is_flag=True,
    help="Listen on other than this machine's own address without TLS: tokens and frames can then be read on the way.",
)
@click.option(
    "--false-accept-rate",
    type=float,
    help=f"The promise to begin with. Default: the last one that a teacher chose, {FALSE_ACCEPT_RATE} at first.",
)
@click.option("--keep-frames", is_flag=True, help="Keep the frames of what is enrolled: thumbnails, `edgefew migrate`.")
@click.option("--workers", default=2, type=click.IntRange(1, 64), show_default=True, help="Threads that embed.")
@click.option("--max-body-mb", default=64, type=click.IntRange(1, 2048), show_default=True, help="The largest request.")
@click.option(
    "--max-rate",
    default=50.0,
    type=click.FloatRange(0, min_open=True),
    show_default=True,
    help="Requests a second of one address.",
)
@passphrase_option
@provider_option
@variant_option
@json_option
def serve(
    bundle: Path,
    gallery: Path,
    host: str,
    port: int,
    names: tuple[str, ...],
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    insecure_http: bool,
    false_accept_rate: float | None,
    keep_frames: bool,
    workers: int,
    max_body_mb: int,
    max_rate: float,
    passphrase_file: Path | None,
    provider: str,
    variant: str,
    as_json: bool,
) -> None:
    """Serve a gallery to people in a browser (the console) and to other programs.

    Other programs use the Open Inference Protocol under /v2, or the gallery's own interface under /api/v1
    (/api/v1/openapi.json describes it). Ctrl-C or SIGTERM ends it after what was accepted is done.
    """
    try:
        import uvicorn

        from edgefew_runtime.serve.access import Tokens
        from edgefew_runtime.serve.app import build
        from edgefew_runtime.serve.chosen_rate import ChosenRate
        from edgefew_runtime.serve.connection import Connection
        from edgefew_runtime.serve.guard import Limits
        from edgefew_runtime.serve.site import Site
    except ImportError as error:
        raise RuntimeMissingError(
            f'The server needs {error.name}. Install it: pip install "edgefew-runtime[serve]"'
        ) from None

    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key belong together.")
    if not _is_loopback(host) and tls_cert is None and not insecure_http:
        raise click.UsageError(
            f"{host} is not this machine's own address: tokens and frames would go over the network in the clear. Give "
            "--tls-cert and --tls-key, or say --insecure-http."
        )
    for file in (tls_cert, tls_key):
        if file is not None and not file.is_file():
            raise click.UsageError(f"There is no file {file}.")
    tokens, token = Tokens.new() if token_file is None else (Tokens.read(token_file), None)
    scheme = "http" if tls_cert is None else "https"
    called = _called(host, names)
    hosts = {f"{name}:{port}" for name in called} | ({*called} if port in (80, 443) else set())
    chosen = ChosenRate(gallery)
    rate = chosen.read(FALSE_ACCEPT_RATE) if false_accept_rate is None else false_accept_rate
    with Classifier.open(bundle, gallery, provider=provider, variant=variant, false_accept_rate=rate) as classifier:
        unlock_with(classifier.gallery, passphrase_file)
        app = build(
            Site(classifier, keep_frames, chosen, workers),
            tokens,
            hosts=frozenset(hosts),
            origins=frozenset(f"{scheme}://{name}" for name in hosts),
            limits=Limits(body_bytes=max_body_mb * 1_000_000, requests_per_second=max_rate),
        )
        url = f"{scheme}://{called[0]}:{port}/"
        if as_json:
            print_json({"url": url, "token": token})
        else:
            click.echo(f"{url}  (the console)", err=True)
        if token is not None and not as_json:
            click.echo(f"the teacher's token, shown only here: {token}", err=True)
        uvicorn.run(
            app,
            host=host,
            port=port,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            http=Connection,
            ws="none",
            lifespan="off",
            timeout_keep_alive=5,
            timeout_graceful_shutdown=60,
            limit_concurrency=256,
            h11_max_incomplete_event_size=16_384,
            ssl_certfile=None if tls_cert is None else str(tls_cert),
            ssl_keyfile=None if tls_key is None else str(tls_key),
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _called(host: str, names: tuple[str, ...]) -> list[str]:
    """The names by which the server may be called, the first to be told."""
    own = ["127.0.0.1", "localhost", "[::1]"]
    address = f"[{host}]" if ":" in host else host
    first = [] if host in ("0.0.0.0", "::") else [address]  # noqa: S104
    return list(dict.fromkeys([*(name.lower() for name in names), *first, *own]))

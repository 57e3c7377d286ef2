"""`edgefew drift`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from edgefew_runtime.watch_file import read_watch

from .options import json_option, plural, print_json


@click.command()
@click.argument("watch", type=click.Path(path_type=Path))
@click.option("--reset", is_flag=True, help="Take the alarm back, and begin anew with the same reference.")
@json_option
def drift(watch: Path, reset: bool, as_json: bool) -> None:
    """Say what a watch of `edgefew classify --watch` has seen.

    After an alarm it only counts, until --reset. The exit status is 0 with and without an alarm.
    """
    watched, status = read_watch(watch, reset=reset)
    if as_json:
        print_json({"watched": asdict(watched), **status.to_dict()})
        return
    seen = (
        f"{plural(status.seen, 'accepted answer')} since it began; scores at enrolment {status.expected:.2f} on average"
    )
    click.echo(f"{'drift: ' + status.advice if status.alarm else 'no drift'} ({seen})")

"""Options that the commands which read a labelled folder share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from edgefew_runtime import FrameError

data_argument = click.argument("data", type=click.Path(path_type=Path))

source_pattern_option = click.option(
    "--source-pattern",
    help="A regular expression that finds in a file name where the frame is from (design family, smear, track, "
    "speaker, patient); its group “source”, its first group, or the match. Support and query never share a source.",
)

exclude_option = click.option(
    "--exclude",
    multiple=True,
    help="Leave out classes whose name matches, such as 'Greek/*'. May be given again.",
)

skip_bad_option = click.option(
    "--skip-bad",
    is_flag=True,
    help="Leave out files that cannot be read, and count them, instead of stopping.",
)

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto takes a GPU if there is one.",
)


def tell_bad(skip_bad: bool, quiet: bool = False) -> Callable[[FrameError], None]:
    """What to do with a frame that cannot be read: tell, unless quiet, and go on; or stop and say how to go on."""

    def skip(error: FrameError) -> None:
        if not quiet:
            click.echo(f"skipped: {error}", err=True)

    def stop(error: FrameError) -> None:
        raise FrameError(f"{error} Use --skip-bad to leave such files out.")

    return skip if skip_bad else stop

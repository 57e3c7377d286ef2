"""The command `edgefew`. The runtime owns it; the other packages add theirs through entry points."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import click

from edgefew_runtime.errors import EdgeFewError

from .backup import backup
from .bench import bench
from .calibrate import calibrate
from .classes import classes, examples, forget, rename
from .classify import classify
from .drift import drift
from .enroll import enroll
from .evidence import evidence
from .fleet import merge, share
from .history import log, undo
from .lock import lock, unlock
from .migrate import migrate
from .pack import pack
from .refine import refine
from .reject import reject
from .serve import serve
from .state import state
from .verify import verify

PLUGINS = "edgefew.commands"
"""The entry-point group in which a package adds a command."""


class _Commands(click.Group):
    """The runtime's own commands and those of whatever else is installed.

    An error of ours is one line on standard error, and the exit status is 1.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgeFewError as error:
            raise click.ClickException(str(error)) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        plugins = (entry.name for entry in metadata.entry_points(group=PLUGINS))
        return sorted({*super().list_commands(ctx), *plugins})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for entry in metadata.entry_points(group=PLUGINS, name=cmd_name):
            command = entry.load()
            assert isinstance(command, click.Command)  # noqa: S101
            return command
        return None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgefew-runtime", prog_name="edgefew")
def edgefew() -> None:
    """Train once, ship one bundle, teach on the device.

    Commands that report take --json and then print JSON alone on standard output.
    """


_OWN = (
    backup,
    bench,
    calibrate,
    classes,
    classify,
    drift,
    enroll,
    evidence,
    examples,
    forget,
    lock,
    log,
    merge,
    migrate,
    pack,
    refine,
    reject,
    serve,
    rename,
    share,
    state,
    undo,
    unlock,
    verify,
)

for _command in _OWN:
    edgefew.add_command(_command)

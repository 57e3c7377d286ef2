"""The command `edgefew`. The runtime owns it; the other packages add theirs through entry points."""

from __future__ import annotations

import sys
from importlib import metadata

import click

from edgefew_runtime.errors import EdgeFewError

from .classes import classes, forget, log, undo
from .classify import classify
from .enroll import enroll
from .pack import pack
from .verify import verify

PLUGINS = "edgefew.commands"
"""The entry-point group in which a package adds a command."""


class _Commands(click.Group):
    """The runtime's own commands and those of whatever else is installed."""

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


for _command in (classes, classify, enroll, forget, log, pack, undo, verify):
    edgefew.add_command(_command)


def main() -> None:
    """Run the command; an error is one line on standard error, and the exit status is not 0."""
    try:
        edgefew()
    except EdgeFewError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output went away (`edgefew classify … | head`). Not an error of ours to tell of.
        sys.stderr.close()
        sys.exit(1)

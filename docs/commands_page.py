"""Writes docs/commands.md from the commands' own help, so that the two cannot differ. `make docs` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from edgefew_runtime.commands import edgefew

PAGE = Path(__file__).with_name("commands.md")
WIDTH = 100
INTRODUCTION = """# Commands

One command, `edgefew`, on every machine; each shows what it can do. The workstation adds `bake`, `data`, `evaluate`,
`export`, `train` and `triton` to what a device has.

With `--json`, JSON alone goes to standard output: one object, or one object a line for a list. Messages and progress
go to standard error. The exit status is 0 only on success, 1 after an error, 2 where the command line itself is wrong.

This page is made from the commands' own help by `make docs`.
"""


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words that call it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None:
            yield from commands(child, (*path, name))


def page() -> str:
    """The page as Markdown."""
    parts = [INTRODUCTION]
    for path, command in commands(edgefew):
        words = " ".join(("edgefew", *path))
        context = click.Context(
            command,
            info_name=words,
            terminal_width=WIDTH,
            max_content_width=WIDTH,
            help_option_names=["-h", "--help"],
        )
        parts.append(f"## `{words}`\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

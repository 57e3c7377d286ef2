"""Writes the usage into docs/commands/NAME.md from the commands' own help, and the list of them. `make docs` runs it.

What stands above the heading "Usage" of such a page is written by hand, and kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from edgefew_runtime.commands import edgefew

DOCS = Path(__file__).parent
WIDTH = 100
USAGE = "## Usage\n\n"
INTRODUCTION = """# Commands

One command, `edgefew`, on every machine; each shows what it can do. The workstation adds `bake`, `curves`, `data`,
`evaluate`, `export`, `pictures`, `sign`, `train` and `triton` to what a device has.

With `--json`, JSON alone goes to standard output: one object, or one object a line for a list. Messages and progress
go to standard error. The exit status is 0 only on success, 1 after an error, 2 where the command line itself is wrong.

| command | what it does |
|---|---|
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


def pages() -> dict[Path, str]:
    """Each page with what should stand in it; a command without a page gets one with nothing written by hand."""
    found = {}
    listed = [INTRODUCTION]
    for path, command in commands(edgefew):
        words, page = " ".join(("edgefew", *path)), DOCS / "commands" / f"{'-'.join(path)}.md"
        written = page.read_text(encoding="utf-8").partition(USAGE)[0] if page.exists() else f"# `{words}`\n\n"
        found[page] = f"{written}{USAGE}```text\n{_help(words, command)}\n```\n"
        listed.append(f"| [`{words}`](commands/{page.name}) | {command.get_short_help_str(100)} |\n")
    return {DOCS / "commands.md": "".join(listed), **found}


def _help(words: str, command: click.Command) -> str:
    options = {"terminal_width": WIDTH, "max_content_width": WIDTH, "help_option_names": ["-h", "--help"]}
    return command.get_help(click.Context(command, info_name=words, **options))  # type: ignore[arg-type]


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8")

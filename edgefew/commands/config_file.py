"""`--config FILE`: options of a command from a TOML file, each with the name of its flag."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import tomllib
from edgefew_runtime import TrainingError

_Command = TypeVar("_Command", bound=Callable[..., Any])

ON_THE_COMMAND_LINE = ("config", "resume", "replace", "json", "help")
"""Flags that say how to run this time, not what to do."""


def config_option(*arguments: str) -> Callable[[_Command], _Command]:
    """A decorator: the option `--config`.

    Args:
        arguments: those of the command that a file may give, too.
    """

    def read(context: click.Context, _: click.Parameter, path: Path | None) -> None:
        if path is not None:
            context.default_map = settings(path, context.command, arguments)

    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=read,
        help=f"A TOML file with options under the names of their flags, such as image-size = 48, and "
        f"{', '.join(arguments)}. What is given here goes before what it says.",
    )


def settings(path: Path, command: click.Command, arguments: tuple[str, ...]) -> dict[str, Any]:
    """What the file says, by the names of the command's parameters.

    Raises:
        TrainingError: there is no such file, it is no TOML, or it has a key that is no flag of the command.
    """
    try:
        with path.open("rb") as file:
            given = tomllib.load(file)
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} is not TOML: {error}.") from None
    known: dict[str, click.Parameter] = {}
    for parameter in command.params:
        flags = [flag.removeprefix("--") for flag in parameter.opts]
        known |= {name: parameter for name in flags if name in arguments or f"--{name}" in parameter.opts}
    for name in ON_THE_COMMAND_LINE:
        known.pop(name, None)
    if unknown := sorted(set(given) - set(known)):
        raise TrainingError(f"{path} has {', '.join(unknown)}; known are: {', '.join(sorted(known))}.")
    for name, value in given.items():
        several = (list, str) if known[name].nargs == -1 else (list,)
        takes_list = known[name].nargs == -1 or (isinstance(known[name], click.Option) and known[name].multiple)
        wanted = several if takes_list else (str, int, float)
        if not isinstance(value, wanted):
            raise TrainingError(f"{path}: {name} is {value!r}; a {'list' if takes_list else 'value'} was expected.")
    return {
        str(known[name].name): [value] if known[name].nargs == -1 and isinstance(value, str) else value
        for name, value in given.items()
    }

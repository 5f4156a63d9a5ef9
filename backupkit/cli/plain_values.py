"""Parsing of a command line without pydantic, where a text already is the value.

Typer builds a converter of pydantic for each option that a command has. To load pydantic takes
longer than all else of a short command. Most values need no converter: a default has its type
already, and a text stays a text.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import typer

__all__ = ["keep_plain_values"]

_TEXTS: Final = (str, str | None)
_LISTS: Final = (list[str], list[str] | None)
_PATHS: Final = (Path, Path | None)


def keep_plain_values(
    command: Any,  # noqa: ANN401 # typer names no base of its commands
    parent: typer.Context | None = None,
) -> None:
    """Let a command and those below it convert only the values that need it.

    Parameters
    ----------
    command : typer.core.TyperCommand or typer.core.TyperGroup
        Changed in place. It takes the same values, and has the same errors.
    parent : typer.Context, optional
        Of the group of the command.

    Examples
    --------
    >>> from typer.main import get_command
    >>> def check(name: str = "vc-1") -> str:
    ...     return name
    >>> app = typer.Typer()
    >>> _ = app.command()(check)
    >>> command = get_command(app)
    >>> keep_plain_values(command)
    >>> command(args=["--name", "vc-2"], standalone_mode=False)
    'vc-2'
    """
    kinds = get_type_hints(command.callback) if command.callback else {}
    context = typer.Context(command, parent=parent, **command.context_settings)
    for parameter in command.get_params(context):  # with --help
        parameter.process_value = partial(
            _process, parameter, kinds.get(parameter.name), parameter.process_value
        )
    for one in getattr(command, "commands", {}).values():
        keep_plain_values(one, context)


def _process(
    parameter: Any,  # noqa: ANN401 # an option or an argument
    kind: object,
    convert: Callable[[Any, Any], object],
    context: Any,  # noqa: ANN401 # typer's
    value: Any,  # noqa: ANN401 # a text, a list, a flag or a default
) -> object:
    """Return the value of a parameter; `convert` is typer's way, which loads pydantic."""
    is_default = value is parameter.default and not parameter.required
    if not is_default and not _is_plain(value, kind):
        return convert(context, value)
    plain = Path(value) if kind in _PATHS and isinstance(value, str) else value
    if parameter.callback is None:
        return plain
    result: object = parameter.callback(context, parameter, plain)
    return result


def _is_plain(value: object, kind: object) -> bool:
    """Return whether a given value needs no converter, and cannot be wrong."""
    if isinstance(value, list | tuple):
        return kind in _LISTS
    if not isinstance(value, str):
        return False
    if kind in _PATHS:
        return os.access(value, os.R_OK) or not os.path.lexists(value)
    return kind in _TEXTS or value in get_args(kind)  # one of a Literal

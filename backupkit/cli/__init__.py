"""Command line of backupkit, and the only mapping from errors to exit codes.

Data goes to stdout, messages and progress to stderr. Exit codes:

====  =====================================================================================
0     done
1     wrong input, or a file or database cannot be read or written; the reason is on stderr; or a
      step of ``run`` failed
2     wrong usage of the command line
3     some appliances could not be read, or failed a check of ``doctor``
4     no appliance could be read, or all failed a check
5     the report is written, and its verdict is one of those in ``--fail-on``
6     the report is written, but its mail could not be sent; or a channel of ``alert send`` failed
7     another run works with the history
130   stopped with Ctrl-C
====  =====================================================================================

``check`` uses the codes of monitoring plug-ins: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
"""

import builtins
import gc
import logging
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Annotated, Final

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from backupkit._version import __version__
from backupkit.cli.options import echo
from backupkit.cli.plain_values import keep_plain_values
from backupkit.errors import BackupkitError, HistoryLockedError
from backupkit.texts import clean_text

__all__ = ["COMMANDS", "build_app", "main", "run"]

FAILED: Final = 1
LOCKED: Final = 7
INTERRUPTED: Final = 130

_OBJECTS_BEFORE_COLLECTION: Final = 50_000

COMMANDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "demo": "simulate",
        "init": "init",
        "discover": "discover",
        "doctor": "doctor",
        "collect": "collect",
        "watch": "watch",
        "run": "run",
        "schedule": "schedule",
        "report": "report",
        "open": "open_report",
        "check": "check",
        "metrics": "check",
        "alert": "alert",
        "note": "note",
        "kit": "kit",
        "simulate": "simulate",
        "history": "history",
    }
)
"""Module of each command, in the order of the help."""


class _CleanFormatter(logging.Formatter):
    """Formatter of lines that cannot control the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, with its traceback if it has one."""
        return clean_text(super().format(record))


def _print_version(value: bool) -> None:  # noqa: FBT001 # a callback of typer
    if value:
        echo(f"backupkit {__version__}")
        raise typer.Exit


def _configure_logging(
    *,
    version: Annotated[  # noqa: ARG001 # the callback does it
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log each step.")] = False,
) -> None:
    """Backup SLA of vCenter Server Appliances: collect, assess, report."""
    handler = logging.StreamHandler()
    handler.setFormatter(_CleanFormatter("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, handlers=[handler])


def build_app(command: str | None = None) -> typer.Typer:
    """Return the command line with one of its commands, or with all of them.

    Examples
    --------
    >>> [one.callback.__name__ for one in build_app("collect").registered_commands]
    ['collect']
    """
    app = typer.Typer(
        name="backupkit",
        help="Backup SLA of vCenter Server Appliances: collect, assess, report.",
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_configure_logging)
    for name in COMMANDS if command is None else (command,):
        module = import_module(f"{__name__}.commands.{COMMANDS[name]}")
        own = getattr(module, f"{name}_" if hasattr(builtins, name) else name)
        if isinstance(own, typer.Typer):
            app.add_typer(own)
        else:
            app.command(name)(own)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; default: those of the process.

    Returns
    -------
    int
        Exit code, as in the module docstring.

    Examples
    --------
    >>> main(["--version"])
    backupkit ...
    0
    """
    try:
        arguments = sys.argv[1:] if argv is None else list(argv)
        # another command is not loaded, as it costs time
        name = next((text for text in arguments if not text.startswith("-")), "")
        command = get_command(build_app(name if name in COMMANDS else None))
        keep_plain_values(command)
        code = command(args=arguments or ["--help"], prog_name="backupkit", standalone_mode=False)
    except BackupkitError as error:
        echo(f"backupkit: {error}", err=True)
        return LOCKED if isinstance(error, HistoryLockedError) else FAILED
    except TyperException as error:
        echo(f"backupkit: {error.format_message()}", err=True)
        context = getattr(error, "ctx", None)  # not every error knows its command
        words = [] if context is None else context.command_path.split()[1:]
        echo(f"See: {' '.join(['backupkit', *words, '--help'])}", err=True)
        return error.exit_code
    except typer.Abort:  # a prompt without an answer
        code = INTERRUPTED
    if code == INTERRUPTED:  # typer turns Ctrl-C into this
        echo("Stopped.", err=True)
    return code or 0


def run() -> None:
    """Run the command of the process and exit with its exit code."""
    # hardly any object dies in a cycle; to look for them takes a tenth of a short command
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
    sys.exit(main())

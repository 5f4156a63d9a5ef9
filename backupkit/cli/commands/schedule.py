"""Command ``backupkit schedule``: units and tasks that start ``backupkit run``."""

import getpass
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

import backupkit as bk
from backupkit.cli.options import FLEET, HISTORY, FleetOption, HistoryOption, echo
from backupkit.cli.run_settings import RunSettings
from backupkit.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from backupkit.cli.units import Job
    from backupkit.fleet import Fleet

__all__ = ["schedule"]

Kind = Literal["systemd", "cron", "launchd", "windows"]

_EVERY: Final = "15m"


def schedule(  # one parameter per option
    kind: Annotated[
        Kind, typer.Argument(help="systemd (Linux), cron, launchd (macOS) or windows.")
    ],
    fleet: FleetOption = FLEET,
    history: HistoryOption = HISTORY,
    *,
    every: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help=f"Time between two runs.  [default: {_EVERY}]"),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="HH:MM", help="Once a day at this time of the machine, such as 06:00."
        ),
    ] = None,
    user: Annotated[
        bool, typer.Option("--user", help="For the present user, without root or administrator.")
    ] = False,
    account: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="User that runs it (default: the present one, also with sudo). Not for windows, "
            "whose task runs as SYSTEM.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write the files into this folder, and print their names."
        ),
    ] = None,
) -> None:
    """Print what starts backupkit run on a schedule: units of systemd, a crontab, a task.

    The first lines say how to install and remove it. All paths are absolute. Nothing is installed.
    """
    from backupkit.cli.units import Job  # noqa: PLC0415 # keeps --help fast
    from backupkit.settings import parse_duration, read_toml  # noqa: PLC0415 # fast --help

    _check_account(kind, account, user=user)
    file = read_toml(fleet)
    settings = RunSettings.load(file)
    _warn_of_prompts(bk.Fleet.load(file))
    path = fleet.absolute()
    place = _find_history(history)
    options = ["--fleet", str(path), "--history", place]
    program = [sys.executable, "-m", "backupkit"]
    every = _EVERY if every is None and at is None else every
    timing = ["--at", at] if at is not None else ["--every", str(every)]
    name = None if user else account or os.environ.get("SUDO_USER") or getpass.getuser()
    job = Job(
        command=[*program, "run", *options],
        folder=path.parent,
        writable=list(_list_folders(settings, place)),
        every=None if every is None else parse_duration(every, where="--every"),
        at=at,
        account=name,
    )
    owner = ["--user"] if name is None else ["--account", name]
    install = shlex.join([*program, "schedule", kind, *options, *timing, *owner, "--out"])
    files = _format_files(kind, job, install)
    if out is None:
        echo("\n".join(files.values()).rstrip("\n"))
        return
    for written in _write_files(out, files):
        echo(str(written))


def _check_account(kind: Kind, account: str | None, *, user: bool) -> None:
    """Raise if --account would have no effect."""
    if account is None:
        return
    if user:
        raise SettingsError("--account and --user exclude each other; use one of them.")
    if kind == "windows":
        raise SettingsError(
            "--account: Windows asks for the password of another user when the task is installed. "
            "Leave the option out, and install the task with: schtasks /Create /TN backupkit "
            '/XML backupkit.xml /RU "NAME" /RP *'
        )


def _format_files(kind: Kind, job: "Job", install: str) -> Mapping[str, str]:
    from backupkit.cli.units import (  # noqa: PLC0415 # keeps --help fast
        format_cron,
        format_launchd,
        format_systemd,
        format_windows,
    )

    match kind:
        case "systemd":
            return format_systemd(job, install=install)
        case "cron":
            return {"backupkit": format_cron(job)}
        case "launchd":
            return {"org.backupkit.run.plist": format_launchd(job)}
        case _:
            return {"backupkit.xml": format_windows(job)}


def _find_history(history: str) -> str:
    """Return an absolute path, or the URL; a URL with a password is an error."""
    if "://" not in history:
        return str(Path(history).absolute())
    from backupkit.history.postgresql import refuse_password  # noqa: PLC0415 # keeps --help fast

    refuse_password(history)
    return history


def _list_folders(settings: RunSettings, history: str) -> Iterator[Path]:
    """Yield the folders that a run writes to."""
    folders = [] if "://" in history else [Path(history).parent]
    folders += [] if settings.report is None else [settings.report.absolute()]
    folders += [] if settings.metrics is None else [settings.metrics.absolute().parent]
    for folder in dict.fromkeys(folders):
        if not folder.is_dir():
            echo(f"{folder} does not exist. Create it before the first run.", err=True)
        yield folder


def _warn_of_prompts(fleet: "Fleet") -> None:
    """Print a warning if a secret is prompted for: nobody is there to type it."""
    prompted = [one for one in fleet if one.password.kind == "prompt"]
    if prompted:
        first = prompted[0]
        echo(
            f"{fleet.source}: the {first.password.secret} of {first.name} is prompted for, and "
            "nobody types it in a scheduled run. Name a file, the keyring or a variable as its "
            "source.",
            err=True,
        )


def _write_files(folder: Path, files: Mapping[str, str]) -> Iterator[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
            yield folder / name
    except OSError as error:
        raise OutputError(
            f"Cannot write to {folder}: {error.strerror or error}. Use sudo, or another --out."
        ) from error

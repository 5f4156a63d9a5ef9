"""Options and output functions shared by the commands."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from backupkit.errors import one_line
from backupkit.texts import clean_text, escape_controls

if TYPE_CHECKING:
    import pandas as pd

    from backupkit.fleet import Fleet
    from backupkit.limits import Limits

__all__ = [
    "FLEET",
    "HISTORY",
    "WAIT",
    "ApplianceOption",
    "AsJson",
    "ConcurrencyOption",
    "ConnectOption",
    "DeadlineOption",
    "FleetOption",
    "GroupOption",
    "HistoryOption",
    "PerApplianceOption",
    "PollOption",
    "ReadOption",
    "ResponseOption",
    "SiteOption",
    "WaitOption",
    "echo",
    "echo_by_appliance",
    "echo_document",
    "frame_to_records",
    "print_json",
    "read_limit_options",
]

_DURATION: Final = "DURATION"
MAX_APPLIANCES: Final = 20
MAX_LINES: Final = 3  # of one appliance
MAX_LENGTH: Final = 1_000  # of a line

FleetOption = Annotated[
    Path,
    typer.Option(
        "--fleet",
        metavar="FILE",
        envvar="BACKUPKIT_FLEET",
        help="fleet.toml with the appliances and the policy.",
    ),
]
FLEET: Final = Path("fleet.toml")
"""The fleet by default: in the working directory."""
HistoryOption = Annotated[
    str,  # a Path would make postgresql:/ of postgresql://
    typer.Option(
        "--history",
        metavar="FILE|URL",
        envvar="BACKUPKIT_HISTORY",
        help="History: a file such as history.db, or "
        "postgresql://user@host:port/database with the password in PGPASSFILE or PGPASSWORD.",
    ),
]
HISTORY: Final = "history.db"
"""The history by default: in the working directory."""
ApplianceOption = Annotated[
    list[str] | None,
    typer.Option("--appliance", metavar="NAME", help="Only this appliance; repeatable."),
]
GroupOption = Annotated[
    list[str] | None,
    typer.Option(
        "--group", metavar="NAME", help="Only appliances of this group of fleet.toml; repeatable."
    ),
]
SiteOption = Annotated[
    list[str] | None,
    typer.Option(
        "--site", metavar="NAME", help="Only appliances of this site of fleet.toml; repeatable."
    ),
]
WaitOption = Annotated[
    str,
    typer.Option(
        "--wait",
        metavar=_DURATION,
        help="Time to wait for another run with the same history; then exit with 7.",
    ),
]
WAIT: Final = "10s"
"""The time to wait for another run by default."""
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]

_FROM_FILE: Final = "default: [limits] of fleet.toml, or"
ConnectOption = Annotated[
    str | None,
    typer.Option(
        "--connect", metavar=_DURATION, help=f"Time to open a connection ({_FROM_FILE} 10s)."
    ),
]
ReadOption = Annotated[
    str | None,
    typer.Option(
        "--read",
        metavar=_DURATION,
        help=f"Time for the first bytes of a response, and for the next ones ({_FROM_FILE} 30s).",
    ),
]
ResponseOption = Annotated[
    str | None,
    typer.Option(
        "--response", metavar=_DURATION, help=f"Time for one whole response ({_FROM_FILE} 2m)."
    ),
]
PollOption = Annotated[
    str | None,
    typer.Option(
        "--poll",
        metavar=_DURATION,
        help=f"Time for the whole poll of one appliance ({_FROM_FILE} 5m).",
    ),
]
DeadlineOption = Annotated[
    str | None,
    typer.Option(
        "--deadline", metavar=_DURATION, help=f"Time for all appliances ({_FROM_FILE} 15m)."
    ),
]
ConcurrencyOption = Annotated[
    int | None,
    typer.Option(
        "--concurrency",
        metavar="N",
        min=1,
        help=f"Maximum concurrent requests, over all appliances ({_FROM_FILE} 64).",
    ),
]
PerApplianceOption = Annotated[
    int | None,
    typer.Option(
        "--per-appliance",
        metavar="N",
        min=1,
        help=f"Maximum concurrent requests to one appliance ({_FROM_FILE} 4).",
    ),
]


def read_limit_options(fleet: "Fleet", **options: str | int | None) -> "Limits":
    """Return the limits of a fleet, with those that options state."""
    from backupkit.settings import parse_duration  # noqa: PLC0415 # keeps --help fast

    stated = {
        name: parse_duration(value, where=f"--{name}").total_seconds()
        if isinstance(value, str)
        else value
        for name, value in options.items()
        if value is not None
    }
    return replace(fleet.limits, **stated)  # type: ignore[arg-type] # counts are whole numbers


def echo(text: str, *, err: bool = False) -> None:
    """Print a text on stdout or stderr, without what could control the terminal.

    All commands print by this function, so that no text from outside reaches a terminal raw.
    """
    typer.echo(clean_text(text), err=err)


def echo_document(text: str) -> None:
    """Print a document on stdout, in UTF-8 whatever the locale, without control characters."""
    typer.echo(clean_text(text).encode(), nl=False)


def print_json(
    value: object, *, indent: int | None = 2, default: Callable[[Any], object] | None = None
) -> None:
    """Print a value as JSON on stdout; `default` converts what JSON does not have."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=default)
    echo(escape_controls(text))


def frame_to_records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return a frame as JSON records: ISO 8601 times, durations in seconds, null if missing."""
    plain = frame.copy()
    for name in plain.select_dtypes("timedelta").columns:
        plain[name] = plain[name].dt.total_seconds()
    text = plain.to_json(orient="records", date_format="iso", date_unit="us")
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


def echo_by_appliance(
    errors: Iterable[tuple[str | None, str]], *, named: bool = True, note: str = ""
) -> None:
    """Print the first errors of each appliance on stderr, and the numbers of the others.

    Parameters
    ----------
    errors : iterable of (str or None, str)
        Appliance and detail of each error.
    named : bool
        Whether to begin each line with the appliance; otherwise the detail names it.
    note : str
        Where the others are.
    """
    groups: dict[str | None, list[str]] = {}
    for name, detail in errors:
        groups.setdefault(name, []).append(detail)
    for name, details in islice(groups.items(), MAX_APPLIANCES):
        prefix = f"{name}: " if named and name is not None else ""
        for detail in details[:MAX_LINES]:
            echo(f"  {one_line(f'{prefix}{detail}', limit=MAX_LENGTH)}", err=True)
        if (more := len(details) - MAX_LINES) > 0:
            echo(f"  {prefix}and {more:,} more{note}", err=True)
    if (more := len(groups) - MAX_APPLIANCES) > 0:
        echo(f"  and {more:,} more appliances{note}", err=True)

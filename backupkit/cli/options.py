"""Options and output functions shared by the commands."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    import pandas as pd

    from backupkit.fleet import Fleet
    from backupkit.limits import Limits

__all__ = [
    "AsJson",
    "ConcurrencyOption",
    "ConnectOption",
    "DeadlineOption",
    "FleetOption",
    "HistoryOption",
    "PerApplianceOption",
    "PollOption",
    "ReadOption",
    "ResponseOption",
    "echo_truncated",
    "frame_to_records",
    "print_json",
    "read_limit_options",
]

MAX_LINES: Final = 20

FleetOption = Annotated[
    Path,
    typer.Option("--fleet", metavar="FILE", help="fleet.toml with the appliances and the policy."),
]
HistoryOption = Annotated[
    str,  # a Path would make postgresql:/ of postgresql://
    typer.Option(
        "--history",
        metavar="FILE|URL",
        help="History: a file such as history.db, or "
        "postgresql://user@host:port/database with the password in PGPASSFILE or PGPASSWORD.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]

_DURATION: Final = "DURATION"
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
    from backupkit.settings import parse_duration  # noqa: PLC0415 # it loads pandas

    stated = {
        name: parse_duration(value, where=f"--{name}").total_seconds()
        if isinstance(value, str)
        else value
        for name, value in options.items()
        if value is not None
    }
    return replace(fleet.limits, **stated)  # type: ignore[arg-type] # counts are whole numbers


def print_json(value: object) -> None:
    """Print a value as JSON on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def frame_to_records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return a frame as JSON records: ISO 8601 times, durations in seconds, null if missing."""
    plain = frame.copy()
    for name in plain.select_dtypes("timedelta").columns:
        plain[name] = plain[name].dt.total_seconds()
    text = plain.to_json(orient="records", date_format="iso", date_unit="us")
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


def echo_truncated(lines: Sequence[str], *, note: str = "") -> None:
    """Print the first lines on stderr, and the number of the others."""
    for line in lines[:MAX_LINES]:
        typer.echo(f"  {line}", err=True)
    if (more := len(lines) - MAX_LINES) > 0:
        typer.echo(f"  and {more:,} more{note}", err=True)

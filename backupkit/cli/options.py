"""Options and output functions shared by the commands."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AsJson", "FleetOption", "HistoryOption", "echo_truncated", "print_json", "records"]

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


def print_json(value: object) -> None:
    """Print a value as JSON on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return a frame as JSON records: ISO 8601 times, durations in seconds, null if missing."""
    plain = frame.copy()
    for name in plain.select_dtypes("timedelta").columns:
        plain[name] = plain[name].dt.total_seconds()
    text = plain.to_json(orient="records", date_format="iso", date_unit="us")
    rows: list[dict[str, Any]] = json.loads(text)
    return rows


def echo_truncated(lines: Sequence[str], *, rest: str = "") -> None:
    """Print the first lines on stderr, and the number of the others."""
    for line in lines[:MAX_LINES]:
        typer.echo(f"  {line}", err=True)
    if (more := len(lines) - MAX_LINES) > 0:
        typer.echo(f"  and {more:,} more{rest}", err=True)

"""Options and output functions shared by the commands."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AsJson", "FleetOption", "HistoryOption", "print_json", "records"]

FleetOption = Annotated[
    Path, typer.Option("--fleet", metavar="FILE", help="Which appliances there are: fleet.toml.")
]
HistoryOption = Annotated[
    str,  # a Path would make postgresql:/ of postgresql://
    typer.Option(
        "--history",
        metavar="PLACE",
        help="Where all is kept: a file such as history.db, or "
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

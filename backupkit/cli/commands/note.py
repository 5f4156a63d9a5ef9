"""Commands ``backupkit note``: notes of operators about incidents, with a ticket."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import backupkit as bk
from backupkit.cli.options import (
    FLEET,
    HISTORY,
    AsJson,
    FleetOption,
    HistoryOption,
    echo,
    print_json,
)
from backupkit.errors import SettingsError, one_line

if TYPE_CHECKING:
    import pandas as pd

    from backupkit.tables.notes import Note

__all__ = ["note"]

_MAX_NAME: Final = 100  # characters of a name or a ticket
_MAX_TEXT: Final = 1_000

_MAX_IDS: Final = 5

IncidentOption = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Incident, as reports show it: vc-1/2026-11-06T01:05:00Z."),
]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who writes this.")]

note = typer.Typer(
    name="note",
    help="Notes about incidents: add, list, remove.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@note.command()
def add(
    *,
    history: HistoryOption = HISTORY,
    fleet: FleetOption = FLEET,
    appliance: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name in fleet.toml; with --incident not needed."),
    ] = None,
    incident: IncidentOption = None,
    by: ByOption,
    text: Annotated[str, typer.Option(metavar="TEXT", help="What was found or done.")],
    ticket: Annotated[str, typer.Option(metavar="NUMBER", help="Ticket or change.")] = "",
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time that it is about, such as 2026-11-09T01:20:00Z.  [default: now]",
        ),
    ] = None,
) -> None:
    """Add a note about an incident. Reports, mail and summaries show it.

    Without --incident it belongs to the incident of the appliance that is open at its time.
    """
    from backupkit.settings import parse_instant  # noqa: PLC0415 # keeps --help fast
    from backupkit.tables.notes import Note  # noqa: PLC0415 # keeps --help fast

    store = bk.History(history, create=False)
    onset = None
    if incident is not None:
        row = _find_incident(store, fleet, incident)
        if appliance not in {None, row["appliance"]}:
            raise SettingsError(
                f"--incident {one_line(incident)} is not of the appliance "
                f'"{one_line(str(appliance))}". Leave out --appliance.'
            )
        appliance, onset = str(row["appliance"]), row["onset"].to_pydatetime()
    if appliance is None:
        raise SettingsError("--appliance or --incident is missing; for example: --appliance vc-1")
    if appliance not in set(store.sql("SELECT name FROM appliances")["name"]):
        raise SettingsError(
            f'The history {history} knows no appliance "{one_line(appliance)}". Its names are '
            "those of fleet.toml."
        )
    now = datetime.now(UTC)
    about = now if at is None else parse_instant(at, where="--at").to_pydatetime()
    if about > now:
        raise SettingsError(f"--at {at} is in the future. State the time of what happened.")
    stored = store.notes.add(
        Note(
            appliance=appliance,
            at=about,
            by=_clean(by, "--by", _MAX_NAME),
            ticket=one_line(ticket, limit=_MAX_NAME),
            text=_clean(text, "--text", _MAX_TEXT),
            added_at=now,
            onset=onset,
        )
    )
    echo(f"Note {stored.number} about {stored.incident or appliance} added.")


def _find_incident(store: "bk.History", fleet: Path, text: str) -> "pd.Series":
    """Return the row of an incident; raise if there is none with this id."""
    from backupkit.tables.incident_ids import parse_incident_id  # noqa: PLC0415 # fast --help

    where = f"--incident {one_line(text)}"
    try:
        appliance, onset = parse_incident_id(text)
    except ValueError as error:
        raise SettingsError(
            f"{where} is no id of an incident. Reports show them; for example: "
            "--incident vc-1/2026-11-06T01:05:00Z"
        ) from error
    now = datetime.now(UTC)
    start = min(onset, now) - timedelta(days=1)
    found = bk.evaluate(
        store, bk.Policy.load(fleet), appliances=[appliance], start=start, now=now
    ).incidents
    same = found[found["incident"] == text.strip()]
    if same.empty:
        ids = ", ".join(map(one_line, found["incident"].tail(_MAX_IDS)))
        there = f"the newest of its incidents are {ids}" if ids else "it has no incident since then"
        raise SettingsError(f"{where}: there is no such incident of this appliance; {there}.")
    return same.iloc[0]


def _clean(text: str, option: str, limit: int) -> str:
    """Return a text in one line; raise if it is empty."""
    clean = one_line(text, limit=limit)
    if not clean:
        raise SettingsError(f'{option} is empty; for example: {option} "disk replaced"')
    return clean


@note.command("list")
def list_(
    history: HistoryOption = HISTORY,
    fleet: FleetOption = FLEET,
    *,
    incident: IncidentOption = None,
    as_json: AsJson = False,
) -> None:
    """Show all notes, or those of an incident, also those that were withdrawn."""
    store = bk.History(history, create=False)
    notes = store.notes.read()
    if incident is not None:
        notes = _select_notes(notes, _find_incident(store, fleet, incident))
    if as_json:
        records = [{**asdict(one), "incident": one.incident} for one in notes]
        print_json({"notes": records}, default=lambda time: time.isoformat())
        return
    for one in notes:
        ticket = f" ({one.ticket})" if one.ticket else ""
        ended = f" [withdrawn by {one.withdrawn_by}]" if one.withdrawn_at else ""
        echo(
            f"{one.number}  {one.at:%Y-%m-%d %H:%M} UTC  {one.incident or one.appliance}: "
            f"{one.text}{ticket}, "
            f"by {one.by}{ended}"
        )


def _select_notes(notes: Sequence["Note"], row: "pd.Series") -> tuple["Note", ...]:
    """Return the notes of one incident."""
    from backupkit.reports.notes import find_incident  # noqa: PLC0415 # keeps --help fast

    return tuple(one for one in notes if find_incident(row.to_frame().T, one) == row["incident"])


@note.command()
def remove(
    *,
    history: HistoryOption = HISTORY,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Number in the list.")],
    by: ByOption,
) -> None:
    """Withdraw a note: it is kept, and marked."""
    store = bk.History(history, create=False)
    store.notes.withdraw(number, by=_clean(by, "--by", _MAX_NAME), at=datetime.now(UTC))
    echo(f"Note {number} withdrawn.")

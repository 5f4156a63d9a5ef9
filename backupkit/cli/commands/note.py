"""Commands ``backupkit note``: notes of operators about appliances, with a ticket."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

import backupkit as bk
from backupkit.cli.options import HISTORY, AsJson, HistoryOption, echo, print_json
from backupkit.errors import SettingsError, one_line

__all__ = ["note"]

_MAX_NAME: Final = 100  # characters of a name or a ticket
_MAX_TEXT: Final = 1_000

ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who writes this.")]

note = typer.Typer(
    name="note",
    help="Notes about appliances: add, list, remove.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@note.command()
def add(
    *,
    history: HistoryOption = HISTORY,
    appliance: Annotated[str, typer.Option(metavar="NAME", help="Name in fleet.toml.")],
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
    """Add a note about an appliance. Reports show it beside the appliance."""
    from backupkit.settings import parse_instant  # noqa: PLC0415 # keeps --help fast
    from backupkit.tables.notes import Note  # noqa: PLC0415 # keeps --help fast

    store = bk.History(history, create=False)
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
        )
    )
    echo(f"Note {stored.number} about {appliance} added.")


def _clean(text: str, option: str, limit: int) -> str:
    """Return a text in one line; raise if it is empty."""
    clean = one_line(text, limit=limit)
    if not clean:
        raise SettingsError(f'{option} is empty; for example: {option} "disk replaced"')
    return clean


@note.command("list")
def list_(history: HistoryOption = HISTORY, *, as_json: AsJson = False) -> None:
    """Show all notes, also those that were withdrawn."""
    notes = bk.History(history, create=False).notes.read()
    if as_json:
        records = [asdict(one) for one in notes]
        print_json({"notes": records}, default=lambda time: time.isoformat())
        return
    for one in notes:
        ticket = f" ({one.ticket})" if one.ticket else ""
        ended = f" [withdrawn by {one.withdrawn_by}]" if one.withdrawn_at else ""
        echo(
            f"{one.number}  {one.at:%Y-%m-%d %H:%M} UTC  {one.appliance}: {one.text}{ticket}, "
            f"by {one.by}{ended}"
        )


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

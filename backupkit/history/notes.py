"""Notes of operators in a history: corrective actions, with a ticket.

The table is made when the first note is added. It is apart from the ledger: no digest covers it,
and neither an export nor an import contains it. A backup does.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from backupkit.errors import HistoryError
from backupkit.history.databases import Connection, Database
from backupkit.history.stored import to_datetime, to_microseconds
from backupkit.tables.notes import Note

__all__ = ["NOTES_TABLE", "NoteLog", "create_notes_table", "forget_notes", "prune_notes"]

NOTES_TABLE: Final = "notes"
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS notes (
  number BIGINT PRIMARY KEY,
  appliance TEXT NOT NULL, at BIGINT NOT NULL, by_name TEXT NOT NULL, ticket TEXT NOT NULL,
  text TEXT NOT NULL, added_at BIGINT NOT NULL, withdrawn_at BIGINT, withdrawn_by TEXT NOT NULL
)
"""
_COLUMNS: Final = (
    *("number", "appliance", "at", "by_name", "ticket", "text", "added_at"),
    *("withdrawn_at", "withdrawn_by"),
)


class NoteLog:
    """The notes of one history; each method is one transaction.

    Parameters
    ----------
    database : Database
        That of the history.

    Examples
    --------
    >>> import tempfile
    >>> from datetime import UTC, datetime
    >>> from pathlib import Path
    >>> from backupkit import History
    >>> log = History(Path(tempfile.mkdtemp()) / "history.db").notes
    >>> now = datetime(2026, 11, 9, tzinfo=UTC)
    >>> texts = {"by": "Kim", "ticket": "CHG-1", "text": "disk replaced"}
    >>> log.add(Note(appliance="vc-1", at=now, added_at=now, **texts)).number
    1
    >>> log.withdraw(1, by="Kim", at=now).withdrawn_by
    'Kim'
    >>> [note.text for note in log.read()]
    ['disk replaced']
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> tuple[Note, ...]:
        """Return all notes, also those that were withdrawn, by their time."""

        def action(connection: Connection) -> tuple[Note, ...]:
            if not connection.has_table(NOTES_TABLE):
                return ()
            return tuple(_read_notes(connection, "1 = 1", []))

        return self._database.run_lookup(action)

    def add(self, note: Note) -> Note:
        """Store a note, and return it with its number."""

        def action(connection: Connection) -> Note:
            create_notes_table(connection)
            same = _read_notes(
                connection,
                "appliance = ? AND text = ? AND added_at = ?",
                [note.appliance, note.text, to_microseconds(note.added_at)],
            )
            if same:  # an earlier try was committed
                return same[0]
            [(number,)] = connection.execute("SELECT COALESCE(MAX(number), 0) + 1 FROM notes")
            stored = replace(note, number=int(number))
            connection.insert(NOTES_TABLE, _COLUMNS, [_encode(stored)])
            return stored

        return self._database.write(action)

    def withdraw(self, number: int, *, by: str, at: datetime) -> Note:
        """Mark a note as withdrawn, and return it; it is kept.

        Raises
        ------
        HistoryError
            If there is no note with this number that is valid.
        """

        def action(connection: Connection) -> Note:
            create_notes_table(connection)
            found = _read_notes(connection, "number = ?", [number])
            if not found or found[0].withdrawn_at not in {None, at}:
                raise HistoryError(
                    f"There is no note {number} that is valid. List them with: backupkit note list"
                )
            connection.execute(
                "UPDATE notes SET withdrawn_at = ?, withdrawn_by = ? WHERE number = ?",
                [to_microseconds(at), by, number],
            )
            return replace(found[0], withdrawn_at=at, withdrawn_by=by)

        return self._database.write(action)


def create_notes_table(connection: Connection) -> None:
    """Create the table of notes, unless it exists."""
    if not connection.has_table(NOTES_TABLE):  # else the user would need the right to create it
        connection.execute(_TABLE)


def forget_notes(connection: Connection, appliance: str) -> None:
    """Remove all notes about an appliance."""
    if connection.has_table(NOTES_TABLE):
        connection.execute("DELETE FROM notes WHERE appliance = ?", [appliance])


def prune_notes(connection: Connection, before: int) -> None:
    """Remove the notes about the time before an instant [us]."""
    if connection.has_table(NOTES_TABLE):
        connection.execute("DELETE FROM notes WHERE at < ?", [before])


def _read_notes(connection: Connection, condition: str, parameters: Sequence[Any]) -> list[Note]:
    rows = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM notes WHERE {condition} ORDER BY at, number",
        parameters,
    )
    return [_decode(row) for row in rows]


def _decode(row: Sequence[Any]) -> Note:
    number, appliance, at, by, ticket, text, added_at, withdrawn_at, withdrawn_by = row
    return Note(
        number=number,
        appliance=appliance,
        at=to_datetime(at),
        by=by,
        ticket=ticket,
        text=text,
        added_at=to_datetime(added_at),
        withdrawn_at=None if withdrawn_at is None else to_datetime(withdrawn_at),
        withdrawn_by=withdrawn_by,
    )


def _encode(note: Note) -> tuple[Any, ...]:
    return (
        note.number,
        note.appliance,
        to_microseconds(note.at),
        note.by,
        note.ticket,
        note.text,
        to_microseconds(note.added_at),
        None if note.withdrawn_at is None else to_microseconds(note.withdrawn_at),
        note.withdrawn_by,
    )

"""Notes of operators in a history: corrective actions, with a ticket.

The table is made when the first note is added. Each change of the notes adds an entry to the
ledger, with a digest of all of them.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from backupkit.errors import HistoryError
from backupkit.history.databases import Connection, Reader
from backupkit.history.ledger import NOTE_KIND, add_entry, compute_digest
from backupkit.history.log import HistoryLog
from backupkit.history.stored import to_datetime, to_microseconds
from backupkit.tables.notes import Note

__all__ = [
    "NOTES_TABLE",
    "NoteLog",
    "create_notes_table",
    "find_note_problem",
    "forget_notes",
    "prune_notes",
    "read_notes_table",
]

NOTES_TABLE: Final = "notes"
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS notes (
  number BIGINT PRIMARY KEY,
  appliance TEXT NOT NULL, at BIGINT NOT NULL, by_name TEXT NOT NULL, ticket TEXT NOT NULL,
  text TEXT NOT NULL, added_at BIGINT NOT NULL, onset BIGINT,
  withdrawn_at BIGINT, withdrawn_by TEXT NOT NULL
)
"""
_COLUMNS: Final = (
    *("number", "appliance", "at", "by_name", "ticket", "text", "added_at"),
    *("onset", "withdrawn_at", "withdrawn_by"),
)
_TEXTS: Final = ("appliance", "by_name", "ticket", "text", "withdrawn_by")


class NoteLog(HistoryLog):
    """The notes of one history; each method is one transaction.

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
            _record(connection)
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
            if found[0].withdrawn_at == at:  # an earlier try was committed
                return found[0]
            _withdraw(connection, number, by=by, at=at)
            _record(connection)
            return replace(found[0], withdrawn_at=at, withdrawn_by=by)

        return self._database.write(action)

    def merge(self, notes: Iterable[Note]) -> int:
        """Add notes of another history that are not here, and withdraw those withdrawn there.

        Parameters
        ----------
        notes : iterable of Note
            The notes; those that are added get numbers of this history.

        Returns
        -------
        int
            How many were added or withdrawn.
        """
        given = tuple(notes)

        def action(connection: Connection) -> int:
            create_notes_table(connection)
            known = {_get_key(note): note for note in _read_notes(connection, "1 = 1", [])}
            [(last,)] = connection.execute("SELECT COALESCE(MAX(number), 0) FROM notes")
            changed = 0
            for note in given:
                own = known.get(_get_key(note))
                if own is None:
                    last = int(last) + 1
                    known[_get_key(note)] = stored = replace(note, number=last)
                    connection.insert(NOTES_TABLE, _COLUMNS, [_encode(stored)])
                elif own.withdrawn_at is None and note.withdrawn_at is not None:
                    _withdraw(connection, own.number, by=note.withdrawn_by, at=note.withdrawn_at)
                    known[_get_key(note)] = replace(own, withdrawn_at=note.withdrawn_at)
                else:
                    continue
                changed += 1
            if changed:
                _record(connection)
            return changed

        return self._database.write(action) if given else 0


def find_note_problem(reader: Reader) -> str | None:
    """Return how the notes differ from the newest entry of the ledger about them; None if not."""
    notes = read_notes_table(reader)
    entries = reader.rows(
        "SELECT left_sha256 FROM appends WHERE id = "
        f"(SELECT MAX(id) FROM appends WHERE kind = '{NOTE_KIND}')",
        {"left_sha256": "text"},
    )
    if not entries:
        return f"there are {len(notes):,}, but the ledger has none" if notes else None
    if entries[0][0] != _compute_digest(notes):
        return "one was changed, added or removed outside of backupkit"
    return None


def read_notes_table(reader: Reader) -> list[Note]:
    """Return all notes by a reader, by their number."""
    if not reader.has_table(NOTES_TABLE):
        return []
    types = {name: "text" if name in _TEXTS else "integer" for name in _COLUMNS}
    rows = reader.rows(f"SELECT {', '.join(_COLUMNS)} FROM {NOTES_TABLE}", types)
    return sorted(map(_decode, rows), key=lambda note: note.number)


def create_notes_table(connection: Connection) -> None:
    """Create the table of notes, unless it exists."""
    if not connection.has_table(NOTES_TABLE):  # else the user would need the right to create it
        connection.execute(_TABLE)


def forget_notes(connection: Connection, appliance: str) -> None:
    """Remove all notes about an appliance."""
    _remove(connection, "appliance = ?", appliance)


def prune_notes(connection: Connection, before: int) -> None:
    """Remove the notes about the time before an instant [us]."""
    _remove(connection, "at < ?", before)


def _remove(connection: Connection, condition: str, value: str | int) -> None:
    if connection.has_table(NOTES_TABLE) and _read_notes(connection, condition, [value]):
        connection.execute(f"DELETE FROM notes WHERE {condition}", [value])
        _record(connection)


def _withdraw(connection: Connection, number: int, *, by: str, at: datetime) -> None:
    connection.execute(
        "UPDATE notes SET withdrawn_at = ?, withdrawn_by = ? WHERE number = ?",
        [to_microseconds(at), by, number],
    )


def _record(connection: Connection) -> None:
    """Record in the ledger how the notes are now: its entry has a digest of all of them."""
    add_entry(
        connection,
        run_id=secrets.token_hex(16),
        kind=NOTE_KIND,
        digests={},
        counts={},
        left=_compute_digest(_read_notes(connection, "1 = 1", [])),
    )


def _compute_digest(notes: Iterable[Note]) -> str:
    return compute_digest([(note.appliance, *_encode(note)) for note in notes])


def _get_key(note: Note) -> tuple[str, str, str, datetime]:
    """Return what no two notes have in common."""
    return note.appliance, note.text, note.by, note.added_at


def _read_notes(connection: Connection, condition: str, parameters: Sequence[Any]) -> list[Note]:
    rows = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM notes WHERE {condition} ORDER BY at, number",
        parameters,
    )
    return [_decode(row) for row in rows]


def _decode(row: Sequence[Any]) -> Note:
    number, appliance, at, by, ticket, text, added_at, onset, withdrawn_at, withdrawn_by = row
    return Note(
        number=number,
        appliance=appliance,
        at=to_datetime(at),
        by=by,
        ticket=ticket,
        text=text,
        added_at=to_datetime(added_at),
        onset=None if onset is None else to_datetime(onset),
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
        None if note.onset is None else to_microseconds(note.onset),
        None if note.withdrawn_at is None else to_microseconds(note.withdrawn_at),
        note.withdrawn_by,
    )

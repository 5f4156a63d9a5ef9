"""Note of an operator about an incident: what was done, by whom, by which ticket."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from backupkit.tables.contract import TEXT, TIME, Column, Table
from backupkit.tables.incident_ids import format_incident_id

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NOTES", "Note", "build_note_frame"]

NOTES: Final = Table(
    "notes",
    (
        Column("appliance", TEXT, "The appliance's name in fleet.toml."),
        Column("incident", TEXT, "Id of the incident, if it was stated."),
        Column("at", TIME, "Time that the note is about.", "UTC"),
        Column("by", TEXT, "Who wrote it."),
        Column("ticket", TEXT, "Number of a ticket or a change; empty if there is none."),
        Column("text", TEXT, "What was found or done."),
        Column("added_at", TIME, "When it was added.", "UTC"),
        Column("withdrawn_at", TIME, "When it was withdrawn.", "UTC"),
        Column("withdrawn_by", TEXT, "Who withdrew it; empty while it is valid."),
    ),
)
"""Notes as a table of an export."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Note of an operator. Its texts are untrusted, as those of appliances.

    Attributes
    ----------
    appliance : str
        The appliance.
    at : datetime
        Time that it is about [UTC].
    by : str
        Who wrote it.
    ticket : str
        Number of a ticket or a change; "" if there is none.
    text : str
        What was found or done.
    added_at : datetime
        When it was added [UTC].
    onset : datetime or None
        Onset of the incident that it belongs to [UTC], if that was stated. Without one, it belongs
        to the incident of the appliance that was open at its time.
    number : int
        Its number in the history; 0 before it is stored.
    withdrawn_at : datetime or None
        When it was withdrawn [UTC]; it is kept.
    withdrawn_by : str
        Who withdrew it; "" while it is valid.
    """

    appliance: str
    at: datetime
    by: str
    ticket: str
    text: str
    added_at: datetime
    onset: datetime | None = None
    number: int = 0
    withdrawn_at: datetime | None = None
    withdrawn_by: str = ""

    @property
    def incident(self) -> str | None:
        """The id of the incident, if that was stated."""
        return None if self.onset is None else format_incident_id(self.appliance, self.onset)


def build_note_frame(notes: Iterable[Note]) -> "pd.DataFrame":
    """Return notes as a frame of `NOTES`."""
    rows = list(notes)
    return NOTES.frame({name: [getattr(note, name) for note in rows] for name in NOTES.names})

"""Notes of operators in a report: beside the appliance, with the id of their incident."""

from collections.abc import Iterable
from typing import Any, Final

import pandas as pd

from backupkit.assessment import Assessment
from backupkit.display.format import format_duration, format_timestamp, sanitise
from backupkit.reports.rows import iterate_rows
from backupkit.tables.notes import Note

__all__ = [
    "build_note_records",
    "describe_incidents",
    "find_incident",
    "format_notes",
    "select_notes",
]

_MAX_INCIDENTS: Final = 10  # of an appliance on the page


def select_notes(assessment: Assessment, notes: Iterable[Note]) -> tuple[Note, ...]:
    """Return the valid notes on the period about the appliances of an assessment.

    Notes that were added or withdrawn after the time of the assessment are as they were then. A
    note that states its incident is on the period if the incident is.
    """
    names = set(assessment.appliances.index)
    notes = tuple(notes)
    stated = {note.incident for note in notes} - {None}
    # without a note that states one, the incidents need not be computed
    incidents = stated.intersection(assessment.incidents["incident"]) if stated else set()
    return tuple(
        note
        for note in notes
        if note.appliance in names
        and (assessment.start <= note.at <= assessment.end or note.incident in incidents)
        and note.added_at <= assessment.now
        and (note.withdrawn_at is None or note.withdrawn_at > assessment.now)
    )


def format_notes(assessment: Assessment, notes: Iterable[Note]) -> dict[str, list[str]]:
    """Return the notes as texts, by their appliance."""
    texts: dict[str, list[str]] = {}
    for note in notes:
        incident = find_incident(assessment.incidents, note)
        about = "" if incident is None else f", incident {sanitise(incident, limit=300)}"
        ticket = f", {sanitise(note.ticket, limit=100)}" if note.ticket else ""
        texts.setdefault(note.appliance, []).append(
            f"{format_timestamp(pd.Timestamp(note.at), 'UTC')}{about}: "
            f"{sanitise(note.text, limit=999)} ({sanitise(note.by, limit=100)}{ticket})"
        )
    return texts


def describe_incidents(assessment: Assessment) -> dict[str, list[str]]:
    """Return the newest incidents of each appliance as texts, the newest first."""
    texts: dict[str, list[str]] = {}
    for _, row in iterate_rows(assessment.incidents.iloc[::-1]):
        own = texts.setdefault(str(row["appliance"]), [])
        if len(own) < _MAX_INCIDENTS:
            length = f"{'at least ' if row['open'] else ''}{format_duration(row['duration'])}"
            begin = "a failed job" if row["kind"] == "failed" else "a run that did not start"
            own.append(
                f"{sanitise(row['incident'], limit=300)}: began with {begin}, "
                f"{'open' if row['open'] else 'closed'}, {length}"
            )
    return texts


def build_note_records(assessment: Assessment, notes: Iterable[Note]) -> list[dict[str, Any]]:
    """Return the notes as JSON-compatible records."""
    onsets = {}
    if notes := tuple(notes):
        incidents = assessment.incidents
        onsets = dict(zip(incidents["incident"], incidents["onset"], strict=True))
    records = []
    for note in notes:
        incident = find_incident(assessment.incidents, note)
        onset = onsets.get(incident, note.onset)
        records.append(
            {
                "appliance": note.appliance,
                "at": note.at.isoformat(),
                "incident": incident,
                "incident_onset": None if onset is None else onset.isoformat(),
                "by": note.by,
                "ticket": note.ticket,
                "text": note.text,
            }
        )
    return records


def find_incident(incidents: pd.DataFrame, note: Note) -> str | None:
    """Return the id of the incident of a note.

    It is the one that the note states, else the one of its appliance that was open at its time.
    """
    if note.incident is not None:
        return note.incident
    at = pd.Timestamp(note.at)
    is_open = (incidents["onset"] <= at) & ~(incidents["recovery"] < at)
    found = incidents[(incidents["appliance"] == note.appliance) & is_open]
    return None if found.empty else str(found.sort_values("onset")["incident"].iloc[-1])

"""Notes of operators in a report: beside the appliance, with the incident that they are about."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from backupkit.assessment import Assessment
from backupkit.display.format import format_timestamp, sanitise
from backupkit.tables.notes import Note

__all__ = ["build_note_records", "format_notes", "select_notes"]


def select_notes(assessment: Assessment, notes: Iterable[Note]) -> tuple[Note, ...]:
    """Return the valid notes on the period about the appliances of an assessment.

    Notes that were added or withdrawn after the time of the assessment are as they were then.
    """
    names = set(assessment.appliances.index)
    return tuple(
        note
        for note in notes
        if note.appliance in names
        and assessment.start <= note.at <= assessment.end
        and note.added_at <= assessment.now
        and (note.withdrawn_at is None or note.withdrawn_at > assessment.now)
    )


def format_notes(assessment: Assessment, notes: Iterable[Note]) -> dict[str, list[str]]:
    """Return the notes as texts, by the anchor of their appliance on the page."""
    anchors = {name: f"a{index}" for index, name in enumerate(assessment.appliances.index)}
    texts: dict[str, list[str]] = {}
    for note in notes:
        onset = _find_onset(assessment, note)
        incident = "" if onset is None else f", incident since {format_timestamp(onset, 'UTC')}"
        ticket = f", {sanitise(note.ticket, limit=100)}" if note.ticket else ""
        texts.setdefault(anchors[note.appliance], []).append(
            f"{format_timestamp(pd.Timestamp(note.at), 'UTC')}{incident}: "
            f"{sanitise(note.text, limit=999)} ({sanitise(note.by, limit=100)}{ticket})"
        )
    return texts


def build_note_records(assessment: Assessment, notes: Iterable[Note]) -> list[dict[str, Any]]:
    """Return the notes as JSON-compatible records."""
    records = []
    for note in notes:
        onset = _find_onset(assessment, note)
        records.append(
            {
                "appliance": note.appliance,
                "at": note.at.isoformat(),
                "incident_onset": None if onset is None else onset.isoformat(),
                "by": note.by,
                "ticket": note.ticket,
                "text": note.text,
            }
        )
    return records


def _find_onset(assessment: Assessment, note: Note) -> pd.Timestamp | None:
    """Return the onset of the incident of the appliance that was open at the time of a note."""
    rows = assessment.incidents
    at = pd.Timestamp(note.at)
    is_open = (rows["onset"] <= at) & (rows["recovery"].isna() | (rows["recovery"] >= at))
    onsets = rows.loc[(rows["appliance"] == note.appliance) & is_open, "onset"]
    return None if onsets.empty else onsets.max()

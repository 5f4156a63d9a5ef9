"""Lines about the incidents of an appliance and their notes, for mails and tickets."""

from collections.abc import Iterable
from typing import Final

from backupkit.assessment import Assessment
from backupkit.display.format import format_count, sanitise
from backupkit.reports.notes import format_notes
from backupkit.reports.rows import iterate_rows
from backupkit.reports.summary import build_links
from backupkit.tables.notes import Note

__all__ = ["list_incident_lines"]

_MAX_NOTES: Final = 3  # of an appliance


def list_incident_lines(assessment: Assessment, notes: Iterable[Note]) -> dict[str, list[str]]:
    """Return the id of the open incident and the newest notes, by appliance as it is shown.

    Each is a line for a mail or a ticket.
    """
    lines = {
        str(row["appliance"]): [f"Incident: {sanitise(row['incident'], limit=300)}"]
        for _, row in iterate_rows(assessment.incidents)
        if row["open"]
    }
    for name, texts in format_notes(assessment, notes).items():
        more = len(texts) - _MAX_NOTES
        own = lines.setdefault(name, [])
        own += [f"Note: {text}" for text in texts[-_MAX_NOTES:]]
        own += [f"and {format_count(more, 'earlier note')}, in the report"] if more > 0 else []
    links = build_links(assessment, anchors=False)
    return {links[name].name: own for name, own in lines.items() if name in links}

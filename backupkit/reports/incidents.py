"""Longest incidents of a report."""

from collections.abc import Mapping
from typing import Final

from backupkit.assessment import Assessment
from backupkit.display import Rows
from backupkit.display.format import format_duration, sanitise
from backupkit.reports.facts import Incident, Link
from backupkit.reports.rows import Row, iterate_rows

__all__ = ["list_incidents"]

_MAX_INCIDENTS: Final = 10
_BEGINNINGS: Final = {"failed": "a run failed", "norun": "a run did not start"}


def list_incidents(assessment: Assessment, links: Mapping[str, Link]) -> Rows[Incident]:
    """Return the ten longest incidents of the period, the longest first.

    Parameters
    ----------
    assessment : Assessment
        The assessment; reads ``incidents``.
    links : mapping of str to Link
        The link to each appliance.

    Returns
    -------
    Rows of Incident
        Incidents as docs/sla.md, section 4, number 15 defines them. The duration of an open one is
        a lower bound.
    """
    incidents = assessment.incidents
    order = (-incidents["duration"]).argsort(kind="stable")
    longest = incidents.iloc[order[:_MAX_INCIDENTS]]
    return Rows((_build_incident(row, links) for _, row in iterate_rows(longest)), len(incidents))


def _build_incident(row: Row, links: Mapping[str, Link]) -> Incident:
    duration = format_duration(row["duration"])
    return Incident(
        appliance=links[row["appliance"]],
        onset=row["onset"],
        recovery="open" if row["open"] else row["recovery"],
        duration=f"over {duration}" if row["open"] else duration,
        beginning=_BEGINNINGS[row["kind"]],
        incident=sanitise(row["incident"], limit=300),
    )

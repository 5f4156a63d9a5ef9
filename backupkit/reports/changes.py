"""View models of the changes since an earlier report."""

from collections.abc import Mapping

import pandas as pd

from backupkit.assessment import CHANGE_KINDS, Comparison
from backupkit.display.format import format_timestamp, sanitise
from backupkit.reports.facts import STATE_LABELS, Change, ChangeGroup, Changes, Link

__all__ = ["changes_of", "period_of"]

_VISIBLE = 25  # of each kind


def changes_of(comparison: Comparison, links: Mapping[str, Link]) -> Changes:
    """Return the changes since an earlier report.

    Parameters
    ----------
    comparison : Comparison
        Result of `backupkit.compare`.
    links : mapping of str to Link
        Link to each appliance that has a row, by name.

    Returns
    -------
    Changes
        By kind, the worst first; at most 25 of each kind.
    """
    groups = []
    for kind in CHANGE_KINDS:
        rows = comparison.changes[comparison.changes["kind"] == kind]
        if rows.empty:
            continue
        visible = tuple(_change(row, links) for _, row in rows.head(_VISIBLE).iterrows())
        groups.append(ChangeGroup(kind, len(rows), visible, len(rows) - len(visible)))
    return Changes(
        against=f"the report as of {format_timestamp(comparison.now)} UTC on "
        f"{period_of(comparison.start, comparison.end)}",
        since=format_timestamp(comparison.now),
        sentence=comparison.sentence,
        groups=tuple(groups),
    )


def period_of(start: pd.Timestamp, end: pd.Timestamp) -> str:
    """Format a period.

    Examples
    --------
    >>> period_of(pd.Timestamp("2026-11-02", tz="UTC"), pd.Timestamp("2026-11-09", tz="UTC"))
    '2026-11-02 to 2026-11-09 00:00 UTC'
    """
    begin = f"{start:%Y-%m-%d}" if start == start.normalize() else format_timestamp(start)
    return f"{begin} to {format_timestamp(end)} UTC"


def _change(row: pd.Series, links: Mapping[str, Link]) -> Change:
    name = row["appliance"]
    appliance = None if pd.isna(name) else str(name)
    return Change(
        appliance=None if appliance is None else links.get(appliance),
        text=(
            sanitise(row["signature"], limit=400)
            if appliance is None
            else sanitise(appliance, limit=80)
        ),
        was=_label(row["state_before"]),
        now=_label(row["state_after"]),
        detail=sanitise(row["detail"], limit=400),
    )


def _label(state: object) -> str:
    return STATE_LABELS[state] if isinstance(state, str) else ""

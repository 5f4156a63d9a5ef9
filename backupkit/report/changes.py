"""View models of the changes since an earlier report."""

from collections.abc import Mapping

import pandas as pd

from backupkit.assessment import CHANGE_KINDS, Comparison
from backupkit.display.wording import instant, tidy
from backupkit.report.facts import STATE_WORDS, Change, ChangeGroup, Changes, Link

__all__ = ["changes_of", "period_of"]

_SHOWN = 25  # of each kind


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
        shown = tuple(_change(row, links) for _, row in rows.head(_SHOWN).iterrows())
        groups.append(ChangeGroup(kind, len(rows), shown, len(rows) - len(shown)))
    return Changes(
        against=f"the report as of {instant(comparison.now)} UTC on "
        f"{period_of(comparison.start, comparison.end)}",
        since=instant(comparison.now),
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
    begin = f"{start:%Y-%m-%d}" if start == start.normalize() else instant(start)
    return f"{begin} to {instant(end)} UTC"


def _change(row: pd.Series, links: Mapping[str, Link]) -> Change:
    name = row["appliance"]
    about = None if pd.isna(name) else str(name)
    return Change(
        appliance=None if about is None else links.get(about),
        text=tidy(row["signature"], limit=400) if about is None else tidy(about, limit=80),
        was=_word(row["was"]),
        now=_word(row["now"]),
        detail=tidy(row["detail"], limit=400),
    )


def _word(state: object) -> str:
    return STATE_WORDS[state] if isinstance(state, str) else ""

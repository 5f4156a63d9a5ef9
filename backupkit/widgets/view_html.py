"""HTML of the explorer's verdict, tables and captions; every text is escaped."""

from typing import Final

import pandas as pd

from backupkit.display.format import NO_DATA, format_timestamp, ratio, sanitise
from backupkit.reports.facts import STATE_LABELS, Figure
from backupkit.reports.page import render
from backupkit.reports.rows import exposure, job_facts, rows_of
from backupkit.widgets.view import LISTS, FilteredView, Fraction, Selection, fractions_of

__all__ = ["appliances_table", "error_message", "jobs_table", "signatures_table", "verdict_bar"]

_MAX_ROWS: Final = 20
_MAX_SIGNATURES: Final = 15
_FIGURES: Final = {
    "rpo_strict_micro": "of the time inside the RPO",
    "slot_strict_micro": "of scheduled backups completed",
    "coverage_time": "of the time observed (coverage)",
}
_MAX_VALUES: Final = 3


def verdict_bar(view: FilteredView) -> str:
    """Render the verdict and the key figures of a view."""
    figures = [
        Figure(name, *_split_fraction(view.figures[metric])) for metric, name in _FIGURES.items()
    ]
    return render(
        "strip.html",
        verdict=view.verdict,
        figures=figures,
        policy=str(view.index.assessment.policy),
        shown=_filters_text(view.selection),
    )


def appliances_table(view: FilteredView) -> str:
    """Render the table of appliances, the worst first."""
    appliances = view.index.assessment.appliances
    is_current = view.end == view.index.assessment.end
    rows = []
    worst = view.states.head(_MAX_ROWS)
    entries = (rows_of(frame.loc[worst.index]) for frame in (appliances, view.amounts))
    for (name, row), (_, amounts), state in zip(*entries, worst, strict=True):
        fractions = fractions_of(amounts)
        rows.append(
            {
                "name": sanitise(name, limit=80),
                "state": state,
                "word": STATE_LABELS[state],
                "exposure": exposure(row),
                "last_success": format_timestamp(row["last_success"]),
                "strikes": NO_DATA if pd.isna(row["strikes"]) else str(row["strikes"]),
                "rpo": _split_fraction(fractions["rpo_strict_micro"]),
                "runs": _split_fraction(fractions["slot_strict_micro"]),
                "reason": sanitise(row["reason"], limit=400),
            }
        )
    omitted = view.states.iloc[_MAX_ROWS:].value_counts()
    more = ", ".join(f"{count:,} {state}" for state, count in omitted.items())
    return render(
        "standing.html",
        rows=rows,
        now=is_current,
        caption=f"Worst first, as of {format_timestamp(view.end)} UTC; times in UTC.",
        more=f"and {len(view.states) - _MAX_ROWS:,} more: {more}" if more else "",
    )


def signatures_table(view: FilteredView) -> str:
    """Render the table of failure signatures with their causes, the most frequent first."""
    failures = view.failures
    total = failures["jobs"].sum()
    rows = [
        {
            "signature": sanitise(row["signature"], limit=300),
            "text": sanitise(row["text"]),
            "share": ratio(row["jobs"], total),
            "appliances": f"{row['appliances']:,}",
            "first_seen": format_timestamp(row["first_seen"]),
            "last_seen": format_timestamp(row["last_seen"]),
            "meaning": " ".join(sanitise(row[name]) for name in ("cause", "next_step")).strip(),
        }
        for _, row in failures.head(_MAX_SIGNATURES).iterrows()
    ]
    more = len(failures) - len(rows)
    return render(
        "signatures.html",
        rows=rows,
        caption=f"The most frequent first; shares of {total:,} failed jobs.",
        more=f"and {more:,} more signatures" if more else "",
    )


def jobs_table(jobs: pd.DataFrame) -> str:
    """Render a table of jobs with their messages."""
    return render("jobs.html", rows=job_facts(jobs))


def error_message(error: Exception) -> str:
    """Render an error message."""
    return render("error.html", kind=type(error).__name__, message=str(error))


def _split_fraction(fraction: Fraction) -> tuple[str, str]:
    text = ratio(*fraction)
    percent, _, amounts = text.partition(" (")
    return percent, amounts.rstrip(")")


def _filters_text(selection: Selection) -> str:
    """Return the active filters in one line; "" without any."""
    parts = []
    for name in LISTS:
        values = getattr(selection, name)
        if values:
            more = f" and {len(values) - _MAX_VALUES:,} more" if len(values) > _MAX_VALUES else ""
            texts = ", ".join(sanitise(value, limit=80) for value in values[:_MAX_VALUES])
            parts.append(f"{name} {texts}{more}")
    if selection.text:
        parts.append(f"jobs with “{sanitise(selection.text, limit=80)}”")
    return "; ".join(parts)

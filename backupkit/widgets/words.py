"""HTML of the explorer's verdict, tables and captions; every text is escaped."""

from typing import Final

import pandas as pd

from backupkit.display.wording import NO_DATA, format_timestamp, ratio, sanitise
from backupkit.report.facts import STATE_LABELS, Figure
from backupkit.report.page import render
from backupkit.report.rows import exposure, job_facts, rows_of
from backupkit.widgets.selection import LISTS, Selection
from backupkit.widgets.view import Fraction, View

__all__ = ["error", "jobs_table", "signatures_table", "standing", "strip"]

_ROWS: Final = 20
_SIGNATURES: Final = 15
_FIGURES: Final = {
    "rpo_strict_micro": "of the time inside the RPO",
    "slot_strict_micro": "of the expected runs done",
    "coverage_time": "of the time observed (coverage)",
}
_MANY: Final = 3


def strip(view: View) -> str:
    """Render the verdict and the key figures of a view."""
    figures = [Figure(name, *_parted(view.figures[metric])) for metric, name in _FIGURES.items()]
    return render(
        "strip.html",
        verdict=view.verdict,
        figures=figures,
        policy=str(view.judged.assessment.policy),
        shown=_shown(view.selection),
    )


def standing(view: View) -> str:
    """Render the table of appliances, the worst first."""
    facts = view.judged.assessment.appliances
    now = view.end == view.judged.assessment.end
    rows = []
    worst = view.states.head(_ROWS)
    good = zip(view.good_time(worst.index), view.good_runs(worst.index), strict=True)
    told = zip(rows_of(facts.loc[worst.index]), worst, good, strict=True)
    for (name, row), state, (time, runs) in told:
        rows.append(
            {
                "name": sanitise(name, limit=80),
                "state": state,
                "word": STATE_LABELS[state],
                "exposure": exposure(row),
                "last_success": format_timestamp(row["last_success"]),
                "strikes": NO_DATA if pd.isna(row["strikes"]) else str(row["strikes"]),
                "rpo": _parted(time),
                "runs": _parted(runs),
                "reason": sanitise(row["reason"], limit=400),
            }
        )
    rest = view.states.iloc[_ROWS:].value_counts()
    more = ", ".join(f"{count:,} {state}" for state, count in rest.items())
    return render(
        "standing.html",
        rows=rows,
        now=now,
        caption=f"Worst first, as of {format_timestamp(view.end)} UTC; times in UTC.",
        more=f"and {len(view.states) - _ROWS:,} more: {more}" if more else "",
    )


def signatures_table(view: View) -> str:
    """Render the table of failure signatures with their causes, the most frequent first."""
    found = view.failures
    total = found["jobs"].sum()
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
        for _, row in found.head(_SIGNATURES).iterrows()
    ]
    more = len(found) - len(rows)
    return render(
        "signatures.html",
        rows=rows,
        caption=f"The most frequent first; shares of {total:,} failed jobs.",
        more=f"and {more:,} more signatures" if more else "",
    )


def jobs_table(jobs: pd.DataFrame) -> str:
    """Render a table of jobs with their messages."""
    return render("jobs.html", rows=job_facts(jobs))


def error(trouble: Exception) -> str:
    """Render an error message."""
    return render("error.html", kind=type(trouble).__name__, message=str(trouble))


def _parted(share: Fraction) -> tuple[str, str]:
    text = ratio(share.part, share.whole, share.unit)
    percent, _, fraction = text.partition(" (")
    return percent, fraction.rstrip(")")


def _shown(selection: Selection) -> str:
    """Return the active filters in one line; "" without any."""
    parts = []
    for name in LISTS:
        values = getattr(selection, name)
        if values:
            more = f" and {len(values) - _MANY:,} more" if len(values) > _MANY else ""
            words = ", ".join(sanitise(one, limit=80) for one in values[:_MANY])
            parts.append(f"{name} {words}{more}")
    if selection.text:
        parts.append(f"jobs with “{sanitise(selection.text, limit=80)}”")
    return "; ".join(parts)

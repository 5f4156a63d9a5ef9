"""HTML of the explorer's verdict, tables and captions; every text is escaped."""

from typing import Final

import pandas as pd
from markupsafe import Markup

from backupkit.assessment.result import exposure
from backupkit.assessment.verdict import choose_tone
from backupkit.display import render_container, render_paragraph, state_badge, table
from backupkit.display.format import Ratio, format_duration, format_timestamp, sanitise
from backupkit.reports.appliances import build_job_row
from backupkit.reports.facts import Example, Figure
from backupkit.reports.page import render
from backupkit.widgets.period_figures import compute_ratios
from backupkit.widgets.view import LISTS, FilteredView, Selection

__all__ = [
    "render_appliances_table",
    "render_error_message",
    "render_jobs_table",
    "render_progress_message",
    "render_signatures_table",
    "render_verdict_bar",
]

_APPLIANCE_COLUMNS: Final = [
    "exposure",
    "exposure_at_least",
    "last_success",
    "strikes",
    "mean_exposure",
    "mttr",
    "reason",
]
_MAX_ROWS: Final = 20
_MAX_SIGNATURES: Final = 15
_FIGURES: Final = {
    "rpo_strict_micro": "of the time inside the RPO",
    "slot_strict_micro": "of scheduled backups completed",
    "coverage_time": "of the time observed (coverage)",
}
_MAX_VALUES: Final = 3


def render_verdict_bar(view: FilteredView) -> str:
    """Render the verdict and the key figures of a view."""
    figures = [Figure(name, view.period.ratios[metric]) for metric, name in _FIGURES.items()]
    return render(
        "strip.html",
        verdict=view.verdict,
        period=view.period.verdict,
        tone=choose_tone(
            view.verdict.state, view.period.verdict.state, is_current=view.end == view.now
        ),
        moment="now" if view.end == view.now else "at the end",
        figures=figures,
        policy=str(view.index.assessment.policy),
        shown=_format_filters(view.selection),
    )


def render_appliances_table(view: FilteredView) -> str:
    """Render the table of appliances, the worst first."""
    appliances = view.index.assessment.appliances
    is_current = view.end == view.index.assessment.end
    is_whole = is_current and view.start == view.index.assessment.start
    worst = view.states.head(_MAX_ROWS)
    if worst.empty:
        return render_container(render_paragraph("No appliance is left: clear a filter."))
    columns = {
        "Appliance": "",
        "State": "s",
        "Exposure": "n" if is_current else None,
        "Last success (UTC)": "w" if is_current else None,
        "Failures in a row": "n" if is_current else None,
        "Time inside RPO": "r",
        "Runs done": "r",
        "Mean exposure": "n" if is_whole else None,
        "MTTR": "n" if is_whole else None,
        "Why": "text" if is_current else None,
    }
    rows = []
    frames = appliances[_APPLIANCE_COLUMNS], view.period.amounts
    entries = (frame.loc[worst.index].iterrows() for frame in frames)
    for (name, row), (_, amounts), state in zip(*entries, worst, strict=True):
        ratios = compute_ratios(amounts)
        rows.append(
            (
                str(name),
                state_badge(state),
                exposure(row),
                row["last_success"],
                row["strikes"],
                _format_ratio(ratios["rpo_strict_micro"]),
                _format_ratio(ratios["slot_strict_micro"]),
                format_duration(row["mean_exposure"]),
                format_duration(row["mttr"]),
                sanitise(row["reason"]),
            )
        )
    omitted = view.states.iloc[_MAX_ROWS:].value_counts()
    return render_container(
        table(
            columns,
            rows,
            caption=f"Worst first, as of {format_timestamp(view.end, 'UTC')}; times in UTC.",
            total=len(view.states),
            more=": " + ", ".join(f"{count:,} {state}" for state, count in omitted.items()),
        )
    )


def render_signatures_table(view: FilteredView) -> str:
    """Render the table of failure signatures with their causes, the most frequent first."""
    failures = view.failures
    if failures.empty:
        return render_container(render_paragraph("No backup job failed in what is shown."))
    total = failures["jobs"].sum()
    rows = [
        (
            Example(
                sanitise(row["signature"], limit=300),
                sanitise(row["text"]) or "The message is in the Jobs tab.",
            ),
            Ratio(row["jobs"], total),
            row["appliances"],
            row["first_seen"],
            row["last_seen"],
            " ".join(sanitise(row[name]) for name in ("cause", "next_step")).strip(),
        )
        for _, row in failures.head(_MAX_SIGNATURES).iterrows()
    ]
    columns = {
        "Error pattern": "plain text",
        "Share of failures": "n",
        "Appliances": "n",
        "First seen (UTC)": "w",
        "Last seen (UTC)": "w",
        "What it means, what to look at": "text",
    }
    caption = f"The most frequent first; shares of {total:,} failed jobs."
    return render_container(
        table(columns, rows, caption=caption, total=len(failures), more=" signatures")
    )


def render_jobs_table(jobs: pd.DataFrame) -> str:
    """Render a table of jobs with their messages."""
    if jobs.empty:
        return render_container(render_paragraph("No job started in this period."))
    columns = {
        "Appliance": "",
        "Start (UTC)": "w",
        "": None,
        "Outcome": "s",
        "Took": "n",
        "Type": "",
        "Size": "n",
        "Job": "code",
        "Message": "text pre",
    }
    rows = [(job["appliance"], *build_job_row(job)) for _, job in jobs.iterrows()]
    caption = "The newest first. Times in UTC."
    return render_container(table(columns, rows, caption=caption, limit=None))


def render_progress_message(job_count: int, start: pd.Timestamp) -> str:
    """Render what is computed while the fleet is assessed."""
    text = f"Assessing {job_count:,} jobs from {format_timestamp(start, 'UTC')} on …"
    return render_container(render_paragraph(text, "quiet"))


def render_error_message(error: Exception) -> str:
    """Render an error message."""
    text = Markup('<p class="breach"><strong>{}</strong>: {}</p>')
    return render_container(text.format(type(error).__name__, error))


def _format_ratio(ratio: Ratio) -> Markup:
    """Return a percentage and its fraction, which may wrap between them."""
    amounts = Markup(' <span class="w quiet">({})</span>').format(ratio.fraction)
    return Markup('<span class="w">{}</span>{}').format(
        ratio.percent, amounts if ratio.fraction else ""
    )


def _format_filters(selection: Selection) -> str:
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

"""HTML of the explorer's verdict, tables and captions; every text is escaped."""

from typing import Final

import pandas as pd
from markupsafe import Markup

from backupkit.assessment.result import exposure
from backupkit.assessment.verdict import choose_tone
from backupkit.display import render_container, render_paragraph, state_badge, table
from backupkit.display.format import Ratio, format_duration, format_timestamp, sanitise
from backupkit.reports.appliances import build_job_row, build_since
from backupkit.reports.facts import Example, Figure
from backupkit.reports.page import render
from backupkit.widgets.period_figures import compute_ratios
from backupkit.widgets.view import FilteredView

__all__ = [
    "MAX_ROWS",
    "format_pending",
    "render_appliances_table",
    "render_busy_message",
    "render_error_message",
    "render_failed_hint",
    "render_jobs_table",
    "render_signatures_table",
    "render_verdict_bar",
]

_APPLIANCE_COLUMNS: Final = [
    "breach_since",
    "exposure",
    "exposure_at_least",
    "last_success",
    "strikes",
    "mean_exposure",
    "mttr",
    "reason",
]
MAX_ROWS: Final = 20
"""Maximum number of appliances in their table."""

_MAX_SIGNATURES: Final = 15
_FIGURES: Final = {
    "rpo_strict_micro": "inside the RPO",
    "slot_strict_micro": "completed",
    "coverage_time": "observed (coverage)",
}
_MAX_NAMES: Final = 10
_NO_APPLIANCE: Final = "No appliance is left: clear a filter."


def render_verdict_bar(view: FilteredView) -> str:
    """Render the verdict and the key figures of a view."""
    targets = {target.metric: target for target in view.period.verdict.targets}
    pending = {"slot_strict_micro": format_pending(view.period.totals)}
    figures = [
        Figure(
            f"{name}; {pending[metric]}" if pending.get(metric) else name,
            view.period.ratios[metric],
        )
        for metric, name in _FIGURES.items()
    ]
    figures += [
        Figure(target.label, target.ratio)
        for metric, target in targets.items()
        if metric not in _FIGURES
    ]
    return render(
        "strip.html",
        verdict=view.verdict,
        period=view.period.verdict,
        tone=choose_tone(
            view.verdict.state, view.period.verdict.state, is_current=view.end == view.now
        ),
        moment="now" if view.end == view.now else "at the end",
        causes=view.causes,
        figures=figures,
        policy=str(view.index.assessment.policy),
    )


def render_appliances_table(view: FilteredView, *, is_clickable: bool = False) -> str:
    """Render the table of appliances, the worst first; the names may be buttons."""
    appliances = view.index.assessment.appliances
    is_current = view.end == view.index.assessment.end
    is_whole = is_current and view.start == view.index.assessment.start
    worst = view.states.head(MAX_ROWS)
    if worst.empty:
        is_unknown = view.index.appliances.empty
        text = "The history has no appliance." if is_unknown else _NO_APPLIANCE
        return render_container(render_paragraph(text))
    columns = {
        "Appliance": "",
        "State": "s",
        "In breach since (UTC)": "" if is_current else None,
        "Exposure": "n" if is_current else None,
        "Last success (UTC)": "w" if is_current else None,
        "Failures in a row": "n" if is_current else None,
        "Time inside RPO": "r",
        "Runs completed": "r",
        "Mean exposure": "n" if is_whole else None,
        "MTTR": "n" if is_whole else None,
        "Why": "text" if is_current else None,
    }
    rows: list[tuple[object, ...]] = []
    frames = appliances[_APPLIANCE_COLUMNS], view.period.amounts
    entries = (frame.loc[worst.index].iterrows() for frame in frames)
    for (name, row), (_, amounts), state in zip(*entries, worst, strict=True):
        ratios = compute_ratios(amounts)
        rows.append(
            (
                _format_name(len(rows), str(name), view) if is_clickable else str(name),
                state_badge(state),
                build_since(row),
                exposure(row),
                row["last_success"],
                row["strikes"],
                _format_ratio(ratios["rpo_strict_micro"]),
                _format_ratio(ratios["slot_strict_micro"], format_pending(amounts)),
                format_duration(row["mean_exposure"]),
                format_duration(row["mttr"]),
                sanitise(row["reason"]),
            )
        )
    omitted = view.states.iloc[MAX_ROWS:].value_counts()
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


def render_jobs_table(
    jobs: pd.DataFrame, view: FilteredView, *, order: str, is_clickable: bool = False
) -> str:
    """Render a table of jobs of a view with their messages; the names may be buttons."""
    if jobs.empty:
        return render_container(render_paragraph(_explain_no_job(view)))
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
    rows = []
    for number, (_, job) in enumerate(jobs.iterrows()):
        name = str(job["appliance"])
        cell = _format_name(number, name, view) if is_clickable else name
        rows.append((cell, *build_job_row(job)))
    caption = f"{order.capitalize()}. Times in UTC."
    return render_container(table(columns, rows, caption=caption, limit=None))


def _format_name(row: int, name: str, view: FilteredView) -> Markup:
    """Return the name of an appliance as a button that selects it."""
    pressed = "true" if name in view.selection.appliances else "false"
    return Markup('<button type="button" data-pick="{}" aria-pressed="{}">{}</button>').format(
        row, pressed, sanitise(name)
    )


def _explain_no_job(view: FilteredView) -> str:
    """Return why no job is shown, and what to do."""
    if view.states.empty and not view.index.appliances.empty:
        return _NO_APPLIANCE
    if view.selection.chooses_jobs:
        text = f" “{sanitise(view.selection.text, limit=80)}”" if view.selection.text else ""
        return f"No job of this period matches the search{text} or filters. Clear a filter."
    return "No job started in this period."


def render_busy_message(text: str) -> str:
    """Render what is being computed, with a bar that moves."""
    bar = Markup("<progress></progress> {}").format(text)
    return render_container(Markup('<p class="quiet" role="status">{}</p>').format(bar))


def render_error_message(error: Exception) -> str:
    """Render an error message."""
    text = Markup('<p class="breach"><strong>{}</strong>: {}</p>')
    return render_container(text.format(type(error).__name__, error))


def format_pending(amounts: pd.Series) -> str:
    """Return how many runs are not decided, of the amounts of `PeriodFigures`; "" for none.

    Examples
    --------
    >>> format_pending(pd.Series({"pending": 3.0, "failed": 2.0}))
    '2 failed, retry window open; 1 due'
    """
    failed, due = int(amounts["failed"]), int(amounts["pending"] - amounts["failed"])
    parts = ((failed, "failed, retry window open"), (due, "due"))
    return "; ".join(f"{count:,} {text}" for count, text in parts if count)


def render_failed_hint(view: FilteredView) -> str:
    """Render which appliances have a pending run that failed; "" for none."""
    failed = view.period.amounts["failed"]
    names = [sanitise(name) for name in failed.index[failed > 0]]
    if not names:
        return ""
    omitted = len(names) - _MAX_NAMES
    more = f" and {omitted:,} more" if omitted > 0 else ""
    text = (
        f"Pending, but failed so far: {', '.join(names[:_MAX_NAMES])}{more}. A retry may still "
        "succeed before the deadline."
    )
    return render_container(render_paragraph(text))


def _format_ratio(ratio: Ratio, pending: str = "") -> Markup:
    """Return a percentage, its fraction and what is not decided; lines may end between them."""
    text = Markup('<span class="w">{}</span>').format(ratio.percent)
    if ratio.fraction:
        text += Markup(' <span class="w quiet">({})</span>').format(ratio.fraction)
    return text + Markup(" <span>+ {}</span>").format(pending) if pending else text

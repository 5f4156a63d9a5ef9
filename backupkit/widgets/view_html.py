"""HTML of the explorer's verdict, tables and captions; every text is escaped."""

from collections.abc import Collection
from typing import Final

import pandas as pd
from markupsafe import Markup

from backupkit.assessment import describe_inventory
from backupkit.assessment.verdict import choose_tone
from backupkit.display import Cell, render_container, render_paragraph, table
from backupkit.display.format import Ratio, sanitise
from backupkit.reports.attention import describe_coming_breaches
from backupkit.reports.facts import Example, Figure
from backupkit.reports.page import render
from backupkit.widgets.assessment_index import Positions
from backupkit.widgets.table_rows import TableSource
from backupkit.widgets.view import FilteredView

__all__ = [
    "explain_no_appliance",
    "explain_no_job",
    "format_pending",
    "format_ratio",
    "render_busy_message",
    "render_error_message",
    "render_failed_hint",
    "render_table",
    "render_verdict_bar",
]

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
        coming=describe_coming_breaches(view.coming_breaches, view.end),
        causes=view.causes,
        inventory=describe_inventory(view.index.assessment.inventory, view.now),
        figures=figures,
        policy=str(view.index.assessment.policy),
    )


def explain_no_appliance(view: FilteredView) -> str:
    """Return why no appliance is shown."""
    return "The history has no appliance." if view.index.appliances.empty else _NO_APPLIANCE


def render_table(
    source: TableSource,
    rows: Positions,
    *,
    caption: str,
    chosen: Collection[str] = (),
    is_clickable: bool = False,
) -> Markup:
    """Render some rows of a table; each name may be a button, pressed if it is `chosen`."""
    columns = {column.title: column.css for column in source.columns}
    cells = source.list_cells(rows)
    if is_clickable:
        cells = [
            (_render_button(row, source.name_of(row), first, chosen), *others)
            for row, (first, *others) in zip(rows.tolist(), cells, strict=True)
        ]
    return table(columns, cells, caption=caption, limit=None)


def _render_button(row: int, name: str, cell: Cell, chosen: Collection[str]) -> Markup:
    """Return the first cell of a row with a button that selects its name."""
    pressed = "true" if name in chosen else "false"
    button = Markup(
        '<button type="button" tabindex="-1" data-pick="{}" aria-pressed="{}">{}</button>'
    ).format(row, pressed, sanitise(name, limit=300) or "(no message)")
    if not isinstance(cell, Example):
        return button
    details = Markup('<details><summary>Message</summary><p class="quiet pre">{}</p></details>')
    return button + details.format(cell.message)


def explain_no_job(view: FilteredView) -> str:
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


def format_ratio(ratio: Ratio, pending: str = "") -> Markup:
    """Return a percentage, its fraction and what is not decided; lines may end between them."""
    text = Markup('<span class="w">{}</span>').format(ratio.percent)
    if ratio.fraction:
        text += Markup(' <span class="w quiet">({})</span>').format(ratio.fraction)
    return text + Markup(" <span>+ {}</span>").format(pending) if pending else text

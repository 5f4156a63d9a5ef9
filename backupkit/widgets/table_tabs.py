"""Tabs of the explorer with tables: appliances, failures and jobs."""

from dataclasses import replace
from typing import Any, Final

import ipywidgets
import numpy as np
import pandas as pd

from backupkit import plots
from backupkit.plots.style import sanitise_text
from backupkit.tables import OUTCOMES
from backupkit.widgets import view_html
from backupkit.widgets.assessment_index import Positions
from backupkit.widgets.figure import FigureWidget, PageWidget
from backupkit.widgets.tab import Select, Tab, toggle
from backupkit.widgets.view import FilteredView

__all__ = ["Appliances", "Failures", "Jobs"]

_MAX_BARS: Final = 10
_MAX_EXPOSED: Final = 8
_PAGE_SIZE: Final = 25
_SORT_ORDERS: Final[tuple[tuple[str, str], ...]] = (
    ("newest first", "newest"),
    ("oldest first", "oldest"),
    ("longest first", "longest"),
    ("largest first", "largest"),
    ("worst appliance first", "appliance"),
    ("failed first", "failed"),
)
_ORDER_LABELS: Final = {value: label for label, value in _SORT_ORDERS}
_PATTERNS_HINT: Final = "<small>Choose error patterns to see only their jobs in every tab</small>"


class Appliances(Tab):
    """Tab with the table of appliances, compliance and exposure."""

    name = "Appliances"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._table = PageWidget(on_pick=self._on_row)
        self._compliance = FigureWidget(on_brush=self._on_span_drag)
        self._exposure = FigureWidget(on_brush=self._on_span_drag)
        self._arrange(self._table, self._compliance, self._exposure)

    def show(self, view: FilteredView, theme: str) -> None:
        """List the appliances, and draw compliance and the exposure of the worst ones."""
        self._view, self._rows = view, view.states.index[: view_html.MAX_ROWS]
        self._table.show(
            view_html.render_appliances_table(view, is_clickable=self._table.is_clickable)
        )
        self._compliance.show(
            plots.compliance(view.period.intervals, start=view.start, end=view.end, theme=theme),
            "Compliance over time of the appliances shown",
        )
        worst = view.states.index[view.states != "excluded"][:_MAX_EXPOSED]
        ax = plots.exposure(
            view.recovery_points(worst),
            threshold=view.index.assessment.appliances["threshold"].reindex(worst),
            start=view.start,
            end=view.end,
            theme=theme,
        )
        self._exposure.show(ax, "Exposure over time of the worst appliances shown")


class Failures(Tab):
    """Tab with the failure signatures; selecting one filters the jobs in every tab."""

    name = "Failures"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._ignore_changes = False
        self._pareto = FigureWidget(on_click=self._on_bar_click, on_row=self._on_bar)
        self._choice = ipywidgets.SelectMultiple(
            rows=6, layout=ipywidgets.Layout(width="100%", max_width="860px")
        )
        self._choice.observe(self._on_choice, names="value")
        self._table = ipywidgets.HTML()
        self._over_time = FigureWidget(on_brush=self._on_span_drag)
        self._hint = ipywidgets.HTML()
        self._arrange(self._pareto, self._hint, self._choice, self._over_time, self._table)

    def prepare(self, view: FilteredView) -> None:
        """Read the messages of all failed jobs, once."""
        _ = view.failures

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw the signatures, and list them with their causes."""
        self._view = view
        self._pareto.show(
            plots.failures(view.failures, limit=_MAX_BARS, theme=theme),
            "Pareto chart of the error patterns",
            rows=list(view.failures["signature"].head(_MAX_BARS)),
            chosen=view.selection.signatures,
        )
        self._hint.value = _PATTERNS_HINT
        self._update_options(view)
        self._over_time.show(
            plots.failures_over_time(
                view.plot_frame(view.failed_positions, "signature"), theme=theme
            ),
            "Failures over time by error pattern",
        )
        self._table.value = view_html.render_signatures_table(view)

    def clear(self) -> None:
        """Remove the content."""
        super().clear()
        self._set_options([], ())

    def _update_options(self, view: FilteredView) -> None:
        chosen = view.selection.signatures
        unfiltered = replace(view.selection, signatures=())
        failures = view.failures if not chosen else view.with_selection(unfiltered).failures
        jobs = dict(zip(failures["signature"], failures["jobs"], strict=True))
        signatures = list(dict.fromkeys([*failures["signature"].head(100), *chosen]))
        self._set_options(
            [
                (f"{jobs.get(signature, 0):>6,}  {sanitise_text(signature, width=110)}", signature)
                for signature in signatures
            ],
            chosen,
        )

    def _set_options(self, options: list[tuple[str, str]], chosen: tuple[str, ...]) -> None:
        """Set the options of the list without changing the selection."""
        self._ignore_changes = True
        self._choice.value = ()  # first: the value must be among the options
        self._choice.options = options
        self._choice.value = [value for _, value in options if value in chosen]
        self._ignore_changes = False

    def _on_choice(self, change: dict[str, Any]) -> None:
        if not self._ignore_changes:
            self._select(signatures=tuple(change["new"]))

    def _on_bar(self, row: int) -> None:
        """Select an error pattern, or deselect it if it is selected."""
        signatures = self._view.failures["signature"].head(_MAX_BARS)
        if 0 <= row < len(signatures):
            chosen = self._view.selection.signatures
            self._select(signatures=toggle(chosen, signatures.iloc[row]))

    def _on_bar_click(self, _x: float, y: float) -> None:
        self._on_bar(round(y))


class Jobs(Tab):
    """Tab with the table of the selected jobs."""

    name = "Jobs"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._page = 0
        narrow = ipywidgets.Layout(width="auto")
        self._sort = ipywidgets.Dropdown(options=_SORT_ORDERS, tooltip="Order", layout=narrow)
        self._previous = ipywidgets.Button(description="Previous", icon="arrow-left", layout=narrow)
        self._next = ipywidgets.Button(description="Next", icon="arrow-right", layout=narrow)
        self._page_label = ipywidgets.Label()
        self._table = PageWidget(on_pick=self._on_row)
        bar = [self._sort, self._previous, self._next, self._page_label]
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        self._arrange(ipywidgets.HBox(bar, layout=row), self._table)
        self._sort.observe(lambda _change: self._change_page(-self._page), names="value")
        self._previous.on_click(lambda _button: self._change_page(-1))
        self._next.on_click(lambda _button: self._change_page(1))

    def show(self, view: FilteredView, theme: str) -> None:  # noqa: ARG002 # a table follows the page
        """Show the first page."""
        self._view = view
        self._sort.disabled = False
        self._page = 0
        self._list_jobs()

    def clear(self) -> None:
        """Remove the content."""
        super().clear()
        for widget in (self._sort, self._previous, self._next):
            widget.disabled = True
        self._page_label.value = ""

    def _change_page(self, pages: int) -> None:
        self._page += pages
        self._list_jobs()

    def _list_jobs(self) -> None:
        positions = _sort_positions(self._view, self._sort.value)
        pages = max(-(-len(positions) // _PAGE_SIZE), 1)
        self._page = min(max(self._page, 0), pages - 1)
        first = self._page * _PAGE_SIZE
        rows = self._view.jobs_at(positions[first : first + _PAGE_SIZE])
        self._rows = pd.Index(rows["appliance"])
        self._table.show(
            view_html.render_jobs_table(
                rows,
                self._view,
                order=_ORDER_LABELS[self._sort.value],
                is_clickable=self._table.is_clickable,
            )
        )
        plural = "s" if len(positions) != 1 else ""
        self._page_label.value = (
            f"page {self._page + 1:,} of {pages:,}, {len(positions):,} job{plural}"
        )
        self._previous.disabled = self._page == 0
        self._next.disabled = self._page == pages - 1


def _sort_positions(view: FilteredView, order: str) -> Positions:
    """Return the positions of the jobs in an order; equal ones are sorted newest first."""
    positions, index = view.positions, view.index
    if order == "newest":
        return positions
    if order == "oldest":
        return positions[::-1]
    if order == "longest":
        # sort jobs without an end last
        length = np.where(index.end > index.start, index.end - index.start, -1)
        key = -length[positions]
    elif order == "largest":
        sizes = index.assessment.assessed_jobs["size"].to_numpy("float64", na_value=-1.0)
        key = -sizes[index.order[positions]]
    elif order == "failed":
        key = (index.outcome_codes[positions] != OUTCOMES.index("failure")).astype(np.int8)
    else:
        key = index.appliance_codes[positions]
    ordered: Positions = positions[np.argsort(key, kind="stable")]
    return ordered

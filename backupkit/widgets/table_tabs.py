"""Tabs of the explorer with tables: appliances, failures and jobs."""

from dataclasses import replace
from typing import Final

import ipywidgets
import numpy as np
import pandas as pd

from backupkit import plots
from backupkit.tables import OUTCOMES
from backupkit.widgets import view_html
from backupkit.widgets.assessment_index import Positions
from backupkit.widgets.figure import FigureWidget
from backupkit.widgets.grid import Grid
from backupkit.widgets.grid_arrays import encode_bars
from backupkit.widgets.tab import Select, Tab, toggle
from backupkit.widgets.table_sources import ApplianceRows, JobRows, PatternRows
from backupkit.widgets.table_widget import TableWidget
from backupkit.widgets.turns import in_turn
from backupkit.widgets.view import FilteredView

__all__ = ["Appliances", "Failures", "Jobs", "TableTab"]

_MAX_BARS: Final = 10
_MAX_EXPOSED: Final = 8
_MAX_APPLIANCES: Final = 20
_MAX_PATTERNS: Final = 15
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


class TableTab(Tab):
    """Tab with a table that is sorted and filtered."""

    table: TableWidget


class Appliances(TableTab):
    """Tab with the table of appliances, compliance and exposure."""

    name = "Appliances"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self.table = TableWidget("appliance", on_pick=self._on_name, page_size=_MAX_APPLIANCES)
        self._listed: FilteredView | None = None
        self._compliance = FigureWidget(on_brush=self._on_span_drag)
        self._exposure = FigureWidget(on_brush=self._on_span_drag)
        self._arrange(self.table, self._compliance, self._exposure)

    def show(self, view: FilteredView, theme: str) -> None:
        """List the appliances, and draw compliance and the exposure of the worst ones."""
        self._view = view
        # the chosen appliances are marked among the others, so that more of them can be chosen
        self._listed = view.with_selection(
            replace(view.selection, appliances=()), previous=self._listed
        )
        self.table.show(
            ApplianceRows(self._listed),
            chosen=view.selection.appliances,
            empty=view_html.explain_no_appliance(view),
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


class Failures(TableTab):
    """Tab with the failure signatures; selecting one filters the jobs in every tab."""

    name = "Failures"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._pareto = Grid(on_cell=self._on_bar, describe=self._describe)
        self.table = TableWidget("error pattern", on_pick=self._on_pattern, page_size=_MAX_PATTERNS)
        self._over_time = FigureWidget(on_brush=self._on_span_drag)
        self._hint = ipywidgets.HTML()
        self._arrange(self._pareto, self._hint, self.table, self._over_time)

    def prepare(self, view: FilteredView) -> None:
        """Read the messages of all failed jobs, once."""
        _ = view.failures

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw the signatures, and list them with their causes."""
        self._view = view
        self._pareto.show(
            "Pareto chart of the error patterns",
            encode=lambda: encode_bars(
                view.failures, limit=_MAX_BARS, chosen=view.selection.signatures
            ),
            draw=lambda: plots.failures(view.failures, limit=_MAX_BARS, theme=theme),
        )
        self._hint.value = _PATTERNS_HINT
        listed = self._list_failures(view)
        self._over_time.show(
            plots.failures_over_time(
                view.plot_frame(view.failed_positions, "signature"), theme=theme
            ),
            "Failures over time by error pattern",
        )
        self.table.show(
            PatternRows(listed),
            chosen=view.selection.signatures,
            empty="No backup job failed in what is shown.",
        )

    def _list_failures(self, view: FilteredView) -> pd.DataFrame:
        """Return all failures: the chosen ones are marked among the others."""
        if not view.selection.signatures:
            return view.failures
        return view.with_selection(replace(view.selection, signatures=())).failures

    def _on_bar(self, row: int, _column: int) -> None:
        """Select an error pattern, or deselect it if it is selected."""
        if signature := self._signature_of(row):
            self._on_pattern(signature)

    def _describe(self, row: int, _column: int) -> str:
        """Return the cause of an error pattern."""
        return self._view.describe_cause(self._signature_of(row))

    def _signature_of(self, row: int) -> str:
        """Return the error pattern of a bar; "" for the bar of the others."""
        signatures = self._view.failures["signature"].head(_MAX_BARS)
        return str(signatures.iloc[row]) if row < len(signatures) else ""

    def _on_pattern(self, signature: str) -> None:
        self._select(signatures=toggle(self._view.selection.signatures, signature))


class Jobs(TableTab):
    """Tab with the table of the selected jobs."""

    name = "Jobs"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        narrow = ipywidgets.Layout(width="auto")
        self._sort = ipywidgets.Dropdown(options=_SORT_ORDERS, tooltip="Order", layout=narrow)
        self._sort.observe(lambda _change: self._list_jobs(), names="value")
        self.table = TableWidget(
            "job", on_pick=self._on_name, page_size=_PAGE_SIZE, tools=[self._sort]
        )
        self._arrange(self.table)

    def show(self, view: FilteredView, theme: str) -> None:  # noqa: ARG002 # a table follows the page
        """Show the first page."""
        self._view = view
        self._sort.disabled = False
        self._list_jobs()

    def clear(self) -> None:
        """Remove the content."""
        super().clear()
        self._sort.disabled = True

    @in_turn
    def _list_jobs(self) -> None:
        positions = _sort_positions(self._view, self._sort.value)
        self.table.show(
            JobRows(self._view, positions, _ORDER_LABELS[self._sort.value]),
            chosen=self._view.selection.appliances,
            empty=view_html.explain_no_job(self._view),
            turn_back=True,
        )


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

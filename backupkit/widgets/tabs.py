"""Tabs of the explorer: each shows a view and turns clicks into a selection."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

import ipywidgets
import numpy as np
import pandas as pd

from backupkit import plots
from backupkit.plots.picture import to_timestamp
from backupkit.plots.style import sanitise_text
from backupkit.tables import OUTCOMES
from backupkit.widgets import view_html
from backupkit.widgets.assessment_index import Positions
from backupkit.widgets.figure import FigureWidget
from backupkit.widgets.view import FilteredView

__all__ = ["Durations", "Failures", "Matrix", "Overview", "Select", "Tab", "Timeline"]

Select = Callable[..., None]
"""Changes some attributes of the selection, given by name."""

_MAX_ROWS: Final = 25
_MAX_MATRIX_ROWS: Final = 25
_MAX_BARS: Final = 10
_MAX_CURVES: Final = 12
_MAX_EXPOSED: Final = 8
_PROGRESS_HINT: Final = (
    f"<small>Choose up to {_MAX_CURVES} appliances to see how their jobs progressed.</small>"
)
_PAGE_SIZE: Final = 25
_MAX_LIVE_SEARCH: Final = 200_000
"""Up to this number of jobs, the search updates at each key press."""

_SORT_ORDERS: Final[tuple[tuple[str, str], ...]] = (
    ("newest first", "newest"),
    ("oldest first", "oldest"),
    ("longest first", "longest"),
    ("largest first", "largest"),
    ("worst appliance first", "appliance"),
    ("failed first", "failed"),
)
_PATTERNS_HINT: Final = "<small>Choose error patterns to see only their jobs in every tab</small>"


class Tab(ABC):
    """Tab of the explorer, with a title and a box of widgets."""

    name: ClassVar[str]
    box: ipywidgets.VBox
    _view: FilteredView  # the view that clicks refer to
    _rows: pd.Index  # appliances in the order of the drawn rows

    def __init__(self, select: Select) -> None:
        self._select = select

    @abstractmethod
    def show(self, view: FilteredView, theme: str) -> None:
        """Draw a view."""

    def clear(self) -> None:
        """Remove the content."""
        for part in self._parts:
            if isinstance(part, FigureWidget):
                part.clear()
            elif isinstance(part, ipywidgets.HTML):
                part.value = ""

    def _arrange(self, *parts: FigureWidget | ipywidgets.Widget) -> None:
        """Arrange the parts of the tab, from top to bottom."""
        self._parts = parts
        self.box = ipywidgets.VBox(
            [part.widget if isinstance(part, FigureWidget) else part for part in parts]
        )

    def _on_span_drag(self, first: float, last: float) -> None:
        """Select a span of the time axis as the period."""
        start, end = (to_timestamp(day).floor("s") for day in (first, last))
        start, end = max(start, self._view.start), min(end, self._view.end)
        if start < end:
            self._select(start=start, end=end)

    def _on_row_click(self, _x: float, y: float) -> None:
        """Select the appliance of a row, or deselect it if it is selected."""
        row = round(y)
        if 0 <= row < len(self._rows):
            chosen = _toggle(self._view.selection.appliances, str(self._rows[row]))
            self._select(appliances=chosen)


class Overview(Tab):
    """Tab with the table of appliances, compliance and exposure."""

    name = "Overview"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._table = ipywidgets.HTML()
        self._compliance = FigureWidget(on_brush=self._on_span_drag)
        self._exposure = FigureWidget(on_brush=self._on_span_drag)
        self._arrange(self._table, self._compliance, self._exposure)

    def show(self, view: FilteredView, theme: str) -> None:
        """List the appliances, and draw compliance and the exposure of the worst ones."""
        self._view = view
        self._table.value = view_html.render_appliances_table(view)
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


class Timeline(Tab):
    """Tab with the timeline of the jobs and their progress."""

    name = "Timeline"

    def __init__(
        self, select: Select, observations: Callable[[FilteredView], pd.DataFrame]
    ) -> None:
        super().__init__(select)
        self._observations = observations
        self._bars = FigureWidget(on_click=self._on_row_click, on_brush=self._on_span_drag)
        self._progress = FigureWidget(on_brush=self._on_span_drag)
        self._hint = ipywidgets.HTML()
        self._arrange(self._bars, self._hint, self._progress)

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw the jobs as bars; for up to 12 appliances also their progress."""
        self._view, self._rows = view, view.drawn_states.index[:_MAX_ROWS]
        ax = plots.timeline(
            view.plot_frame(view.positions_of(self._rows), "appliance", "outcome"),
            slots=view.slots_of(self._rows),
            states=view.drawn_states,
            start=view.start,
            end=view.end,
            limit=_MAX_ROWS,
            theme=theme,
        )
        self._bars.show(ax, f"Timeline of the jobs of {len(view.drawn_states):,} appliances")
        draw_progress = len(view.drawn_states) <= _MAX_CURVES
        self._hint.value = "" if draw_progress else _PROGRESS_HINT
        if draw_progress:
            self._progress.show(
                plots.progress(self._observations(view), theme=theme), "Progress of jobs"
            )
        else:
            self._progress.clear()


class Matrix(Tab):
    """Tab with the slot states by appliance and day."""

    name = "Matrix"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._cells = FigureWidget(on_click=self._on_row_click, on_brush=self._on_span_drag)
        self._arrange(self._cells)

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw one symbol per appliance and day."""
        self._view, self._rows = view, view.drawn_states.index[:_MAX_MATRIX_ROWS]
        ax = plots.matrix(
            view.slots_of(self._rows),
            states=view.drawn_states,
            intervals=view.period.intervals,
            limit=_MAX_MATRIX_ROWS,
            theme=theme,
        )
        self._cells.show(ax, f"Expected runs of {len(view.drawn_states):,} appliances by day")


class Failures(Tab):
    """Tab with the failure signatures; selecting one filters the jobs in every tab."""

    name = "Failures"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._ignore_changes = False
        self._pareto = FigureWidget(on_click=self._on_bar_click)
        self._choice = ipywidgets.SelectMultiple(
            rows=6, layout=ipywidgets.Layout(width="100%", max_width="860px")
        )
        self._choice.observe(self._on_choice, names="value")
        self._table = ipywidgets.HTML()
        self._over_time = FigureWidget(on_brush=self._on_span_drag)
        self._hint = ipywidgets.HTML()
        self._arrange(self._pareto, self._hint, self._choice, self._over_time, self._table)

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw the signatures, and list them with their causes."""
        self._view = view
        self._pareto.show(
            plots.failures(view.failures, limit=_MAX_BARS, theme=theme),
            "Pareto chart of the error patterns",
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

    def _on_bar_click(self, _x: float, y: float) -> None:
        signatures = self._view.failures["signature"].head(_MAX_BARS)
        row = round(y)
        if 0 <= row < len(signatures):
            chosen = self._view.selection.signatures
            self._select(signatures=_toggle(chosen, signatures.iloc[row]))


class Durations(Tab):
    """Tab with the durations of the jobs and the load of the backup targets."""

    name = "Durations"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._lengths = FigureWidget()
        self._load = FigureWidget(on_brush=self._on_span_drag)
        self._arrange(self._lengths, self._load)

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw the durations with unusual jobs marked, then the load of the targets."""
        self._view = view
        jobs = view.plot_frame(view.positions, "appliance", "outcome", "target")
        assessment = view.index.assessment
        self._lengths.show(
            plots.durations(jobs, anomalies=assessment.anomalies, theme=theme),
            "Durations of the jobs",
        )
        self._load.show(
            plots.load(jobs, loads=assessment.loads, theme=theme),
            "Concurrent jobs per target",
        )


class Jobs(Tab):
    """Tab with the table of the selected jobs."""

    name = "Jobs"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._page = 0
        self._ignore_changes = False
        narrow = ipywidgets.Layout(width="auto")
        self._search = ipywidgets.Text(
            placeholder="Search jobs and messages", layout=ipywidgets.Layout(width="260px")
        )
        self._sort = ipywidgets.Dropdown(options=_SORT_ORDERS, layout=narrow)
        self._previous = ipywidgets.Button(description="Previous", icon="arrow-left", layout=narrow)
        self._next = ipywidgets.Button(description="Next", icon="arrow-right", layout=narrow)
        self._page_label = ipywidgets.Label()
        self._table = ipywidgets.HTML()
        bar = [self._search, self._sort, self._previous, self._next, self._page_label]
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        self._arrange(ipywidgets.HBox(bar, layout=row), self._table)
        self._search.observe(self._on_search, names="value")
        self._sort.observe(lambda _change: self._change_page(-self._page), names="value")
        self._previous.on_click(lambda _button: self._change_page(-1))
        self._next.on_click(lambda _button: self._change_page(1))

    def show(self, view: FilteredView, theme: str) -> None:  # noqa: ARG002 # a table follows the page
        """Show the first page."""
        self._view = view
        self._ignore_changes = True
        self._search.continuous_update = len(view.index.start) <= _MAX_LIVE_SEARCH
        self._search.value = view.selection.text
        self._search.disabled = self._sort.disabled = False
        self._ignore_changes = False
        self._page = 0
        self._list_jobs()

    def clear(self) -> None:
        """Remove the content."""
        super().clear()
        for widget in (self._search, self._sort, self._previous, self._next):
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
        self._table.value = view_html.render_jobs_table(rows)
        self._page_label.value = f"page {self._page + 1:,} of {pages:,}, {len(positions):,} jobs"
        self._previous.disabled = self._page == 0
        self._next.disabled = self._page == pages - 1

    def _on_search(self, change: Mapping[str, Any]) -> None:
        if not self._ignore_changes:
            self._select(text=change["new"])


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


def _toggle(chosen: tuple[str, ...], value: str) -> tuple[str, ...]:
    return (
        tuple(other for other in chosen if other != value) if value in chosen else (*chosen, value)
    )

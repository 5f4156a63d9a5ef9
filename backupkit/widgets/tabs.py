"""Tabs of the explorer: each draws a view and turns clicks into a selection."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Final

import ipywidgets
import pandas as pd
from matplotlib.dates import num2date

from backupkit import plots
from backupkit.analysis import recovery_points
from backupkit.plots.style import sanitise_text
from backupkit.widgets import view_html
from backupkit.widgets.figure import FigureWidget
from backupkit.widgets.selection import Selection
from backupkit.widgets.view import FilteredView

__all__ = ["Durations", "Failures", "Matrix", "Overview", "Select", "Tab", "Timeline"]

Select = Callable[[Selection], None]

_MAX_ROWS: Final = 25
_MAX_MATRIX_ROWS: Final = 25
_MAX_BARS: Final = 10
_MAX_CURVES: Final = 12
_MAX_EXPOSED: Final = 8
_PROGRESS_HINT: Final = (
    f"<small>Choose up to {_MAX_CURVES} appliances to see how their jobs progressed.</small>"
)
_SIGNATURES_HINT: Final = "<small>Choose signatures to see only their jobs, in every tab</small>"


class Tab(ABC):
    """Tab of the explorer.

    Attributes
    ----------
    name : str
        Title of the tab.
    box : Widget
        Content of the tab.
    """

    name: ClassVar[str]
    box: Any
    _view: FilteredView  # the view that clicks refer to
    _rows: pd.Index  # appliances in the order of the drawn rows

    def __init__(self, select: Select) -> None:
        self._select = select

    @abstractmethod
    def show(self, view: FilteredView, theme: str) -> None:
        """Draw a view."""

    @abstractmethod
    def clear(self) -> None:
        """Remove the content."""

    def _on_span_drag(self, first: float, last: float) -> None:
        """Select a span of the time axis as the period."""
        start, end = (pd.Timestamp(num2date(day)).floor("s") for day in (first, last))
        start, end = max(start, self._view.start), min(end, self._view.end)
        if start < end:
            self._select(replace(self._view.selection, start=start, end=end))

    def _on_row_click(self, _x: float, y: float) -> None:
        """Select the appliance of a row, or deselect it if it is selected."""
        row = round(y)
        if 0 <= row < len(self._rows):
            chosen = _toggled(self._view.selection.appliances, str(self._rows[row]))
            self._select(replace(self._view.selection, appliances=chosen))


class Overview(Tab):
    """Tab with the table of appliances, compliance and exposure."""

    name = "Overview"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._table = ipywidgets.HTML()
        self._compliance = FigureWidget(on_brush=self._on_span_drag)
        self._exposure = FigureWidget(on_brush=self._on_span_drag)
        self.box = ipywidgets.VBox([self._table, self._compliance.widget, self._exposure.widget])

    def show(self, view: FilteredView, theme: str) -> None:
        """List the appliances, and draw compliance and the exposure of the worst ones."""
        self._view = view
        self._table.value = view_html.appliances_table(view)
        self._compliance.show(
            plots.compliance(view.intervals, start=view.start, end=view.end, theme=theme),
            "Compliance over time of what is shown",
        )
        assessment = view.assessment_index.assessment
        worst = view.states.index[view.states != "excluded"][:_MAX_EXPOSED]
        jobs = assessment.jobs[assessment.jobs["appliance"].isin(worst)]
        ax = plots.exposure(
            recovery_points(jobs),
            threshold=assessment.appliances["threshold"].reindex(worst),
            start=view.start,
            end=view.end,
            theme=theme,
        )
        self._exposure.show(ax, "Exposure over time of the worst appliances shown")

    def clear(self) -> None:
        """Remove the content."""
        self._table.value = ""
        self._compliance.clear()
        self._exposure.clear()


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
        self.box = ipywidgets.VBox([self._bars.widget, self._hint, self._progress.widget])

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw the jobs as bars; for up to 12 appliances also their progress."""
        self._view, self._rows = view, view.drawn_states.index[:_MAX_ROWS]
        ax = plots.timeline(
            view.plot_frame(view.positions_of(self._rows)),
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

    def clear(self) -> None:
        """Remove the content."""
        self._bars.clear()
        self._progress.clear()


class Matrix(Tab):
    """Tab with the slot states by appliance and day."""

    name = "Matrix"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._cells = FigureWidget(on_click=self._on_row_click, on_brush=self._on_span_drag)
        self.box = ipywidgets.VBox([self._cells.widget])

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw one symbol per appliance and day."""
        self._view, self._rows = view, view.drawn_states.index[:_MAX_MATRIX_ROWS]
        ax = plots.matrix(
            view.slots_of(self._rows), states=view.drawn_states, limit=_MAX_MATRIX_ROWS, theme=theme
        )
        self._cells.show(ax, f"Expected runs of {len(view.drawn_states):,} appliances by day")

    def clear(self) -> None:
        """Remove the content."""
        self._cells.clear()


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
        self.box = ipywidgets.VBox(
            [
                self._pareto.widget,
                ipywidgets.HTML(_SIGNATURES_HINT),
                self._choice,
                self._over_time.widget,
                self._table,
            ]
        )

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw the signatures, and list them with their causes."""
        self._view = view
        self._pareto.show(
            plots.failures(view.failures, limit=_MAX_BARS, theme=theme),
            "Pareto chart of the failure signatures",
        )
        self._update_options(view)
        self._over_time.show(
            plots.failures_over_time(view.plot_frame(view.failed_positions), theme=theme),
            "Failures over time by signature",
        )
        self._table.value = view_html.signatures_table(view)

    def clear(self) -> None:
        """Remove the content."""
        self._set_options([], ())
        self._pareto.clear()
        self._over_time.clear()
        self._table.value = ""

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
            self._select(replace(self._view.selection, signatures=tuple(change["new"])))

    def _on_bar_click(self, _x: float, y: float) -> None:
        signatures = self._view.failures["signature"].head(_MAX_BARS)
        row = round(y)
        if 0 <= row < len(signatures):
            chosen = self._view.selection.signatures
            self._select(
                replace(self._view.selection, signatures=_toggled(chosen, signatures.iloc[row]))
            )


class Durations(Tab):
    """Tab with the durations of the jobs and the load of the backup targets."""

    name = "Durations"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._lengths = FigureWidget()
        self._load = FigureWidget(on_brush=self._on_span_drag)
        self.box = ipywidgets.VBox([self._lengths.widget, self._load.widget])

    def show(self, view: FilteredView, theme: str) -> None:
        """Draw the durations with unusual jobs marked, then the load of the targets."""
        self._view = view
        jobs, assessment = view.plot_frame(view.positions), view.assessment_index.assessment
        self._lengths.show(
            plots.durations(jobs, anomalies=assessment.anomalies, theme=theme),
            "Durations of the jobs",
        )
        self._load.show(
            plots.load(jobs, loads=assessment.loads, theme=theme),
            "Concurrent jobs per target",
        )

    def clear(self) -> None:
        """Remove the content."""
        self._lengths.clear()
        self._load.clear()


def _toggled(chosen: tuple[str, ...], value: str) -> tuple[str, ...]:
    return (
        tuple(other for other in chosen if other != value) if value in chosen else (*chosen, value)
    )

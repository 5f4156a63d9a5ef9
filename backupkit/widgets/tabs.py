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
from backupkit.widgets import words
from backupkit.widgets.picture import Picture
from backupkit.widgets.selection import Selection
from backupkit.widgets.view import View

__all__ = ["Durations", "Failures", "Matrix", "Overview", "Select", "Tab", "Timeline"]

Select = Callable[[Selection], None]

_ROWS: Final = 25
_CELLS: Final = 25
_BARS: Final = 10
_CURVES: Final = 12
_EXPOSED: Final = 8
_HINT: Final = f"<small>Choose up to {_CURVES} appliances to see how their jobs progressed.</small>"
_OFFER: Final = "<small>Choose signatures to see only their jobs, in every tab</small>"


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
    _view: View  # the view that clicks refer to
    _rows: pd.Index  # appliances in the order of the drawn rows

    def __init__(self, select: Select) -> None:
        self._select = select

    @abstractmethod
    def show(self, view: View, theme: str) -> None:
        """Draw a view."""

    @abstractmethod
    def clear(self) -> None:
        """Remove the content."""

    def _brushed(self, first: float, last: float) -> None:
        """Select a span of the time axis as the period."""
        start, end = (pd.Timestamp(num2date(day)).floor("s") for day in (first, last))
        start, end = max(start, self._view.start), min(end, self._view.end)
        if start < end:
            self._select(replace(self._view.selection, start=start, end=end))

    def _picked(self, _x: float, y: float) -> None:
        """Select the appliance of a row, or deselect it if it is selected."""
        place = round(y)
        if 0 <= place < len(self._rows):
            chosen = _toggled(self._view.selection.appliances, str(self._rows[place]))
            self._select(replace(self._view.selection, appliances=chosen))


class Overview(Tab):
    """Tab with the table of appliances, compliance and exposure."""

    name = "Overview"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._table = ipywidgets.HTML()
        self._compliance = Picture(on_brush=self._brushed)
        self._exposure = Picture(on_brush=self._brushed)
        self.box = ipywidgets.VBox([self._table, self._compliance.widget, self._exposure.widget])

    def show(self, view: View, theme: str) -> None:
        """List the appliances, and draw compliance and the exposure of the worst ones."""
        self._view = view
        self._table.value = words.standing(view)
        self._compliance.show(
            plots.compliance(view.intervals, start=view.start, end=view.end, theme=theme),
            "Compliance over time of what is shown",
        )
        facts = view.judged.assessment
        worst = view.states.index[view.states != "excluded"][:_EXPOSED]
        jobs = facts.jobs[facts.jobs["appliance"].isin(worst)]
        drawn = plots.exposure(
            recovery_points(jobs),
            threshold=facts.appliances["threshold"].reindex(worst),
            start=view.start,
            end=view.end,
            theme=theme,
        )
        self._exposure.show(drawn, "Exposure over time of the worst appliances shown")

    def clear(self) -> None:
        """Remove the content."""
        self._table.value = ""
        self._compliance.clear()
        self._exposure.clear()


class Timeline(Tab):
    """Tab with the timeline of the jobs and their progress."""

    name = "Timeline"

    def __init__(self, select: Select, observations: Callable[[View], pd.DataFrame]) -> None:
        super().__init__(select)
        self._observations = observations
        self._bars = Picture(on_click=self._picked, on_brush=self._brushed)
        self._progress = Picture(on_brush=self._brushed)
        self._hint = ipywidgets.HTML()
        self.box = ipywidgets.VBox([self._bars.widget, self._hint, self._progress.widget])

    def show(self, view: View, theme: str) -> None:
        """Draw the jobs as bars; for up to 12 appliances also their progress."""
        self._view, self._rows = view, view.concerned.index[:_ROWS]
        drawn = plots.timeline(
            view.drawn(view.of(self._rows)),
            slots=view.slots_of(self._rows),
            states=view.concerned,
            start=view.start,
            end=view.end,
            limit=_ROWS,
            theme=theme,
        )
        self._bars.show(drawn, f"Timeline of the jobs of {len(view.concerned):,} appliances")
        few = len(view.concerned) <= _CURVES
        self._hint.value = "" if few else _HINT
        if few:
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
        self._cells = Picture(on_click=self._picked, on_brush=self._brushed)
        self.box = ipywidgets.VBox([self._cells.widget])

    def show(self, view: View, theme: str) -> None:
        """Draw one symbol per appliance and day."""
        self._view, self._rows = view, view.concerned.index[:_CELLS]
        drawn = plots.matrix(
            view.slots_of(self._rows), states=view.concerned, limit=_CELLS, theme=theme
        )
        self._cells.show(drawn, f"Expected runs of {len(view.concerned):,} appliances by day")

    def clear(self) -> None:
        """Remove the content."""
        self._cells.clear()


class Failures(Tab):
    """Tab with the failure signatures; selecting one filters the jobs in every tab."""

    name = "Failures"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._quiet = False
        self._pareto = Picture(on_click=self._clicked)
        self._choice = ipywidgets.SelectMultiple(
            rows=6, layout=ipywidgets.Layout(width="100%", max_width="860px")
        )
        self._choice.observe(self._on_choice, names="value")
        self._table = ipywidgets.HTML()
        self._over_time = Picture(on_brush=self._brushed)
        self.box = ipywidgets.VBox(
            [
                self._pareto.widget,
                ipywidgets.HTML(_OFFER),
                self._choice,
                self._over_time.widget,
                self._table,
            ]
        )

    def show(self, view: View, theme: str) -> None:
        """Draw the signatures, and list them with their causes."""
        self._view = view
        self._pareto.show(
            plots.failures(view.failures, limit=_BARS, theme=theme),
            "Pareto chart of the failure signatures",
        )
        self._offer(view)
        self._over_time.show(
            plots.failures_over_time(view.drawn(view.failed), theme=theme),
            "Failures over time by signature",
        )
        self._table.value = words.signatures_table(view)

    def clear(self) -> None:
        """Remove the content."""
        self._list([], ())
        self._pareto.clear()
        self._over_time.clear()
        self._table.value = ""

    def _offer(self, view: View) -> None:
        chosen = view.selection.signatures
        every = replace(view.selection, signatures=())
        found = view.failures if not chosen else view.with_selection(every).failures
        jobs = dict(zip(found["signature"], found["jobs"], strict=True))
        listed = list(dict.fromkeys([*found["signature"].head(100), *chosen]))
        self._list(
            [(f"{jobs.get(one, 0):>6,}  {sanitise_text(one, width=110)}", one) for one in listed],
            chosen,
        )

    def _list(self, options: list[tuple[str, str]], chosen: tuple[str, ...]) -> None:
        """Set the options of the list without changing the selection."""
        self._quiet = True
        self._choice.value = ()  # first: the value must be among the options
        self._choice.options = options
        self._choice.value = [one for _, one in options if one in chosen]
        self._quiet = False

    def _on_choice(self, change: dict[str, Any]) -> None:
        if not self._quiet:
            self._select(replace(self._view.selection, signatures=tuple(change["new"])))

    def _clicked(self, _x: float, y: float) -> None:
        shown = self._view.failures["signature"].head(_BARS)
        place = round(y)
        if 0 <= place < len(shown):
            chosen = self._view.selection.signatures
            self._select(
                replace(self._view.selection, signatures=_toggled(chosen, shown.iloc[place]))
            )


class Durations(Tab):
    """Tab with the durations of the jobs and the load of the backup targets."""

    name = "Durations"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._lengths = Picture()
        self._load = Picture(on_brush=self._brushed)
        self.box = ipywidgets.VBox([self._lengths.widget, self._load.widget])

    def show(self, view: View, theme: str) -> None:
        """Draw the durations with unusual jobs marked, then the load of the targets."""
        self._view = view
        drawn, whole = view.drawn(view.places), view.judged.assessment
        self._lengths.show(
            plots.durations(drawn, anomalies=whole.anomalies, theme=theme),
            "Durations of the jobs",
        )
        self._load.show(
            plots.load(drawn, loads=whole.loads, theme=theme), "Jobs at once on each backup target"
        )

    def clear(self) -> None:
        """Remove the content."""
        self._lengths.clear()
        self._load.clear()


def _toggled(chosen: tuple[str, ...], one: str) -> tuple[str, ...]:
    return tuple(x for x in chosen if x != one) if one in chosen else (*chosen, one)

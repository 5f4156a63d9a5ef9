"""Base of the explorer's tabs: each shows a view and turns clicks into a selection."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import ipywidgets
import pandas as pd

from backupkit.plots.picture import to_timestamp
from backupkit.widgets.figure import FigureWidget
from backupkit.widgets.grid import Grid
from backupkit.widgets.run_timeline import RunTimeline
from backupkit.widgets.table_widget import TableWidget
from backupkit.widgets.view import FilteredView

__all__ = ["Select", "Tab", "toggle"]

Select = Callable[..., None]
"""Changes some attributes of the selection, given by name."""

_Part = FigureWidget | Grid | RunTimeline | TableWidget


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

    def prepare(self, view: FilteredView) -> None:
        """Compute the frames of a view that take a while; what is computed is kept."""
        _ = view.period

    def clear(self) -> None:
        """Remove the content."""
        for part in self._parts:
            if isinstance(part, _Part):
                part.clear()
            elif isinstance(part, ipywidgets.HTML):
                part.value = ""

    def _arrange(self, *parts: _Part | ipywidgets.Widget) -> None:
        """Arrange the parts of the tab, from top to bottom."""
        self._parts = parts
        self.box = ipywidgets.VBox(
            [part.widget if isinstance(part, _Part) else part for part in parts]
        )

    def _on_span_drag(self, first: float, last: float) -> None:
        """Select a span of the time axis as the period."""
        self._on_span(to_timestamp(first), to_timestamp(last))

    def _on_span(self, start: pd.Timestamp, end: pd.Timestamp) -> None:
        """Select a span as the period."""
        start, end = (time.floor("s") for time in (start, end))
        start, end = max(start, self._view.start), min(end, self._view.end)
        if start < end:
            self._select(start=start, end=end)

    def _on_row(self, row: int) -> None:
        """Select the appliance of a row, or deselect it if it is selected."""
        if 0 <= row < len(self._rows):
            self._on_name(str(self._rows[row]))

    def _on_name(self, name: str) -> None:
        self._select(appliances=toggle(self._view.selection.appliances, name))

    def _on_row_click(self, _x: float, y: float) -> None:
        """Select the appliance of a row that was clicked anywhere."""
        self._on_row(round(y))


def toggle(chosen: tuple[str, ...], value: str) -> tuple[str, ...]:
    """Return the chosen values without a value, or with it if it is not among them."""
    return (
        tuple(other for other in chosen if other != value) if value in chosen else (*chosen, value)
    )

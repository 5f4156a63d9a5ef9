"""Grid or bars of the explorer: drawn by the page if anywidget is installed, else a picture."""

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
from matplotlib.axes import Axes

from backupkit.widgets.figure import FigureWidget

__all__ = ["Grid"]


class Grid:
    """Grid or bars, to be put into a page as `widget`.

    Parameters
    ----------
    on_cell : callable
        Called with row and column of a cell that was chosen; column -1 is the name of the row.
    describe : callable
        Returns more about the cell at a row and a column.
    on_span : callable, optional
        Called with the first and the last column of a span that was dragged.
    """

    def __init__(
        self,
        *,
        on_cell: Callable[[int, int], object],
        describe: Callable[[int, int], str],
        on_span: Callable[[int, int], object] | None = None,
    ) -> None:
        self._canvas: Any = None
        try:
            from backupkit.widgets.grid_canvas import (  # noqa: PLC0415 # anywidget may be missing
                GridCanvas,
            )
        except ImportError:
            self._picture = FigureWidget()
            self.widget: ipywidgets.DOMWidget = self._picture.widget
        else:
            self.widget = self._canvas = GridCanvas(
                on_cell=on_cell, describe=describe, on_span=on_span
            )

    def show(
        self, label: str, encode: Callable[[], Mapping[str, Any]], draw: Callable[[], Axes]
    ) -> None:
        """Show what `encode` returns, or where the page cannot draw it, what `draw` returns."""
        if self._canvas is None:
            self._picture.show(draw(), label)
        else:
            self._canvas.show(encode(), label)

    def clear(self) -> None:
        """Remove the content."""
        (self._picture if self._canvas is None else self._canvas).clear()

"""Figure widget: clickable if anywidget is installed, otherwise a plain image."""

import base64
from collections.abc import Callable

import ipywidgets
from matplotlib.axes import Axes

from backupkit.plots.picture import png, to_data_coords
from backupkit.reports.page import render

__all__ = ["FigureWidget"]

OnClick = Callable[[float, float], None]
OnBrush = Callable[[float, float], None]


class FigureWidget:
    """Figure widget.

    Parameters
    ----------
    on_click : callable, optional
        Called with the position of a click in data coordinates.
    on_brush : callable, optional
        Called with the horizontal start and end of a dragged span, in data coordinates.
    on_theme : callable, optional
        Called with True if the page became dark, False if it became light.

    Attributes
    ----------
    widget : Widget
        The widget to put into a page.
    """

    def __init__(
        self,
        *,
        on_click: OnClick | None = None,
        on_brush: OnBrush | None = None,
        on_theme: Callable[[bool], None] | None = None,
    ) -> None:
        self._axes: Axes | None = None
        self._on_click, self._on_brush = on_click, on_brush
        try:
            from backupkit.widgets.clickable import (  # noqa: PLC0415 # anywidget may be missing
                ClickablePicture,
            )
        except ImportError:
            self.widget: ipywidgets.DOMWidget = ipywidgets.HTML()
            self._clickable = None
        else:
            clickable = ClickablePicture(clicks=on_click is not None, brushes=on_brush is not None)
            clickable.on_click, clickable.on_brush = self._click, self._brush
            if on_theme is not None:
                clickable.observe(lambda change: on_theme(change["new"]), names="dark")
            self.widget = self._clickable = clickable

    def show(self, ax: Axes, alt: str) -> None:
        """Show a figure with its alternative text."""
        self._axes = ax
        src = f"data:image/png;base64,{base64.b64encode(png(ax)).decode()}"
        if self._clickable is None:
            self.widget.value = render("image.html", src=src, alt=alt)
        else:
            self._clickable.set_trait("alt", alt)
            self._clickable.set_trait("src", src)

    def clear(self) -> None:
        """Remove the figure."""
        self._axes = None
        if self._clickable is None:
            self.widget.value = ""
        else:
            self._clickable.set_trait("src", "")

    def _click(self, x: float, y: float) -> None:
        position = None if self._axes is None else to_data_coords(self._axes, x, y)
        if position is not None and self._on_click is not None:
            self._on_click(*position)

    def _brush(self, first: float, last: float) -> None:
        if self._axes is None or self._on_brush is None:
            return
        # at half the height of the axes: only the horizontal position matters
        low, high = self._axes.get_position().intervaly
        ends = [to_data_coords(self._axes, x, 1 - (low + high) / 2) for x in (first, last)]
        if ends[0] is not None and ends[1] is not None:
            self._on_brush(ends[0][0], ends[1][0])

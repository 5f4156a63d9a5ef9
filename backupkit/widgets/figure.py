"""Figure widget: clickable if anywidget is installed, otherwise a plain image."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
from matplotlib.axes import Axes

from backupkit.plots.picture import render_png, to_data_coords
from backupkit.reports.page import render

__all__ = ["FigureWidget"]


class FigureWidget:
    """Figure, to be put into a page as `widget`.

    A click has a position in data coordinates, a dragged span its horizontal start and end.
    `on_theme` is called with True if the page became dark, with False if it became light.
    """

    def __init__(
        self,
        *,
        on_click: Callable[[float, float], None] | None = None,
        on_brush: Callable[[float, float], None] | None = None,
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
            self._is_clickable = False
        else:
            self.widget = ClickablePicture(
                clicks=on_click is not None, brushes=on_brush is not None
            )
            self._is_clickable = True
            self.widget.on_msg(self._on_message)
            if on_theme is not None:
                self.widget.observe(lambda change: on_theme(change["new"]), names="dark")

    def show(self, ax: Axes, alt: str) -> None:
        """Show a figure with its alternative text."""
        self._axes = ax
        src = f"data:image/png;base64,{base64.b64encode(render_png(ax)).decode()}"
        if self._is_clickable:
            self.widget.set_trait("alt", alt)
            self.widget.set_trait("src", src)
        else:
            self.widget.value = render("image.html", src=src, alt=alt)

    def clear(self) -> None:
        """Remove the figure."""
        self._axes = None
        self.widget.set_trait("src" if self._is_clickable else "value", "")

    def _on_message(self, _widget: object, content: Mapping[str, Any], _buffers: object) -> None:
        if self._axes is None:
            return
        if content.get("kind") == "click" and self._on_click is not None:
            position = to_data_coords(self._axes, float(content["x"]), float(content["y"]))
            if position is not None:
                self._on_click(*position)
        elif content.get("kind") == "brush" and self._on_brush is not None:
            # at half the height of the axes: only the horizontal position matters
            low, high = self._axes.get_position().intervaly
            first, last = (
                to_data_coords(self._axes, float(content[name]), 1 - (low + high) / 2)
                for name in ("from", "to")
            )
            if first is not None and last is not None:
                self._on_brush(first[0], last[0])

"""Figure widget: clickable if anywidget is installed, otherwise plain."""

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import ipywidgets
from matplotlib.axes import Axes

from backupkit.display.format import sanitise
from backupkit.plots.picture import render_png, to_data_coords
from backupkit.reports.page import render
from backupkit.widgets.turns import in_turn

__all__ = ["FigureWidget"]

_MAX_NAME = 120


class FigureWidget:
    """Figure, to be put into a page as `widget`.

    A click has a position in data coordinates, a dragged span its horizontal start and end, and a
    row that is chosen by its name has its number. `on_theme` is called with True if the page became
    dark, with False if it became light.
    """

    def __init__(
        self,
        *,
        on_click: Callable[[float, float], None] | None = None,
        on_brush: Callable[[float, float], None] | None = None,
        on_row: Callable[[int], None] | None = None,
        on_theme: Callable[[bool], None] | None = None,
    ) -> None:
        self._axes: Axes | None = None
        self._on_click, self._on_brush, self._on_row = on_click, on_brush, on_row
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

    def show(
        self, ax: Axes, alt: str, *, rows: Sequence[str] = (), chosen: Collection[str] = ()
    ) -> None:
        """Show a figure with its alternative text.

        The names of `rows` can be chosen, row n at y = n; `chosen` are those that are chosen now.
        """
        self._axes = ax
        src = f"data:image/png;base64,{base64.b64encode(render_png(ax)).decode()}"
        if self._is_clickable:
            with self.widget.hold_sync():
                self.widget.set_trait("alt", alt)
                self.widget.set_trait("src", src)
                self.widget.set_trait("edge", float(ax.get_position().x0))
                self.widget.set_trait("rows", _measure_rows(ax, rows, chosen))
        else:
            self.widget.value = render("image.html", src=src, alt=alt)

    def clear(self) -> None:
        """Remove the figure."""
        self._axes = None
        self.widget.set_trait("src" if self._is_clickable else "value", "")
        if self._is_clickable:
            self.widget.set_trait("rows", [])

    @in_turn
    def _on_message(self, _widget: object, content: Mapping[str, Any], _buffers: object) -> None:
        if self._axes is None:
            return
        kind = content.get("kind")
        if kind == "click" and self._on_click is not None:
            position = to_data_coords(self._axes, float(content["x"]), float(content["y"]))
            if position is not None:
                self._on_click(*position)
        elif kind == "row" and self._on_row is not None:
            self._on_row(int(content["row"]))
        elif kind == "brush" and self._on_brush is not None:
            # at half the height of the axes: only the horizontal position matters
            low, high = self._axes.get_position().intervaly
            first, last = (
                to_data_coords(self._axes, float(content[name]), 1 - (low + high) / 2)
                for name in ("from", "to")
            )
            if first is not None and last is not None:
                self._on_brush(first[0], last[0])


def _measure_rows(
    ax: Axes, names: Sequence[str], chosen: Collection[str]
) -> list[tuple[str, float, float, bool]]:
    """Return name, top, height and whether it is chosen, of each row of a drawn figure."""
    to_figure = ax.transData + ax.get_figure(root=True).transFigure.inverted()  # type: ignore[union-attr] # only removed axes have no figure
    left = ax.get_xlim()[0]
    rows = []
    for row, name in enumerate(names):
        upper, lower = (1 - to_figure.transform((left, row + edge))[1] for edge in (-0.5, 0.5))
        top, bottom = sorted((float(upper), float(lower)))
        rows.append((sanitise(name, limit=_MAX_NAME), top, bottom - top, name in chosen))
    return rows

"""Grid or bars that the page draws from arrays: `GridCanvas`; it needs anywidget."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import anywidget
import traitlets

from backupkit.widgets.script import load_script
from backupkit.widgets.turns import in_turn

__all__ = ["GridCanvas"]

_HELP: Final = "A click or Enter selects a cell or a name; arrow keys move."
_BRUSH_HELP: Final = (
    "A click or Enter selects a cell or a name; arrow keys move. A drag, or Shift and arrow keys "
    "with Enter, selects a period."
)


class GridCanvas(anywidget.AnyWidget):
    """Grid or bars, with what is under the pointer or the keyboard described in the page.

    Parameters
    ----------
    on_cell : callable
        Called with row and column of a cell that was chosen; column -1 is the name of the row.
    describe : callable
        Returns more about the cell at a row and a column.
    on_span : callable, optional
        Called with the first and the last column of a span that was dragged.
    """

    _esm = load_script("grid.js")
    grid = traitlets.Dict().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    help = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        *,
        on_cell: Callable[[int, int], object],
        describe: Callable[[int, int], str],
        on_span: Callable[[int, int], object] | None = None,
    ) -> None:
        super().__init__(help=_HELP if on_span is None else _BRUSH_HELP)
        self._on_cell, self._describe, self._on_span = on_cell, describe, on_span
        self._serial = 0
        self.on_msg(self._on_message)

    def show(self, grid: Mapping[str, Any], label: str) -> None:
        """Show a result of `grid_arrays`; `label` is what a screen reader says of it."""
        self._serial += 1
        with self.hold_sync():
            self.set_trait("label", label)
            self.set_trait("grid", {**grid, "serial": self._serial})

    def clear(self) -> None:
        """Remove the content."""
        self.set_trait("grid", {})

    @in_turn
    def _on_message(self, _widget: object, content: Mapping[str, Any], _buffers: object) -> None:
        if content.get("serial") != self.grid.get("serial"):
            return  # about what is no longer shown
        kind = content.get("kind")
        if kind == "brush" and self._on_span is not None:
            first, last = int(content["from"]), int(content["to"])
            if 0 <= first <= last < len(self.grid["columns"]):
                self._on_span(first, last)
        elif kind in ("cell", "describe"):
            row, column = int(content["row"]), int(content["column"])
            if not (0 <= row < len(self.grid["rows"])):
                return
            if not (-1 <= column < len(self.grid["columns"])):
                return
            if kind == "cell":
                self._on_cell(row, column)
            else:
                self.send({**content, "kind": "text", "text": self._describe(row, column)})

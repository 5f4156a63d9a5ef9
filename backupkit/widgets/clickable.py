"""A picture in a page that can be clicked and brushed; it needs anywidget."""

from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final

import anywidget
import traitlets

__all__ = ["ClickablePicture"]

_SCRIPT: Final = files("backupkit.widgets").joinpath("picture.js").read_text(encoding="utf-8")


class ClickablePicture(anywidget.AnyWidget):
    """An image that tells where it was clicked or brushed.

    Attributes
    ----------
    src, alt : str
        The picture, as a data URI, and the text in its place.
    clicks, brushes : bool
        Whether a click, and dragging over it, mean something.
    dark : bool
        Whether the page is dark; the page says so.
    """

    _esm = _SCRIPT
    src = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    clicks = traitlets.Bool().tag(sync=True)
    brushes = traitlets.Bool().tag(sync=True)
    dark = traitlets.Bool().tag(sync=True)

    def __init__(self, **traits: Any) -> None:  # noqa: ANN401 # any trait
        super().__init__(**traits)
        self.on_msg(self._on_message)
        self.on_click: Callable[[float, float], None] = _nothing
        self.on_brush: Callable[[float, float], None] = _nothing

    def _on_message(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        if content.get("kind") == "click":
            self.on_click(float(content["x"]), float(content["y"]))
        elif content.get("kind") == "brush":
            self.on_brush(float(content["from"]), float(content["to"]))


def _nothing(_first: float, _second: float) -> None:
    """Leave a click alone."""

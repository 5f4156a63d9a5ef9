"""Image widget with click and brush events; it needs anywidget."""

from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final

import anywidget
import traitlets

__all__ = ["ClickablePicture"]

_SCRIPT: Final = files("backupkit.widgets").joinpath("picture.js").read_text(encoding="utf-8")


class ClickablePicture(anywidget.AnyWidget):
    """Image widget that reports clicks and brushed spans.

    Attributes
    ----------
    src, alt : str
        Image as a data URI, and its alternative text.
    clicks, brushes : bool
        Whether clicking, and dragging over the image, has an effect.
    dark : bool
        Whether the page is dark; set by the page.
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
    """Ignore an event."""

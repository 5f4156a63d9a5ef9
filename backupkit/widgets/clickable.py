"""Image widget with click and brush events; it needs anywidget."""

from importlib.resources import files
from typing import Final

import anywidget
import traitlets

__all__ = ["ClickablePicture"]

_SCRIPT: Final = files("backupkit.widgets").joinpath("picture.js").read_text(encoding="utf-8")


class ClickablePicture(anywidget.AnyWidget):
    """Image widget that sends a message for each click and each brushed span.

    `src` is a data URI. `clicks` and `brushes` say whether clicking and dragging has an effect. The
    page sets `dark`.
    """

    _esm = _SCRIPT
    src = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    clicks = traitlets.Bool().tag(sync=True)
    brushes = traitlets.Bool().tag(sync=True)
    dark = traitlets.Bool().tag(sync=True)

"""Image that sends clicks; it needs anywidget."""

from importlib.resources import files
from typing import Final

import anywidget
import traitlets

__all__ = ["ClickablePicture"]

_SCRIPT: Final = files("backupkit.widgets").joinpath("picture.js").read_text(encoding="utf-8")


class ClickablePicture(anywidget.AnyWidget):
    """Image widget that sends a message for each click, each brushed span and each chosen row.

    `src` is a data URI. `clicks` and `brushes` say whether clicking and dragging has an effect.
    `rows` has the name, the top and the height of each row that can be chosen, as fractions of the
    image, and whether it is chosen now; `edge` is the width of the names. The page sets `dark`.
    """

    _esm = _SCRIPT
    src = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    clicks = traitlets.Bool().tag(sync=True)
    brushes = traitlets.Bool().tag(sync=True)
    rows = traitlets.List(traitlets.Tuple()).tag(sync=True)
    edge = traitlets.Float().tag(sync=True)
    dark = traitlets.Bool().tag(sync=True)

"""Image that sends clicks; it needs anywidget."""

import anywidget
import traitlets

from backupkit.widgets.script import load_script

__all__ = ["ClickablePicture"]


class ClickablePicture(anywidget.AnyWidget):
    """Image widget that sends a message for each click, each brushed span and each chosen row.

    `src` is a data URI. `clicks` and `brushes` say whether clicking and dragging has an effect.
    `rows` has the name, the top and the height of each row that can be chosen, as fractions of the
    image, and whether it is chosen now; `edge` is the width of the names. The page sets `dark`.
    """

    _esm = load_script("picture.js")
    src = traitlets.Unicode().tag(sync=True)
    alt = traitlets.Unicode().tag(sync=True)
    clicks = traitlets.Bool().tag(sync=True)
    brushes = traitlets.Bool().tag(sync=True)
    rows = traitlets.List(traitlets.Tuple()).tag(sync=True)
    edge = traitlets.Float().tag(sync=True)
    dark = traitlets.Bool().tag(sync=True)

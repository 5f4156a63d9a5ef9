"""Table in the page, with headers that sort, filters and rows to select; it needs anywidget."""

from importlib.resources import files
from typing import Final

import anywidget
import traitlets

from backupkit.display import style_sheet

__all__ = ["TablePage"]

_FILES: Final = files("backupkit.widgets")


class TablePage(anywidget.AnyWidget):
    """Table that sends a message for each sort, filter, selection and copy.

    `value` is HTML: the table, with the button of each row, which has the attribute `data-pick`.
    `head` has title, kind, filter, error and position in the sort of each column. Other rows have
    another `number`: those that were marked are no longer.
    """

    _esm = _FILES.joinpath("table.js").read_text(encoding="utf-8")
    _css = style_sheet() + _FILES.joinpath("table.css").read_text(encoding="utf-8")
    value = traitlets.Unicode().tag(sync=True)
    head = traitlets.List(traitlets.Dict()).tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    first = traitlets.Int().tag(sync=True)
    total = traitlets.Int().tag(sync=True)
    number = traitlets.Int().tag(sync=True)

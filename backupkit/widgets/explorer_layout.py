"""Layout of the parts of the explorer, and the line of Python that restores it."""

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import pandas as pd

from backupkit.widgets.filters import Filters
from backupkit.widgets.selection import Selection

__all__ = ["arrange", "format_call"]


def arrange(
    filters: Filters,
    buttons: Sequence[ipywidgets.Widget],
    *,
    above: ipywidgets.Widget,
    below: Sequence[ipywidgets.Widget],
) -> ipywidgets.VBox:
    """Arrange the filters with buttons beside the chips, between other widgets.

    Parameters
    ----------
    filters : Filters
        Its bar, chips, panel and chosen values.
    buttons : sequence of Widget
        Shown after the chips.
    above : Widget
        The verdict, always the first.
    below : sequence of Widget
        Messages and tabs.
    """
    layout = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
    chips = ipywidgets.HBox([*filters.chips, *buttons], layout=layout)
    return ipywidgets.VBox([above, filters.bar, chips, filters.panel, filters.active, *below])


def format_call(
    selection: Selection,
    *,
    at: pd.Timestamp | None,
    tab: str | None,
    tables: Mapping[str, Mapping[str, Any]],
) -> str:
    """Return the call of `explore` that opens an explorer; a `tab` of None is the first one.

    Examples
    --------
    >>> format_call(Selection(last="7d"), at=None, tab="Jobs", tables={})
    "bk.widgets.explore(history, policy, tab='Jobs', last='7d')"
    """
    texts = ["history", "policy"]
    texts += [] if at is None else [f"now='{at.isoformat()}'"]
    texts += [] if tab is None else [f"tab={tab!r}"]
    texts += [f"tables={tables!r}"] if tables else []
    return f"bk.widgets.explore({', '.join([*texts, *selection.format_arguments()])})"

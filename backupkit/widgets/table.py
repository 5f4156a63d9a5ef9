"""Tab with the table of the jobs: search, sorting and paging."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import ipywidgets
import numpy as np
import numpy.typing as npt

from backupkit.widgets import words
from backupkit.widgets.tabs import Select, Tab
from backupkit.widgets.view import View

__all__ = ["Jobs"]

Places = npt.NDArray[np.intp]

_PAGE: Final = 25
_AT_EACH_KEY: Final = 200_000
"""Up to this number of jobs, the search updates at each key press."""

_SORTS: Final[tuple[tuple[str, str], ...]] = (
    ("newest first", "newest"),
    ("oldest first", "oldest"),
    ("longest first", "longest"),
    ("largest first", "largest"),
    ("worst appliance first", "appliance"),
    ("failed first", "failed"),
)


class Jobs(Tab):
    """Tab with the table of the selected jobs."""

    name = "Jobs"

    def __init__(self, select: Select) -> None:
        super().__init__(select)
        self._page = 0
        self._quiet = False
        narrow = ipywidgets.Layout(width="auto")
        self._search = ipywidgets.Text(
            placeholder="Search jobs and messages", layout=ipywidgets.Layout(width="260px")
        )
        self._sort = ipywidgets.Dropdown(options=_SORTS, layout=narrow)
        self._back = ipywidgets.Button(description="Previous", icon="arrow-left", layout=narrow)
        self._forth = ipywidgets.Button(description="Next", icon="arrow-right", layout=narrow)
        self._place = ipywidgets.Label()
        self._table = ipywidgets.HTML()
        bar = [self._search, self._sort, self._back, self._forth, self._place]
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        self.box = ipywidgets.VBox([ipywidgets.HBox(bar, layout=row), self._table])
        self._search.observe(self._on_search, names="value")
        self._sort.observe(lambda _change: self._turn(-self._page), names="value")
        self._back.on_click(lambda _button: self._turn(-1))
        self._forth.on_click(lambda _button: self._turn(1))

    def show(self, view: View, theme: str) -> None:  # noqa: ARG002 # a table follows the page
        """Show the first page."""
        self._view = view
        self._quiet = True
        self._search.continuous_update = len(view.judged.start) <= _AT_EACH_KEY
        self._search.value = view.selection.text
        self._search.disabled = self._sort.disabled = False
        self._quiet = False
        self._page = 0
        self._list()

    def clear(self) -> None:
        """Remove the content."""
        for one in (self._search, self._sort, self._back, self._forth):
            one.disabled = True
        self._table.value = ""
        self._place.value = ""

    def _turn(self, pages: int) -> None:
        self._page += pages
        self._list()

    def _list(self) -> None:
        places = _sorted(self._view, self._sort.value)
        pages = max(-(-len(places) // _PAGE), 1)
        self._page = min(max(self._page, 0), pages - 1)
        first = self._page * _PAGE
        rows = self._view.rows(places[first : first + _PAGE])
        self._table.value = words.jobs_table(rows)
        self._place.value = f"page {self._page + 1:,} of {pages:,}, {len(places):,} jobs"
        self._back.disabled = self._page == 0
        self._forth.disabled = self._page == pages - 1

    def _on_search(self, change: Mapping[str, Any]) -> None:
        if not self._quiet:
            self._select(replace(self._view.selection, text=change["new"]))


def _sorted(view: View, order: str) -> Places:
    """Return the positions of the jobs in an order; equal ones are sorted newest first."""
    places, judged = view.places, view.judged
    if order == "newest":
        return places
    if order == "oldest":
        return places[::-1]
    if order == "longest":
        # sort jobs without an end last
        length = np.where(judged.end > judged.start, judged.end - judged.start, -1)
        key = -length[places]
    elif order == "largest":
        sizes = judged.assessment.jobs["size"].to_numpy("float64", na_value=-1.0)
        key = -sizes[judged.order[places]]
    elif order == "failed":
        key = (judged.outcome[places] != view.failure).astype(np.int8)
    else:
        key = judged.who[places]
    ordered: Places = places[np.argsort(key, kind="stable")]
    return ordered

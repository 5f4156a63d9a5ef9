"""Tab with the table of the jobs: search, sorting and paging."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import ipywidgets
import numpy as np
import numpy.typing as npt

from backupkit.widgets import view_html
from backupkit.widgets.tabs import Select, Tab
from backupkit.widgets.view import FilteredView

__all__ = ["Jobs"]

Positions = npt.NDArray[np.intp]

_PAGE_SIZE: Final = 25
_MAX_LIVE_SEARCH: Final = 200_000
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
        self._ignore_changes = False
        narrow = ipywidgets.Layout(width="auto")
        self._search = ipywidgets.Text(
            placeholder="Search jobs and messages", layout=ipywidgets.Layout(width="260px")
        )
        self._sort = ipywidgets.Dropdown(options=_SORTS, layout=narrow)
        self._previous = ipywidgets.Button(description="Previous", icon="arrow-left", layout=narrow)
        self._next = ipywidgets.Button(description="Next", icon="arrow-right", layout=narrow)
        self._page_label = ipywidgets.Label()
        self._table = ipywidgets.HTML()
        bar = [self._search, self._sort, self._previous, self._next, self._page_label]
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        self.box = ipywidgets.VBox([ipywidgets.HBox(bar, layout=row), self._table])
        self._search.observe(self._on_search, names="value")
        self._sort.observe(lambda _change: self._change_page(-self._page), names="value")
        self._previous.on_click(lambda _button: self._change_page(-1))
        self._next.on_click(lambda _button: self._change_page(1))

    def show(self, view: FilteredView, theme: str) -> None:  # noqa: ARG002 # a table follows the page
        """Show the first page."""
        self._view = view
        self._ignore_changes = True
        self._search.continuous_update = len(view.assessment_index.start) <= _MAX_LIVE_SEARCH
        self._search.value = view.selection.text
        self._search.disabled = self._sort.disabled = False
        self._ignore_changes = False
        self._page = 0
        self._list()

    def clear(self) -> None:
        """Remove the content."""
        for widget in (self._search, self._sort, self._previous, self._next):
            widget.disabled = True
        self._table.value = ""
        self._page_label.value = ""

    def _change_page(self, pages: int) -> None:
        self._page += pages
        self._list()

    def _list(self) -> None:
        positions = _sorted(self._view, self._sort.value)
        pages = max(-(-len(positions) // _PAGE_SIZE), 1)
        self._page = min(max(self._page, 0), pages - 1)
        first = self._page * _PAGE_SIZE
        rows = self._view.jobs_at(positions[first : first + _PAGE_SIZE])
        self._table.value = view_html.jobs_table(rows)
        self._page_label.value = f"page {self._page + 1:,} of {pages:,}, {len(positions):,} jobs"
        self._previous.disabled = self._page == 0
        self._next.disabled = self._page == pages - 1

    def _on_search(self, change: Mapping[str, Any]) -> None:
        if not self._ignore_changes:
            self._select(replace(self._view.selection, text=change["new"]))


def _sorted(view: FilteredView, order: str) -> Positions:
    """Return the positions of the jobs in an order; equal ones are sorted newest first."""
    positions, index = view.positions, view.assessment_index
    if order == "newest":
        return positions
    if order == "oldest":
        return positions[::-1]
    if order == "longest":
        # sort jobs without an end last
        length = np.where(index.end > index.start, index.end - index.start, -1)
        key = -length[positions]
    elif order == "largest":
        sizes = index.assessment.jobs["size"].to_numpy("float64", na_value=-1.0)
        key = -sizes[index.order[positions]]
    elif order == "failed":
        key = (index.outcome_codes[positions] != view.failure).astype(np.int8)
    else:
        key = index.appliance_codes[positions]
    ordered: Positions = positions[np.argsort(key, kind="stable")]
    return ordered

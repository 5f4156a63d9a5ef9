"""Table of the explorer: sorted, filtered and paged by the kernel, which sends only one page."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import ipywidgets
import numpy as np

from backupkit.display import render_container, render_paragraph
from backupkit.display.format import format_count
from backupkit.reports.columns import stream_csv
from backupkit.widgets import view_html
from backupkit.widgets.table_rows import TableOrder, TableRows, TableSource
from backupkit.widgets.turns import in_turn

__all__ = ["TableWidget", "read_orders", "set_orders"]

_MAX_COPIED: Final = 10_000
"""Maximum number of rows to copy at once."""


class TableWidget:
    """Table of a source, to be put into a page as `widget`.

    With anywidget, its headers sort, each column has a filter, and rows can be selected and copied.
    Without, it is plain.

    Parameters
    ----------
    label : str
        What the rows are, in the singular: "job".
    on_pick : callable
        Called with the name of a row that was picked.
    page_size : int
        Number of rows of a page.
    tools : sequence of Widget
        Shown before the buttons that turn the pages, if the headers do not sort.
    """

    def __init__(
        self,
        label: str,
        *,
        on_pick: Callable[[str], None],
        page_size: int,
        tools: Sequence[ipywidgets.Widget] = (),
    ) -> None:
        self._label, self._on_pick, self._page_size = label, on_pick, page_size
        self._order = TableOrder()
        self._rows: TableRows | None = None
        self._chosen: Collection[str] = ()
        self._page, self._number, self._is_picking = 0, 0, False
        narrow = ipywidgets.Layout(width="auto")
        self._previous = ipywidgets.Button(description="Previous", icon="arrow-left", layout=narrow)
        self._next = ipywidgets.Button(description="Next", icon="arrow-right", layout=narrow)
        self._previous.on_click(lambda _button: self._turn(-1))
        self._next.on_click(lambda _button: self._turn(1))
        self._count = ipywidgets.Label()
        self._table: Any
        try:
            from backupkit.widgets.table_page import (  # noqa: PLC0415 # anywidget may be missing
                TablePage,
            )
        except ImportError:
            self._table, self._is_live = ipywidgets.HTML(), False
        else:
            self._table, self._is_live = TablePage(label=f"Table of {label}s"), True
            self._table.on_msg(self._on_message)
        bar = [*(() if self._is_live else tools), self._previous, self._next, self._count]
        layout = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        self.widget = ipywidgets.VBox([ipywidgets.HBox(bar, layout=layout), self._table])

    @property
    def order(self) -> TableOrder:
        """Sort and filters; they can be set."""
        return self._order

    @order.setter
    def order(self, order: TableOrder) -> None:
        rows = None if self._rows is None else TableRows(self._rows.source, order)
        self._order, self._page, self._rows = order, 0, rows
        if rows is not None:
            self._draw()

    def show(
        self, source: TableSource, *, chosen: Collection[str], empty: str, turn_back: bool = False
    ) -> None:
        """Show a source; `chosen` are the names that are selected, `empty` says why it has no row.

        With `turn_back`, the first page is shown. Else the page with a chosen row is.
        """
        self._rows, self._chosen, self._empty = TableRows(source, self._order), chosen, empty
        if turn_back:
            self._page = 0
        elif chosen and not self._is_picking:
            self._turn_to_chosen()
        self._is_picking = False
        self._number += 1
        self._draw()

    def clear(self) -> None:
        """Remove the rows."""
        self._rows = None
        self._previous.disabled = self._next.disabled = True
        self._count.value = self._table.value = ""

    def _turn_to_chosen(self) -> None:
        rows = self._require_rows()
        names = np.array([rows.source.name_of(row) in self._chosen for row in rows.positions])
        places = np.flatnonzero(names) // self._page_size
        if len(places) and self._page not in places:
            self._page = int(places[0])

    @in_turn
    def _turn(self, pages: int) -> None:
        self._page += pages
        self._draw()

    def _require_rows(self) -> TableRows:
        assert self._rows is not None  # noqa: S101 # nothing is drawn before it is shown
        return self._rows

    def _draw(self) -> None:
        rows = self._require_rows()
        source, positions = rows.source, rows.positions
        pages = max(-(-len(positions) // self._page_size), 1)
        self._page = min(max(self._page, 0), pages - 1)
        first = self._page * self._page_size
        html = (
            view_html.render_table(
                source,
                positions[first : first + self._page_size],
                caption=self._describe_order(rows),
                chosen=self._chosen,
                is_clickable=self._is_live,
            )
            if source.size
            else render_paragraph(self._empty)
        )
        count = format_count(source.size, self._label)
        if len(positions) < source.size:
            count = f"{len(positions):,} of {count}"
        self._count.value = f"page {self._page + 1:,} of {pages:,}, {count}"
        self._previous.disabled = self._page == 0
        self._next.disabled = self._page == pages - 1
        if not self._is_live:
            self._table.value = render_container(html)
            return
        with self._table.hold_sync():
            self._table.head = self._describe_columns(rows) if source.size else []
            self._table.first, self._table.total = first, len(positions)
            self._table.number = self._number
            self._table.value = str(html)

    def _describe_order(self, rows: TableRows) -> str:
        titles = {column.title for column in rows.source.columns}
        names = [
            f"{name.removeprefix('-')}{' (largest first)' if name.startswith('-') else ''}"
            for name in rows.order.sort
            if name.removeprefix("-") in titles
        ]
        usual = rows.source.caption
        text = f"Sorted by {', then '.join(names)}; equal ones: {usual[:1].lower()}{usual[1:]}"
        return text if names else usual

    def _describe_columns(self, rows: TableRows) -> list[dict[str, Any]]:
        order = rows.order
        names = [name.removeprefix("-") for name in order.sort]
        return [
            {
                **column.describe(),
                "title": column.title,
                "wanted": order.where.get(column.title, ""),
                "error": rows.errors.get(column.title, ""),
                "place": names.index(column.title) + 1 if column.title in names else 0,
                "descending": f"-{column.title}" in order.sort,
            }
            for column in rows.source.columns
        ]

    @in_turn
    def _on_message(self, _widget: object, content: Mapping[str, Any], _buffers: object) -> None:
        kind, rows = content.get("kind"), self._rows
        if rows is None:
            return
        if kind == "pick" and 0 <= int(content["row"]) < rows.source.size:
            self._is_picking = True
            self._on_pick(rows.source.name_of(int(content["row"])))
        elif kind == "sort":
            self.order = self._order.toggle(str(content["title"]), add=bool(content["add"]))
        elif kind == "filter":
            self.order = self._order.filter(str(content["title"]), content["wanted"])
        elif kind == "clear":
            self.order = TableOrder()
        elif kind == "page":
            self._turn(int(content["step"]))
        elif kind == "copy":
            self._copy(rows.source, content["rows"])

    def _copy(self, source: TableSource, wanted: Sequence[int]) -> None:
        """Send rows as lines of cells with tabs between them; no cell is a formula."""
        chosen = np.array([row for row in wanted if 0 <= row < source.size], dtype=np.intp)
        chosen = chosen[:_MAX_COPIED]
        text = b"".join(stream_csv(source.frame(chosen), separator="\t")).decode()
        count = format_count(len(chosen), self._label)
        self._table.send({"kind": "copied", "text": text, "said": f"Copied {count}."})


def read_orders(tables: Mapping[str, TableWidget]) -> dict[str, dict[str, Any]]:
    """Return the sort and the filters of the tables that have some, by name."""
    orders = {name: table.order.format_arguments() for name, table in tables.items()}
    return {name: order for name, order in orders.items() if order}


def set_orders(tables: Mapping[str, TableWidget], orders: Mapping[str, Mapping[str, Any]]) -> None:
    """Set the sort and the filters of all tables; raise ValueError if there is no such table."""
    if unknown := sorted(set(orders) - set(tables)):
        raise ValueError(f'no such table: "{unknown[0]}"; there are: {", ".join(tables)}')
    for name, table in tables.items():
        table.order = TableOrder(**orders.get(name, {}))

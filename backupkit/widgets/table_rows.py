"""Rows of the explorer's tables: sorted by several columns, and filtered by each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd

from backupkit.display import Cell
from backupkit.errors import SettingsError
from backupkit.widgets.assessment_index import Flags, Positions
from backupkit.widgets.table_columns import TableColumn, Wanted

__all__ = ["TableOrder", "TableRows", "TableSource"]


class TableSource(Protocol):
    """Rows of a table in their usual order, with columns to sort and to filter them by."""

    @property
    def columns(self) -> Sequence[TableColumn]:
        """Columns, from the left."""

    titles: Sequence[str]
    """Titles of all columns that the table may have; some periods lack some of them."""

    size: int
    caption: str

    def list_cells(self, rows: Positions) -> Sequence[Sequence[Cell]]:
        """Return the cells of some rows, one for each column."""

    def name_of(self, row: int) -> str:
        """Return what a click on a row selects."""

    def frame(self, rows: Positions) -> pd.DataFrame:
        """Return some rows to copy."""


@dataclass(frozen=True)
class TableOrder:
    """Order and filters of a table.

    Attributes
    ----------
    sort : tuple of str
        Titles of columns, the most important first; with ``-`` before it, the largest first.
    where : mapping of str to str or tuple of str
        Filter of each column, by its title: a part of the text, a range, or values.

    Examples
    --------
    >>> order = TableOrder().toggle("Size", add=False).toggle("Start", add=True)
    >>> order.sort, order.toggle("Size", add=True).sort, order.toggle("Start", add=False).sort
    (('Size', 'Start'), ('-Size', 'Start'), ('Start',))
    """

    sort: tuple[str, ...] = ()
    where: Mapping[str, Wanted] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sort", tuple(self.sort))
        where = {
            title: wanted if isinstance(wanted, str) else tuple(wanted)
            for title, wanted in self.where.items()
            if wanted
        }
        object.__setattr__(self, "where", where)

    def toggle(self, title: str, *, add: bool) -> "TableOrder":
        """Sort by a column: smallest first, then largest first, then no more.

        With `add`, the other columns stay; else they are dropped.
        """
        steps = {title: f"-{title}", f"-{title}": ""}
        before = next((one for one in self.sort if one in steps), "")
        after = steps.get(before, title)
        if not add:
            after = after if len(self.sort) == 1 else title
            return replace(self, sort=(after,) if after else ())
        if before:
            sort = tuple(after if one == before else one for one in self.sort)
        else:
            sort = (*self.sort, after)
        return replace(self, sort=tuple(one for one in sort if one))

    def filter(self, title: str, wanted: Wanted) -> "TableOrder":
        """Filter a column; an empty text or list ends its filter."""
        return replace(self, where={**self.where, title: wanted})

    def format_arguments(self) -> dict[str, Any]:
        """Return the values that are not the usual ones, to restore them."""
        values = {"sort": self.sort, "where": dict(self.where)}
        return {name: value for name, value in values.items() if value}


class TableRows:
    """Rows of a source in an order; a filter that cannot be read is in `errors` by column.

    Raises ValueError if the order names a column that the source never has.
    """

    def __init__(self, source: TableSource, order: TableOrder) -> None:
        named = [*(name.removeprefix("-") for name in order.sort), *order.where]
        if unknown := [title for title in named if title not in source.titles]:
            raise ValueError(
                f'no such column: "{unknown[0]}"; there are: {", ".join(source.titles)}'
            )
        self.source, self.order = source, order
        self.errors: dict[str, str] = {}

    @cached_property
    def positions(self) -> Positions:
        """Rows of the source that match the filters, sorted; equal ones keep their usual order."""
        rows = np.flatnonzero(self._match_filters())
        columns = {column.title: column for column in self.source.columns}
        for name in reversed(self.order.sort):
            title = name.removeprefix("-")
            if title in columns:  # a table may lack a column for some periods
                ranks = columns[title].ranks[rows]
                # missing values are the last ones in both directions
                rows = rows[np.argsort(-ranks if name != title else ranks, kind="stable")]
        return rows

    def _match_filters(self) -> Flags:
        flags = np.ones(self.source.size, dtype=bool)
        for column in self.source.columns:
            wanted = self.order.where.get(column.title)
            if not wanted:
                continue
            try:
                flags &= column.find(wanted)
            except SettingsError as error:
                self.errors[column.title] = str(error)
        return flags

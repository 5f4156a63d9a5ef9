"""Rows of a table as plain values, for work that needs no frame: `Records`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any, Self

from backupkit.tables.contract import Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Records"]


@dataclass(frozen=True, slots=True)
class Records:
    """Rows of a table, column by column, without an index.

    The values are texts, aware datetimes, timedeltas, numbers, lists, and None where missing.

    Examples
    --------
    >>> from backupkit.tables import INTERVALS
    >>> records = Records.build(INTERVALS, {"appliance": ["vc-1"], "state": ["breach"]})
    >>> len(records), records["state"], records["start"]
    (1, ['breach'], [None])
    >>> records.frame()["state"].to_list()
    ['breach']
    """

    table: Table
    columns: Mapping[str, Sequence[Any]]

    @classmethod
    def build(cls, table: Table, columns: Mapping[str, Sequence[Any]]) -> Self:
        """Return the rows of columns with equal lengths; an absent column is all missing."""
        size = max((len(values) for values in columns.values()), default=0)
        missing = [None] * size
        return cls(table, {name: columns.get(name, missing) for name in table.names})

    @classmethod
    def from_frame(cls, table: Table, frame: "pd.DataFrame") -> Self:
        """Return the rows of a frame."""
        from backupkit.tables import conversion  # noqa: PLC0415 # loads pandas

        return cls(table, conversion.frame_to_values(table, frame))

    def __len__(self) -> int:
        return len(self.columns[self.table.names[0]])

    def __getitem__(self, name: str) -> Sequence[Any]:
        return self.columns[name]

    def rows(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """Return the values of some columns, row by row."""
        return zip(*(self.columns[name] for name in names), strict=True)

    def select(self, mask: Sequence[bool]) -> Self:
        """Return some of the rows."""
        columns = {name: list(compress(values, mask)) for name, values in self.columns.items()}
        return type(self)(self.table, columns)

    def extend(self, others: Self) -> Self:
        """Return these rows, followed by others of the same table."""
        columns = {name: [*values, *others[name]] for name, values in self.columns.items()}
        return type(self)(self.table, columns)

    def frame(self) -> "pd.DataFrame":
        """Return the rows as a frame."""
        return self.table.frame(self.columns)

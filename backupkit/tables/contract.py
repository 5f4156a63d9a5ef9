"""Contracts of tables: columns with name, kind, unit and meaning, and the check of a frame.

A contract itself needs no pandas: only what makes or reads frames loads it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backupkit.tables.kinds import (
    COUNT,
    FLAG,
    MESSAGE_LIST,
    NUMBER,
    SPAN,
    TEXT,
    TEXT_LIST,
    TIME,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "COUNT",
    "FLAG",
    "MESSAGE_LIST",
    "NUMBER",
    "SPAN",
    "TEXT",
    "TEXT_LIST",
    "TIME",
    "Column",
    "Table",
]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a frame: name, kind, meaning in one sentence, and unit.

    The unit is "" for a count, ratio or text.
    """

    name: str
    kind: str
    meaning: str
    unit: str = ""

    @property
    def dtype(self) -> Any:  # noqa: ANN401 # a name or an object
        """The pandas dtype."""
        from backupkit.tables.dtypes import DTYPES

        return DTYPES[self.kind]

    @property
    def arrow(self) -> "pa.DataType":
        """The Arrow type in an export, where durations are int64 [us]."""
        from backupkit.tables.dtypes import ARROW

        return ARROW[COUNT if self.kind == SPAN else self.kind]

    @property
    def in_memory(self) -> "pa.DataType":
        """The Arrow type of the values in memory."""
        from backupkit.tables.dtypes import ARROW

        return ARROW[self.kind]

    def load(self, stored: "pa.ChunkedArray") -> "pa.ChunkedArray":
        """Cast stored values to the type that `to_series` accepts; text becomes large_string."""
        from backupkit.tables import conversion

        return conversion.load(self, stored)

    def to_series(self, values: "pa.ChunkedArray") -> "pd.Series":
        """Convert Arrow values of type `in_memory` to a Series of `dtype`, reusing their memory."""
        from backupkit.tables import conversion

        return conversion.to_series(self, values)


@dataclass(frozen=True, slots=True)
class Table:
    """The contract of one frame: its name in error messages, and its columns in order.

    `index` is the name of the index column, "" for a range index.
    """

    name: str
    columns: tuple[Column, ...]
    index: str = ""

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    @property
    def names(self) -> list[str]:
        """The column names in order, including the index."""
        return [column.name for column in self.columns]

    def frame(self, values: "Mapping[str, Sequence[Any] | pd.Series]") -> "pd.DataFrame":
        """Build a frame from the values of its columns; an absent column is all missing.

        Raises `TableError` if a column is unknown, lengths differ, or values do not fit their
        dtype.

        Examples
        --------
        >>> from backupkit.tables import INTERVALS
        >>> INTERVALS.frame({"appliance": ["vc-1"], "state": ["breach"]}).dtypes["start"]
        datetime64[us, UTC]
        """
        from backupkit.tables import conversion

        return conversion.build_frame(self, values)

    def empty(self) -> "pd.DataFrame":
        """Return a frame without rows."""
        return self.frame({})

    def conform(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Convert a frame to this contract: set order and dtypes, add and drop columns.

        Raises `TableError` if the values of a column do not fit its dtype.
        """
        from backupkit.tables import conversion

        return conversion.conform_frame(self, frame)

    def check(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        """Check a frame, which may have more columns, and return it.

        Raises `TableError` if the index has another name, or a column is missing or has another
        dtype.
        """
        from backupkit.tables import conversion

        return conversion.check_frame(self, frame)

    @property
    def arrow_schema(self) -> "pa.Schema":
        """The Arrow schema of the columns, as stored on disk."""
        import pyarrow as pa

        return pa.schema([(column.name, column.arrow) for column in self.columns])

    def to_arrow(self, frame: "pd.DataFrame") -> "pa.Table":
        """Convert a frame of this contract to an Arrow table with `arrow_schema`."""
        from backupkit.tables import conversion

        return conversion.frame_to_arrow(self, frame)

    def from_arrow(self, table: "pa.Table") -> "pd.DataFrame":
        """Convert a stored Arrow table to a frame of this contract.

        Absent columns are all missing; large and view types are allowed. Do not use the table
        afterwards: the frame may share its memory.
        """
        from backupkit.tables import conversion

        return conversion.frame_from_arrow(self, table)

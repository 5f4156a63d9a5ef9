"""Contracts of tables: columns with name, dtype, unit and meaning, and the check of a frame."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from backupkit.errors import TableError

__all__ = [
    "COUNT",
    "FLAG",
    "MESSAGES",
    "NUMBER",
    "SPAN",
    "TEXT",
    "TEXTS",
    "TIME",
    "Column",
    "Table",
]

TEXT = "str"
TIME = "datetime64[us, UTC]"
SPAN = "timedelta64[us]"
COUNT = "Int64"
NUMBER = "Float64"
FLAG = "boolean"
MESSAGE_TYPE = pa.struct(
    [
        ("id", pa.string()),
        ("default_message", pa.string()),
        ("args", pa.list_(pa.string())),
        ("localized", pa.string()),
    ]
)
MESSAGES = pd.ArrowDtype(pa.list_(MESSAGE_TYPE))
TEXTS = pd.ArrowDtype(pa.list_(pa.string()))

_NO_TIME: Final = np.iinfo(np.int64).min
_ARROW: dict[Any, pa.DataType] = {
    TEXT: pa.string(),
    TIME: pa.timestamp("us", tz="UTC"),
    SPAN: pa.duration("us"),
    COUNT: pa.int64(),
    NUMBER: pa.float64(),
    FLAG: pa.bool_(),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a frame: name, pandas dtype, meaning in one sentence, and unit.

    The unit is "" for a count, ratio or text.
    """

    name: str
    dtype: str | pd.ArrowDtype
    meaning: str
    unit: str = ""

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type in an export, where durations are int64 [us]."""
        return pa.int64() if self.dtype == SPAN else self.in_memory

    @property
    def in_memory(self) -> pa.DataType:
        """The Arrow type of the values in memory."""
        return (
            self.dtype.pyarrow_dtype
            if isinstance(self.dtype, pd.ArrowDtype)
            else _ARROW[self.dtype]
        )

    def load(self, stored: pa.ChunkedArray) -> pa.ChunkedArray:
        """Cast stored values to the type that `to_series` accepts; text becomes large_string."""
        if self.dtype == TEXT:
            return stored.cast(pa.large_string())
        return stored.cast(self.arrow).cast(self.in_memory)

    def to_series(self, values: pa.ChunkedArray) -> pd.Series:
        """Convert Arrow values of type `in_memory` to a Series of `dtype`, reusing their memory."""
        array: Any
        if self.dtype in {TIME, SPAN}:
            stamps: Any = _to_numbers(values.cast(pa.int64()))
            if values.null_count:
                stamps[_find_missing(values)] = _NO_TIME
            array = pd.array(stamps, dtype=self.dtype, copy=False)
        elif self.dtype == COUNT:
            array = pd.arrays.IntegerArray(_to_numbers(values), _find_missing(values))
        elif self.dtype == NUMBER:
            array = pd.arrays.FloatingArray(_to_numbers(values), _find_missing(values))
        else:
            dtype: Any = pd.api.types.pandas_dtype(self.dtype)
            array = dtype.__from_arrow__(values)
        return pd.Series(array, copy=False)


def _to_numbers(values: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return numbers as a numpy array, without a copy if Arrow's buffer is writeable."""
    # combine_chunks copies even a single chunk
    chunk = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    dtype = values.type.to_pandas_dtype()
    if not len(chunk):
        return np.empty(0, dtype)
    numbers = np.frombuffer(chunk.buffers()[1], dtype, len(chunk), 8 * chunk.offset)
    return numbers if numbers.flags.writeable else numbers.copy()


def _find_missing(values: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    gaps: npt.NDArray[np.bool_] = values.is_null().to_numpy()
    return gaps


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

    def frame(self, values: Mapping[str, Sequence[Any] | pd.Series]) -> pd.DataFrame:
        """Build a frame from the values of its columns; an absent column is all missing.

        Raises `TableError` if a column is unknown, lengths differ, or values do not fit their
        dtype.

        Examples
        --------
        >>> from backupkit.tables import INTERVALS
        >>> INTERVALS.frame({"appliance": ["vc-1"], "state": ["breach"]}).dtypes["start"]
        datetime64[us, UTC]
        """
        if unknown := set(values) - set(self.names):
            raise TableError(f"{self.name}: unknown column {sorted(unknown)}; known: {self.names}.")
        length = max((len(column) for column in values.values()), default=0)
        data = {
            column.name: self._to_series(column, values[column.name])
            if column.name in values
            else column.to_series(pa.chunked_array([pa.nulls(length, column.in_memory)]))
            for column in self.columns
        }
        if short := [name for name, series in data.items() if len(series) != length]:
            raise TableError(f"{self.name}: expected {length} rows, got fewer in {short}.")
        frame = pd.DataFrame(data, index=pd.RangeIndex(length))
        return frame.set_index(self.index) if self.index else frame

    def empty(self) -> pd.DataFrame:
        """Return a frame without rows."""
        return self.frame({})

    def conform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Convert a frame to this contract: set order and dtypes, add and drop columns.

        Raises `TableError` if the values of a column do not fit its dtype.
        """
        flat = frame.reset_index() if self.index and frame.index.name == self.index else frame
        present = {name: flat[name].reset_index(drop=True) for name in self.names if name in flat}
        return self.frame(present)

    def check(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Check a frame, which may have more columns, and return it.

        Raises `TableError` if the index has another name, or a column is missing or has another
        dtype.
        """
        if self.index and frame.index.name != self.index:
            raise TableError(
                f"{self.name}: expected the index {self.index!r}, got {frame.index.name!r}."
            )
        for column in self.columns:
            if column.name == self.index:
                continue
            if column.name not in frame:
                raise TableError(f"{self.name}: the column {column.name!r} is missing.")
            got = frame[column.name].dtype
            if got != column.dtype:
                raise TableError(
                    f"{self.name}: the column {column.name!r} must be {column.dtype}, got {got}."
                )
        return frame

    @property
    def arrow_schema(self) -> pa.Schema:
        """The Arrow schema of the columns, as stored on disk."""
        return pa.schema([(column.name, column.arrow) for column in self.columns])

    def to_arrow(self, frame: pd.DataFrame) -> pa.Table:
        """Convert a frame of this contract to an Arrow table with `arrow_schema`."""
        columns = [
            pa.array(frame[column.name], type=column.in_memory).cast(column.arrow)
            for column in self.columns
        ]
        return pa.Table.from_arrays(columns, schema=self.arrow_schema)

    def from_arrow(self, table: pa.Table) -> pd.DataFrame:
        """Convert a stored Arrow table to a frame of this contract.

        Absent columns are all missing; large and view types are allowed. Do not use the table
        afterwards: the frame may share its memory.
        """
        absent = pa.chunked_array([pa.nulls(len(table))])
        series = {
            column.name: column.to_series(
                column.load(
                    table.column(column.name) if column.name in table.column_names else absent
                )
            )
            for column in self.columns
        }
        # no copy: nothing else refers to these Series
        frame = pd.DataFrame(series, index=pd.RangeIndex(len(table)), copy=False)
        return frame.set_index(self.index) if self.index else frame

    def _to_series(self, column: Column, values: Sequence[Any] | pd.Series) -> pd.Series:
        try:
            # by position, because a filtered Series keeps its old labels
            return pd.Series(values, dtype=column.dtype).reset_index(drop=True)
        except (TypeError, ValueError, NotImplementedError, OverflowError) as error:
            raise TableError(
                f"{self.name}: the values of {column.name!r} do not fit {column.dtype}: {error}."
            ) from error

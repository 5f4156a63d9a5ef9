"""Conversion of the rows of a table: from values to frames, and to Arrow and back."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from backupkit.errors import TableError
from backupkit.tables.dtypes import COUNT, NUMBER, SPAN, TEXT, TIME

if TYPE_CHECKING:
    from backupkit.tables.contract import Column, Table

__all__ = [
    "build_frame",
    "check_frame",
    "conform_frame",
    "frame_from_arrow",
    "frame_to_arrow",
    "frame_to_values",
    "load",
    "to_series",
]

_NO_TIME: Final = np.iinfo(np.int64).min


def load(column: "Column", stored: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cast stored values to the type that `to_series` accepts; text becomes large_string."""
    if column.dtype == TEXT:
        return stored.cast(pa.large_string())
    return stored.cast(column.arrow).cast(column.in_memory)


def to_series(column: "Column", values: pa.ChunkedArray) -> pd.Series:
    """Convert Arrow values to a Series of the column's dtype, reusing their memory."""
    array: Any
    if column.dtype in {TIME, SPAN}:
        stamps: Any = _to_numbers(values.cast(pa.int64()))
        if values.null_count:
            stamps[_find_missing(values)] = _NO_TIME
        array = pd.array(stamps, dtype=column.dtype, copy=False)
    elif column.dtype == COUNT:
        array = pd.arrays.IntegerArray(_to_numbers(values), _find_missing(values))
    elif column.dtype == NUMBER:
        array = pd.arrays.FloatingArray(_to_numbers(values), _find_missing(values))
    else:
        dtype: Any = pd.api.types.pandas_dtype(column.dtype)
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


def build_frame(table: "Table", values: Mapping[str, Sequence[Any] | pd.Series]) -> pd.DataFrame:
    """Build a frame from the values of its columns; see `Table.frame`."""
    if unknown := set(values) - set(table.names):
        raise TableError(f"{table.name}: unknown column {sorted(unknown)}; known: {table.names}.")
    length = max((len(column) for column in values.values()), default=0)
    data = {
        column.name: _convert(table, column, values[column.name])
        if column.name in values
        else to_series(column, pa.chunked_array([pa.nulls(length, column.in_memory)]))
        for column in table.columns
    }
    if short := [name for name, series in data.items() if len(series) != length]:
        raise TableError(f"{table.name}: expected {length} rows, got fewer in {short}.")
    frame = pd.DataFrame(data, index=pd.RangeIndex(length))
    return frame.set_index(table.index) if table.index else frame


def _convert(table: "Table", column: "Column", values: Sequence[Any] | pd.Series) -> pd.Series:
    try:
        series: pd.Series = pd.Series(values, dtype=column.dtype)
    except (TypeError, ValueError, NotImplementedError, OverflowError) as error:
        raise TableError(
            f"{table.name}: the values of {column.name!r} do not fit {column.dtype}: {error}."
        ) from error
    series.index = pd.RangeIndex(len(series))  # a filtered Series keeps its old labels
    return series


def conform_frame(table: "Table", frame: pd.DataFrame) -> pd.DataFrame:
    """Convert a frame to a contract; see `Table.conform`."""
    flat = frame.reset_index() if table.index and frame.index.name == table.index else frame
    present = {name: flat[name] for name in table.names if name in flat}
    return build_frame(table, present)


def check_frame(table: "Table", frame: pd.DataFrame) -> pd.DataFrame:
    """Check a frame, and return it; see `Table.check`."""
    if table.index and frame.index.name != table.index:
        raise TableError(
            f"{table.name}: expected the index {table.index!r}, got {frame.index.name!r}."
        )
    for column in table.columns:
        if column.name == table.index:
            continue
        if column.name not in frame:
            raise TableError(f"{table.name}: the column {column.name!r} is missing.")
        got = frame[column.name].dtype
        if got != column.dtype:
            raise TableError(
                f"{table.name}: the column {column.name!r} must be {column.dtype}, got {got}."
            )
    return frame


def frame_to_arrow(table: "Table", frame: pd.DataFrame) -> pa.Table:
    """Convert a frame to an Arrow table; see `Table.to_arrow`."""
    columns = [
        pa.array(frame[column.name], type=column.in_memory).cast(column.arrow)
        for column in table.columns
    ]
    return pa.Table.from_arrays(columns, schema=table.arrow_schema)


def frame_from_arrow(table: "Table", rows: pa.Table) -> pd.DataFrame:
    """Convert a stored Arrow table to a frame; see `Table.from_arrow`."""
    absent = pa.chunked_array([pa.nulls(len(rows))])
    series = {
        column.name: to_series(
            column,
            load(column, rows.column(column.name) if column.name in rows.column_names else absent),
        )
        for column in table.columns
    }
    # no copy: nothing else refers to these Series
    frame = pd.DataFrame(series, index=pd.RangeIndex(len(rows)), copy=False)
    return frame.set_index(table.index) if table.index else frame


def frame_to_values(table: "Table", frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the values of each column of a frame; see `Records`."""
    return {
        column.name: pa.array(frame[column.name], type=column.in_memory).to_pylist()
        for column in table.columns
    }

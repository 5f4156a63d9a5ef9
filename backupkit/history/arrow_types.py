"""Rows of a history as Arrow columns: the type of each kind of column."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

__all__ = ["ARROW_TYPES", "rows_to_arrow"]

ARROW_TYPES: Final = {
    "integer": pa.int64(),
    "real": pa.float64(),
    "text": pa.string(),
    "bytes": pa.binary(),
}


def rows_to_arrow(rows: Sequence[Sequence[Any]], types: Mapping[str, str]) -> pa.Table:
    """Return rows as Arrow columns of these types."""
    columns = list(zip(*rows, strict=True)) or [()] * len(types)
    arrays = [
        pa.array(c, ARROW_TYPES[kind]) for c, kind in zip(columns, types.values(), strict=True)
    ]
    return pa.table(arrays, names=list(types))

"""Types of the columns, in pandas and in Arrow."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import pandas as pd
import pyarrow as pa

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

__all__ = [
    "ARROW",
    "COUNT",
    "DTYPES",
    "FLAG",
    "MESSAGES",
    "NUMBER",
    "SPAN",
    "TEXT",
    "TEXTS",
    "TIME",
]

MESSAGES: Final = pd.ArrowDtype(
    pa.list_(
        pa.struct(
            [
                ("id", pa.string()),
                ("default_message", pa.string()),
                ("args", pa.list_(pa.string())),
                ("localized", pa.string()),
            ]
        )
    )
)
TEXTS: Final = pd.ArrowDtype(pa.list_(pa.string()))

DTYPES: Final[Mapping[str, Any]] = MappingProxyType(
    {
        **{kind: kind for kind in (TEXT, TIME, SPAN, COUNT, NUMBER, FLAG)},
        MESSAGE_LIST: MESSAGES,
        TEXT_LIST: TEXTS,
    }
)
"""The pandas dtype of each kind of column."""

ARROW: Final[Mapping[str, pa.DataType]] = MappingProxyType(
    {
        TEXT: pa.string(),
        TIME: pa.timestamp("us", tz="UTC"),
        SPAN: pa.duration("us"),
        COUNT: pa.int64(),
        NUMBER: pa.float64(),
        FLAG: pa.bool_(),
        MESSAGE_LIST: MESSAGES.pyarrow_dtype,
        TEXT_LIST: TEXTS.pyarrow_dtype,
    }
)
"""The Arrow type of each kind of column, in memory."""

"""Rows of a frame as dictionaries: reading each cell of a Series takes many times as long."""

from collections.abc import Hashable, Iterator
from typing import Any, Protocol

import pandas as pd

__all__ = ["Row", "iterate_rows"]


class Row(Protocol):
    """Row of a frame, value by column: a Series or a mapping."""

    def __getitem__(self, name: str, /) -> Any:  # noqa: ANN401 # columns have several types
        """Return the value of a column."""


def iterate_rows(frame: pd.DataFrame) -> Iterator[tuple[Hashable, dict[str, Any]]]:
    """Yield the label and the values of each row, by column; a missing value stays NA or NaT.

    Examples
    --------
    >>> frame = pd.DataFrame({"jobs": [2, 3]}, index=["vc-1", "vc-2"])
    >>> list(iterate_rows(frame))
    [('vc-1', {'jobs': 2}), ('vc-2', {'jobs': 3})]
    """
    columns = {str(name): frame[name].astype(object).tolist() for name in frame}
    for label, *values in zip(frame.index, *columns.values(), strict=True):
        yield label, dict(zip(columns, values, strict=True))

"""Columns of the explorer's tables: what a filter finds in them, and the order of a sort."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit.errors import SettingsError
from backupkit.settings import parse_duration, parse_instant
from backupkit.widgets.assessment_index import Flags

__all__ = ["NumberColumn", "TableColumn", "TextColumn", "Wanted"]

Numbers = npt.NDArray[np.float64]
Wanted = str | Sequence[str]
"""What a filter wants: a text, a range such as ``"2..5"``, or a list of values."""

_EXAMPLES: Final = {
    "number": "2..5",
    "share": "90..100",
    "size": "1 GiB..5 GiB",
    "duration": "30m..2h",
    "time": "2026-11-01..2026-11-08",
}
_SIZE: Final = re.compile(r"([\d.]+)\s*(?:([KMGT])(?:i?B)?|B)?", re.IGNORECASE)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_DAY: Final = 86_400.0
_MAX_OPTIONS: Final = 50
"""Maximum number of values to choose from."""


@dataclass(frozen=True)
class NumberColumn:
    """Column of numbers, filtered by a range.

    Attributes
    ----------
    title : str
        Title, as in `backupkit.display.table`.
    css : str
        CSS classes of its cells.
    kind : {"number", "share", "size", "duration", "time"}
        Unit of the values and of a range: none, %, bytes, s, or s since 1970 UTC.
    read : callable
        Returns the values of all rows; NaN where one is missing.

    Examples
    --------
    >>> column = NumberColumn("Took", "n", "duration", lambda: np.array([60.0, 7_200.0, np.nan]))
    >>> column.find("30m..").tolist(), column.find("..1h").tolist()
    ([False, True, False], [True, False, False])
    """

    title: str
    css: str
    kind: Literal["number", "share", "size", "duration", "time"]
    read: Callable[[], Numbers]

    @property
    def example(self) -> str:
        """Example of a range."""
        return _EXAMPLES[self.kind]

    @cached_property
    def ranks(self) -> Numbers:
        """Values by which rows are sorted."""
        return self.read()

    def find(self, wanted: Wanted) -> Flags:
        """Return a mask of the rows in a range: ``"2..5"``, ``"2.."``, ``"..5"`` or ``"2"``.

        Raises
        ------
        SettingsError
            If it is no range.
        """
        first, last = self._parse(str(wanted))
        flags: Flags = (self.ranks >= first) & (self.ranks <= last)
        return flags

    def describe(self) -> dict[str, Any]:
        """Return what the page must know of the filter."""
        return {"kind": "range", "example": self.example}

    def _parse(self, text: str) -> tuple[float, float]:
        lower, dots, upper = (part.strip() for part in text.partition(".."))
        if not dots:
            upper = lower
        try:
            first = self._parse_value(lower) if lower else -np.inf
            last = self._parse_value(upper) if upper else np.inf
        except (SettingsError, ValueError) as error:
            raise SettingsError(
                f'{self.title}: "{text}" is not a range; write from..to, for example '
                f"{self.example}, {self.example.partition('..')[0]}.. for all from there on."
            ) from error
        if self.kind == "time" and _DATE.fullmatch(upper):
            last = np.nextafter(last + _DAY, 0)  # the whole day
        return first, last

    def _parse_value(self, text: str) -> float:
        if self.kind == "time":
            return float(parse_instant(text, where=self.title, zone="UTC").timestamp())
        if self.kind == "duration":
            return parse_duration(text.replace(" ", ""), where=self.title).total_seconds()
        if self.kind == "size":
            match = _SIZE.fullmatch(text)
            if match is None:
                raise ValueError(text)
            return float(match[1]) * 1024.0 ** (" KMGT".index((match[2] or " ").upper()))
        return float(text.rstrip(" %").replace(",", ""))


@dataclass(frozen=True)
class TextColumn:
    """Column of texts, filtered by a text or by a choice of values; case is ignored.

    Attributes
    ----------
    title : str
        Title, as in `backupkit.display.table`.
    css : str
        CSS classes of its cells.
    read : callable
        Returns the code of each row, and the text of each code; -1 is a missing text.
    options : mapping of str to str
        Label of each value to choose from; without it, a filter is a part of the text.
    search : callable, optional
        Returns a mask of the rows that contain a text; by default `read` is searched.

    Examples
    --------
    >>> column = TextColumn("Type", "", lambda: (np.array([1, 0, -1]), pd.Index(["b", "A"])))
    >>> column.find("a").tolist(), column.ranks.tolist()
    ([True, False, False], [0.0, 1.0, nan])
    """

    title: str
    css: str
    read: Callable[[], tuple[npt.NDArray[Any], pd.Index]]
    options: tuple[tuple[str, str], ...] = ()
    search: Callable[[str], Flags] | None = None

    @cached_property
    def _encoded(self) -> tuple[npt.NDArray[Any], pd.Index]:
        return self.read()

    @cached_property
    def ranks(self) -> Numbers:
        """Values by which rows are sorted: the alphabetical order, or that of the options."""
        codes, texts = self._encoded
        if self.options:
            order = pd.Index([value for value, _ in self.options]).get_indexer(texts)
        else:
            lower = pc.utf8_lower(pa.array(texts, pa.large_string()))
            order = pc.rank(lower, tiebreaker="dense").to_numpy() - 1
        ranks: Numbers = np.append(order.astype("float64"), np.nan)[codes]
        return ranks

    def find(self, wanted: Wanted) -> Flags:
        """Return a mask of the rows that contain a text or have one of some values."""
        if isinstance(wanted, str) and self.search is not None:
            return self.search(wanted)
        codes, texts = self._encoded
        if isinstance(wanted, str):
            found = pc.match_substring(
                pa.array(texts, pa.large_string()), wanted, ignore_case=True
            ).to_numpy(zero_copy_only=False)
        else:
            found = texts.isin(list(wanted))
        flags: Flags = np.append(np.asarray(found, dtype=bool), [False])[codes]
        return flags

    def describe(self) -> dict[str, Any]:
        """Return what the page must know of the filter."""
        if not self.options:
            return {"kind": "text"}
        return {"kind": "choice", "options": [list(option) for option in self.options]}


TableColumn = NumberColumn | TextColumn

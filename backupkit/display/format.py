"""Formatting of numbers, times and untrusted text, for pages, notebooks and messages."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import pandas as pd
from pandas.api.typing import NaTType, NAType

from backupkit.texts import mask_user

__all__ = [
    "FILTERS",
    "NO_DATA",
    "STATE_LABELS",
    "Ratio",
    "Size",
    "format_count",
    "format_day",
    "format_duration",
    "format_exactly",
    "format_number",
    "format_relative",
    "format_timestamp",
    "sanitise",
    "time_ratio",
]

NO_DATA: Final = "no data"

STATE_LABELS = MappingProxyType(
    {
        "compliant": "● Compliant",
        "breach": "✕ Breach",
        "unknown": "? Unknown",
        "excluded": "- Excluded",
        "unobserved": "○ Not observed",
    }
)
"""Symbol and label of each appliance state."""

_LONG_TEXT: Final = 1_000  # characters; a shorter limit is for a name or a remark
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
_DAYS_FROM_SECONDS = 72 * 3_600
_NO_DECIMALS_FROM = 1_000  # from here on, numbers have no decimals


def format_number(value: float | NAType) -> str:
    """Format a number: one decimal if it is below 1,000 and not whole, else none.

    Examples
    --------
    >>> format_number(12345.0), format_number(70.666), format_number(float("nan"))
    ('12,345', '70.7', 'no data')
    """
    if pd.isna(value):
        return NO_DATA
    no_decimals = float(value).is_integer() or value >= _NO_DECIMALS_FROM
    return f"{value:,.0f}" if no_decimals else f"{value:,.1f}"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Fraction and its unit; NA, or a denominator of 0, means no data.

    A value below 1, or below `target`, is not shown as if it had reached it.

    Examples
    --------
    >>> print(Ratio(6, 9), Ratio(1, 2000), Ratio(0, 0), sep=", ")
    66.7 % (6 of 9), < 0.1 % (1 of 2,000), no data
    >>> print(Ratio(6, 9, "slots"))
    66.7 % (6 of 9 runs)
    >>> print(Ratio(5882.7, 5883, "h"))
    99.9 % (5,882.7 of 5,883.0 h)
    >>> print(Ratio(9496, 10_000), Ratio(9496, 10_000, target=0.95), sep=", ")
    95.0 % (9,496 of 10,000), 94.9 % (9,496 of 10,000)
    """

    numerator: float | NAType
    denominator: float | NAType
    unit: str = ""
    target: float = 1.0

    @property
    def value(self) -> float:
        """Value of the fraction; NaN without data."""
        return math.nan if self._terms is None else self._terms[0] / self._terms[1]

    @property
    def percent(self) -> str:
        """Percentage with one decimal, rounded down where it would reach 100 % or the target."""
        if self._terms is None:
            return NO_DATA
        numerator, denominator = self._terms
        value = 1000 * numerator / denominator
        tenths = round(value)
        if any(value < 1000 * limit <= tenths for limit in (1, self.target)):
            tenths = math.floor(value)
        return "< 0.1 %" if tenths == 0 and numerator > 0 else f"{tenths / 10:.1f} %"

    @property
    def unit_label(self) -> str:
        """Unit in the words of a page, on which a slot is an expected run."""
        return "runs" if self.unit == "slots" else self.unit

    @property
    def fraction(self) -> str:
        """Numerator, denominator and unit; "" without data."""
        if self._terms is None:
            return ""
        numerator, denominator = self._terms
        texts = format_number(numerator), format_number(denominator)
        if texts[0] == texts[1] and numerator != denominator:  # do not hide a missing part
            texts = f"{numerator:,.1f}", f"{denominator:,.1f}"
        return f"{' of '.join(texts)} {self.unit_label}".rstrip()

    @property
    def _terms(self) -> tuple[float, float] | None:
        if pd.isna(self.numerator) or pd.isna(self.denominator) or self.denominator == 0:
            return None
        return float(self.numerator), float(self.denominator)

    def __str__(self) -> str:
        return f"{self.percent} ({self.fraction})" if self.fraction else self.percent


def time_ratio(part: pd.Timedelta | NaTType, total: pd.Timedelta | NaTType) -> Ratio:
    """Return the ratio of two durations [h].

    Examples
    --------
    >>> print(time_ratio(pd.Timedelta(hours=6), pd.Timedelta(days=1)))
    25.0 % (6 of 24 h)
    """
    hours = [math.nan if pd.isna(time) else time.total_seconds() / 3600 for time in (part, total)]
    return Ratio(hours[0], hours[1], "h")


@dataclass(frozen=True, slots=True)
class Size:
    """Number of bytes, which may be NA; as text with a binary unit.

    Examples
    --------
    >>> print(Size(6_442_450_944), Size(pd.NA), sep=", ")
    6.0 GiB, no data
    """

    count: float | NAType

    def __str__(self) -> str:
        if pd.isna(self.count):
            return NO_DATA
        value = float(self.count)
        for unit in ("B", "KiB", "MiB", "GiB"):
            if value < 1024:  # noqa: PLR2004 # a KiB has 1024 bytes
                return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
            value /= 1024
        return f"{value:,.1f} TiB"


def format_count(count: int, noun: str) -> str:
    """Format a number with its noun, which takes an "s" in the plural.

    Examples
    --------
    >>> format_count(1, "job"), format_count(1200, "job")
    ('1 job', '1,200 jobs')
    """
    return f"{count:,} {noun}{'s' if count != 1 else ''}"


def format_duration(duration: timedelta | NaTType) -> str:
    """Format a duration with its two largest units; days are used from 72 h.

    Examples
    --------
    >>> format_duration(pd.Timedelta("29h 20min")), format_duration(pd.NaT)
    ('29 h 20 min', 'no data')
    >>> format_duration(pd.Timedelta("42s"))
    '42 s'
    """
    if pd.isna(duration):
        return NO_DATA
    seconds = round(abs(duration.total_seconds()))
    sign = "-" if duration < timedelta(0) else ""
    if seconds < 60:  # noqa: PLR2004 # a minute has 60 seconds
        return f"{sign}{seconds} s"
    parts: list[str] = []
    for length, unit in _UNITS if seconds >= _DAYS_FROM_SECONDS else _UNITS[1:]:
        count, seconds = divmod(seconds, length)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return sign + " ".join(part for part in parts[:2] if part)


def format_exactly(duration: timedelta) -> str:
    """Format a duration completely; days are used from 72 h, as in `format_duration`.

    Examples
    --------
    >>> format_exactly(timedelta(hours=96, seconds=42)), format_exactly(timedelta(hours=26))
    ('4 d 42 s', '26 h')
    """
    seconds = duration.total_seconds()
    parts: list[str] = []
    for length, unit in _UNITS if seconds >= _DAYS_FROM_SECONDS else _UNITS[1:]:
        count, seconds = divmod(seconds, length)
        parts += [f"{count:.0f} {unit}"] if count else []
    parts += [f"{seconds:g} s"] if seconds else []
    return " ".join(parts) or "0 h"


def format_timestamp(time: pd.Timestamp | NaTType, zone: str = "") -> str:
    """Format a time to the minute, followed by the name of its zone.

    Examples
    --------
    >>> format_timestamp(pd.Timestamp("2026-11-08T01:05:33Z"), "UTC"), format_timestamp(pd.NaT)
    ('2026-11-08 01:05 UTC', 'no data')
    """
    return NO_DATA if pd.isna(time) else f"{time:%Y-%m-%d %H:%M} {zone}".rstrip()


def format_relative(time: pd.Timestamp | NaTType, now: pd.Timestamp) -> str:
    """Format a time relative to `now`; "" if it is missing.

    Examples
    --------
    >>> now = pd.Timestamp("2026-11-09T00:00Z")
    >>> format_relative(pd.Timestamp("2026-11-08T01:05Z"), now), format_relative(pd.NaT, now)
    ('22 h 55 min ago', '')
    """
    if pd.isna(time):
        return ""
    if time > now:
        return f"in {format_duration(time - now)}"
    return f"{format_duration(now - time)} ago"


def format_day(time: pd.Timestamp) -> str:
    """Format a date without its year.

    Examples
    --------
    >>> format_day(pd.Timestamp("2026-11-05T00:00Z"))
    '5 Nov'
    """
    return f"{time.day} {time:%b}"


def sanitise(text: object, *, limit: int = 2000) -> str:
    """Sanitise untrusted text: no control characters, no user in a URI, limited length.

    Any type but str becomes "". A cut text ends with an ellipsis, or with a note that names the
    full source.

    Examples
    --------
    >>> sanitise("sftp://joe:secret@target/vc failed")
    'sftp://***@target/vc failed'
    """
    if not isinstance(text, str):
        return ""
    clean = mask_user(_CONTROL.sub(" ", text[: limit + 200])).strip()
    if len(text) <= limit:
        return clean
    if limit < _LONG_TEXT:
        return f"{clean[:limit].rstrip()}…"
    return f"{clean[:limit]} ... (cut; {len(text):,} characters in the .jobs.csv file)"


FILTERS: Final[Mapping[str, Callable[..., str]]] = MappingProxyType(
    {
        "count": format_count,
        "day": format_day,
        "duration": format_duration,
        "number": format_number,
        "relative": format_relative,
        "time": format_timestamp,
    }
)
"""Filters of the templates, by name."""

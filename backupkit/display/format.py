"""Formatting of numbers, times and untrusted text."""

import math
import re
from types import MappingProxyType
from typing import Final

import pandas as pd
from pandas.api.typing import NaTType, NAType

__all__ = [
    "NO_DATA",
    "STATE_LABELS",
    "day",
    "format_duration",
    "format_number",
    "format_relative",
    "format_timestamp",
    "hours",
    "ratio",
    "sanitise",
    "size",
    "without_user",
]

NO_DATA = "no data"

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

_USER_INFO = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_LONG_TEXT: Final = 1_000  # characters; a shorter limit is for a name or a remark
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
_DAYS_FROM = 72 * 3_600
_LARGE = 1_000  # from here on, numbers have no decimals


def format_number(value: float) -> str:
    """Format a number: one decimal if it is below 1,000 and not whole, else none.

    Examples
    --------
    >>> format_number(12345.0), format_number(70.666)
    ('12,345', '70.7')
    """
    no_decimals = float(value).is_integer() or value >= _LARGE
    return f"{value:,.0f}" if no_decimals else f"{value:,.1f}"


def ratio(numerator: float | NAType, denominator: float | NAType, unit: str = "") -> str:
    """Format a percentage with its fraction, rounded down to a tenth.

    Parameters
    ----------
    numerator, denominator : float or NA
        The fraction. NA, or a denominator of 0, means no data.
    unit : str
        Unit of both.

    Returns
    -------
    str
        "100.0 %" only if the fraction is at least 1, "0.0 %" only if it is 0.

    Examples
    --------
    >>> ratio(196, 200), ratio(1999, 2000), ratio(1, 2000), ratio(0, 0)
    ('98.0 % (196/200)', '99.9 % (1,999/2,000)', '< 0.1 % (1/2,000)', 'no data')
    >>> ratio(5882.7, 5883, "h")
    '99.9 % (5,882.7/5,883.0 h)'
    """
    if pd.isna(numerator) or pd.isna(denominator) or denominator == 0:
        return NO_DATA
    # the addend corrects rounding errors just below a tenth, such as 0.29 * 1000
    tenths = math.floor(1000 * numerator / denominator + 1e-9)
    percent = "< 0.1" if tenths == 0 and numerator > 0 else f"{tenths / 10:.1f}"
    terms = format_number(numerator), format_number(denominator)
    if terms[0] == terms[1] and numerator != denominator:  # rounding must not hide a missing part
        terms = f"{numerator:,.1f}", f"{denominator:,.1f}"
    fraction = "/".join(terms)
    return f"{percent} % ({fraction}{' ' + unit if unit else ''})"


def format_duration(duration: pd.Timedelta | NaTType) -> str:
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
    sign = "-" if duration < pd.Timedelta(0) else ""
    if seconds < 60:  # noqa: PLR2004 # a minute has 60 seconds
        return f"{sign}{seconds} s"
    parts: list[str] = []
    units = _UNITS if seconds >= _DAYS_FROM else _UNITS[1:]
    for length, unit in units:
        count, seconds = divmod(seconds, length)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return sign + " ".join(part for part in parts[:2] if part)


def hours(duration: pd.Timedelta | NaTType) -> float:
    """Return a duration [h]; NaN if it is missing."""
    return math.nan if pd.isna(duration) else duration.total_seconds() / 3600


def format_timestamp(time: pd.Timestamp | NaTType) -> str:
    """Format a time to the minute, without its zone.

    Examples
    --------
    >>> format_timestamp(pd.Timestamp("2026-11-08T01:05:33Z")), format_timestamp(pd.NaT)
    ('2026-11-08 01:05', 'no data')
    """
    return NO_DATA if pd.isna(time) else f"{time:%Y-%m-%d %H:%M}"


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


def day(time: pd.Timestamp) -> str:
    """Format a date without its year.

    Examples
    --------
    >>> day(pd.Timestamp("2026-11-05T00:00Z"))
    '5 Nov'
    """
    return f"{time.day} {time:%b}"


def size(count: int | NAType) -> str:
    """Format a size [bytes] with a binary unit.

    Examples
    --------
    >>> size(6_442_450_944), size(pd.NA)
    ('6.0 GiB', 'no data')
    """
    if pd.isna(count):
        return NO_DATA
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004 # a KiB has 1024 bytes
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"


def without_user(text: str) -> str:
    """Mask user and password in the URIs of a text.

    Examples
    --------
    >>> without_user("no route to ftp://joe:secret@target/vc")
    'no route to ftp://***@target/vc'
    """
    return _USER_INFO.sub("***", text) if "://" in text else text


def sanitise(text: object, *, limit: int = 2000) -> str:
    """Sanitise untrusted text: no control characters, no user in a URI, limited length.

    Parameters
    ----------
    text : object
        A text; any other type becomes "".
    limit : int
        Number of characters to keep at most.

    Returns
    -------
    str
        The text. A cut text ends with an ellipsis, or with a note that names the full source.

    Examples
    --------
    >>> sanitise("sftp://joe:secret@target/vc failed")
    'sftp://***@target/vc failed'
    """
    if not isinstance(text, str):
        return ""
    clean = without_user(_CONTROL.sub(" ", text[: limit + 200])).strip()
    if len(text) <= limit:
        return clean
    if limit < _LONG_TEXT:
        return f"{clean[:limit].rstrip()}…"
    return f"{clean[:limit]} ... (cut; {len(text):,} characters in the .jobs.csv file)"

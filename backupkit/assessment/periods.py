"""Calendar periods in the report's time zone: months, quarters, and their names."""

import re
from datetime import datetime, time
from typing import Final
from zoneinfo import ZoneInfo

import pandas as pd

from backupkit.display.format import format_timestamp
from backupkit.errors import SettingsError

__all__ = ["describe_period", "parse_month", "parse_quarter", "previous_period"]

_MONTH: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_QUARTER: Final = re.compile(r"(\d{4})-?Q([1-4])", re.IGNORECASE)
_LAST: Final = "last"
_MONTHS_OF_QUARTER: Final = 3
_MONTHS_OF_YEAR: Final = 12
_UTC: Final = frozenset({"UTC", "Etc/UTC"})

Span = tuple[pd.Timestamp, pd.Timestamp]


def parse_month(text: str, *, zone: str, now: pd.Timestamp) -> Span:
    """Return start and end of a month [UTC].

    Parameters
    ----------
    text : str
        The month as ``2026-03``; ``last`` is the newest month that is over.
    zone : str
        IANA time zone in which the month begins and ends.
    now : Timestamp
        The time of the assessment [UTC].

    Raises
    ------
    SettingsError
        If the text is no month.

    Examples
    --------
    >>> now = pd.Timestamp("2026-11-09", tz="UTC")
    >>> start, end = parse_month("2026-03", zone="Europe/Berlin", now=now)
    >>> str(start), str(end)
    ('2026-02-28 23:00:00+00:00', '2026-03-31 22:00:00+00:00')
    """
    if text == _LAST:
        return _last_span(now, zone, months=1)
    if match := _MONTH.fullmatch(text):
        return _calendar_span(int(match[1]), int(match[2]), zone, months=1)
    raise SettingsError(f'month: "{text}" is no month; for example: 2026-03, or {_LAST}.')


def parse_quarter(text: str, *, zone: str, now: pd.Timestamp) -> Span:
    """Return start and end of a quarter [UTC].

    Parameters
    ----------
    text : str
        The quarter as ``2026-Q1``; ``last`` is the newest quarter that is over.
    zone, now : str and Timestamp
        As in `parse_month`.

    Raises
    ------
    SettingsError
        If the text is no quarter.

    Examples
    --------
    >>> now = pd.Timestamp("2026-11-09", tz="UTC")
    >>> [str(time.date()) for time in parse_quarter("last", zone="Etc/UTC", now=now)]
    ['2026-07-01', '2026-10-01']
    """
    if text == _LAST:
        return _last_span(now, zone, months=_MONTHS_OF_QUARTER)
    if match := _QUARTER.fullmatch(text):
        first = (int(match[2]) - 1) * _MONTHS_OF_QUARTER + 1
        return _calendar_span(int(match[1]), first, zone, months=_MONTHS_OF_QUARTER)
    raise SettingsError(f'quarter: "{text}" is no quarter; for example: 2026-Q1, or {_LAST}.')


def previous_period(start: pd.Timestamp, end: pd.Timestamp, zone: str) -> Span:
    """Return the period before: the calendar months before, or the same length of time.

    Examples
    --------
    >>> march = parse_month("2026-03", zone="Etc/UTC", now=pd.Timestamp("2026-11-09", tz="UTC"))
    >>> [str(time.date()) for time in previous_period(*march, "Etc/UTC")]
    ['2026-02-01', '2026-03-01']
    >>> week = [pd.Timestamp(text, tz="UTC") for text in ("2026-11-02", "2026-11-09")]
    >>> [str(time.date()) for time in previous_period(*week, "Etc/UTC")]
    ['2026-10-26', '2026-11-02']
    """
    months = _count_months(start, end, zone)
    if not months:
        return start - (end - start), start
    local = start.tz_convert(zone)
    return _calendar_span(local.year, local.month - months, zone, months=months)


def describe_period(start: pd.Timestamp, end: pd.Timestamp, zone: str) -> str:
    """Return the name of a period, with its time zone.

    Examples
    --------
    >>> week = [pd.Timestamp(text, tz="UTC") for text in ("2026-11-02", "2026-11-09")]
    >>> describe_period(*week, "Etc/UTC")
    '2026-11-02 to 2026-11-09 00:00 UTC'
    >>> now = pd.Timestamp("2026-11-09", tz="UTC")
    >>> describe_period(*parse_month("2026-03", zone="Europe/Berlin", now=now), "Europe/Berlin")
    'March 2026, Europe/Berlin'
    >>> describe_period(*parse_quarter("2026-Q1", zone="Etc/UTC", now=now), "Etc/UTC")
    'January to March 2026, UTC'
    """
    label = "UTC" if zone in _UTC else zone
    first, last = start.tz_convert(zone), end.tz_convert(zone)
    if months := _count_months(start, end, zone):
        final = (last - pd.Timedelta(1, "us")).strftime("%B %Y")
        same_year = first.year == (last - pd.Timedelta(1, "us")).year
        begin = first.strftime("%B" if same_year else "%B %Y")
        return f"{final}, {label}" if months == 1 else f"{begin} to {final}, {label}"
    begin = f"{first:%Y-%m-%d}" if first.time() == time(0) else format_timestamp(first)
    return f"{begin} to {format_timestamp(last)} {label}"


def _count_months(start: pd.Timestamp, end: pd.Timestamp, zone: str) -> int:
    """Return the number of whole calendar months of a period; 0 if it has others."""
    first, last = start.tz_convert(zone), end.tz_convert(zone)
    months = (last.year - first.year) * _MONTHS_OF_YEAR + last.month - first.month
    exact = _calendar_span(first.year, first.month, zone, months=months)
    return months if months > 0 and exact == (start, end) else 0


def _last_span(now: pd.Timestamp, zone: str, *, months: int) -> Span:
    """Return the newest span of some months that is over."""
    local = now.tz_convert(zone)
    first = (local.month - 1) // months * months + 1
    return _calendar_span(local.year, first - months, zone, months=months)


def _calendar_span(year: int, month: int, zone: str, *, months: int) -> Span:
    """Return the span of some months; a month below 1 is in an earlier year."""
    return _midnight(year, month, zone), _midnight(year, month + months, zone)


def _midnight(year: int, month: int, zone: str) -> pd.Timestamp:
    """Return the instant at which a month begins in a zone [UTC]."""
    years, index = divmod(month - 1, _MONTHS_OF_YEAR)
    try:
        local = datetime(year + years, index + 1, 1, tzinfo=ZoneInfo(zone))
        return pd.Timestamp(local).tz_convert("UTC").as_unit("us")
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"The year {year} is out of range.") from error

"""Values of the SLA's parameters: times of day, backup window, schedule, and kinds of values."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final, Self

import pandas as pd

from backupkit.display.format import format_exactly
from backupkit.errors import SettingsError
from backupkit.settings import parse_duration, parse_instant, time_zone
from backupkit.tables import WEEKDAYS

__all__ = [
    "COUNT",
    "DURATION",
    "FLAG",
    "NAMES",
    "PLAN",
    "POSITIVE_DURATION",
    "SHARE",
    "TIME_OF_DAY",
    "TIME_ZONE",
    "WINDOW",
    "Kind",
    "Plan",
    "Window",
    "build_word_kind",
    "parse_moment",
]

_TIME_PATTERN: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_DAY: Final = timedelta(days=1)


def parse_moment(value: object, *, where: str) -> pd.Timestamp:
    """Parse a time with a zone, or a date (its midnight UTC), as TOML or a person writes it.

    Examples
    --------
    >>> parse_moment("2026-11-01", where='"valid_from"')
    Timestamp('2026-11-01 00:00:00+0000', tz='UTC')
    """
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip()):
        value = f"{value.strip()}T00:00:00Z"
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = f"{value.isoformat()}T00:00:00Z"
    if not isinstance(value, (str, datetime)):
        raise SettingsError(
            f"{where} must be a time, got {value!r}; for example: 2026-11-01T00:00:00Z."
        )
    return parse_instant(value, where=where)


def _parse_time_of_day(value: object) -> timedelta:
    """Return the time since midnight."""
    if isinstance(value, timedelta) and timedelta(0) <= value < _DAY:
        return value
    if isinstance(value, time):  # TOML has a type for times
        value = f"{value:%H:%M}"
    match = _TIME_PATTERN.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(value)
    return timedelta(hours=int(match[1]), minutes=int(match[2]))


@dataclass(frozen=True, slots=True)
class Window:
    """The hours in which backups may run, in the appliance's own time zone.

    Attributes
    ----------
    start : timedelta
        When it opens [time since midnight].
    length : timedelta
        How long it is open, more than 0 and at most a day.

    Examples
    --------
    >>> print(Window.parse("22:00-06:00"))
    22:00-06:00
    """

    start: timedelta
    length: timedelta

    @classmethod
    def parse(cls, value: object) -> Self:
        """Parse ``22:00-06:00``; an end not after the start is on the next day."""
        if isinstance(value, cls):
            return value
        start, end = map(_parse_time_of_day, str(value).split("-"))
        return cls(start, end - start if end > start else end - start + _DAY)

    def __str__(self) -> str:
        return f"{_format_clock(self.start)}-{_format_clock((self.start + self.length) % _DAY)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The schedule of appliances whose API does not report one (6.5).

    Attributes
    ----------
    start : timedelta
        The start [time since midnight], in the appliance's own time zone.
    days : tuple of str
        ``MONDAY`` to ``SUNDAY``; empty means every day.

    Examples
    --------
    >>> print(Plan.parse({"time": "01:00", "days": ["saturday", "sunday"]}))
    01:00 SATURDAY SUNDAY
    """

    start: timedelta
    days: tuple[str, ...] = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Parse ``"01:00"`` or ``{ time = "01:00", days = ["SUNDAY"] }``."""
        if isinstance(value, cls):
            return value
        table = {"time": value} if isinstance(value, str | time) else value
        if not isinstance(table, dict) or not {"time"} <= set(table) <= {"time", "days"}:
            raise ValueError(value)
        days = table.get("days", [])
        named = {str(day).upper() for day in days} if isinstance(days, list) else {days}
        if not named <= set(WEEKDAYS):
            raise ValueError(value)
        return cls(_parse_time_of_day(table["time"]), tuple(d for d in WEEKDAYS if d in named))

    def __str__(self) -> str:
        return " ".join([_format_clock(self.start), *self.days])


def _format_clock(since_midnight: timedelta) -> str:
    """Format a time of day as ``HH:MM``."""
    hours, minutes = divmod(int(since_midnight.total_seconds()) // 60, 60)
    return f"{hours:02}:{minutes:02}"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The values that some parameters have in common.

    Attributes
    ----------
    must_be : str
        Which values are valid, for error messages and the documentation.
    accepts : str
        Python types, for the documentation.
    parse : callable
        Converts a value; raises an error if it is not valid.
    format : callable
        Formats a converted value for people.
    json : str
        Type in JSON. A duration is a number of seconds.
    dtype : str
        Of the column in `Policy.rules`; "" if that has none.
    """

    must_be: str
    accepts: str
    parse: Callable[[Any], Any]
    format: Callable[[Any], str] = str
    json: str = "string"
    dtype: str = ""


def build_word_kind(texts: Mapping[str, str]) -> Kind:
    """Return the kind of a word, given the text of each valid word."""

    def parse(value: object) -> object:
        if value in texts:
            return value
        raise ValueError(value)

    return Kind(
        must_be=f"one of {', '.join(texts)}",
        accepts=f"{{{json.dumps([*texts])[1:-1]}}}",
        parse=parse,
        format=texts.__getitem__,
        dtype="str",
    )


def _parse_duration(value: object) -> timedelta:
    span = parse_duration(value, where="") if isinstance(value, str) else value
    if isinstance(span, timedelta) and span >= timedelta(0):
        return timedelta(days=span.days, seconds=span.seconds, microseconds=span.microseconds)
    raise ValueError(value)


def _parse_positive_duration(value: object) -> timedelta:
    if span := _parse_duration(value):
        return span
    raise ValueError(value)


def _parse_share(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    raise ValueError(value)


def _parse_count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise ValueError(value)


def _parse_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(value)


def _format_flag(flag: object) -> str:
    return "yes" if flag else "no"


def _parse_names(value: object) -> tuple[str, ...]:
    if isinstance(value, Iterable) and not isinstance(value, str):
        names = tuple(value)
        if all(isinstance(name, str) for name in names):
            return names
    raise ValueError(value)


def _parse_time_zone(value: object) -> str:
    if isinstance(value, str):
        return time_zone(value, where="").key
    raise ValueError(value)


def _format_share(share: float) -> str:
    return f"{share:.6%}".rstrip("%").rstrip("0").rstrip(".") + " %"


DURATION: Final = Kind(
    must_be="a duration of 0 or longer",
    accepts="str or timedelta",
    parse=_parse_duration,
    format=format_exactly,
    json="number",
    dtype="timedelta64[us]",
)
POSITIVE_DURATION: Final = replace(
    DURATION, must_be="a duration longer than 0", parse=_parse_positive_duration
)
TIME_OF_DAY: Final = replace(
    DURATION, must_be="a time of day", parse=_parse_time_of_day, format=_format_clock
)
SHARE: Final = Kind(
    must_be="a number above 0 and at most 1",
    accepts="float",
    parse=_parse_share,
    format=_format_share,
    json="number",
    dtype="float64",
)
TIME_ZONE: Final = Kind(
    must_be="a time zone of the IANA list", accepts="str", parse=_parse_time_zone
)
FLAG: Final = Kind(
    must_be="true or false",
    accepts="bool",
    parse=_parse_flag,
    format=_format_flag,
    json="boolean",
    dtype="bool",
)
COUNT: Final = Kind(
    must_be="an integer of 1 or more",
    accepts="int",
    parse=_parse_count,
    json="integer",
    dtype="Int64",
)
NAMES: Final = Kind(
    must_be="a list of names",
    accepts="iterable of str",
    parse=_parse_names,
    format=", ".join,
    json="array",
    dtype="object",
)
WINDOW: Final = Kind(must_be="two times of day", accepts="str or Window", parse=Window.parse)
PLAN: Final = Kind(
    must_be="a time of day, or a table of a time and days (MONDAY to SUNDAY)",
    accepts="str, mapping or Plan",
    parse=Plan.parse,
)

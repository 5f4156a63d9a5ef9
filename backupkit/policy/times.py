"""Times of day in a policy: backup window, schedule and start of the backup day."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final, Self

import pandas as pd

from backupkit.errors import SettingsError
from backupkit.settings import parse_instant
from backupkit.tables import WEEKDAYS

__all__ = ["Plan", "Window", "moment_of", "parse_time_of_day"]

_CLOCK: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_DAY: Final = timedelta(days=1)


def parse_time_of_day(value: object, *, where: str, example: str) -> timedelta:
    """Parse a time of day such as ``22:30``.

    Parameters
    ----------
    value : object
        Hour and minute on the 24-hour clock.
    where, example : str
        The name of the setting and a valid entry, for the error message.

    Returns
    -------
    timedelta
        The time since midnight.

    Raises
    ------
    SettingsError
        If the value is not a time of day.

    Examples
    --------
    >>> parse_time_of_day("22:30", where='"backup_day"', example='backup_day = "12:00"')
    datetime.timedelta(seconds=81000)
    """
    if isinstance(value, time):  # TOML has a type for times
        value = f"{value:%H:%M}"
    match = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise SettingsError(
            f"{where} must be a time of the day, got {value!r}; for example: {example}"
        )
    return timedelta(hours=int(match[1]), minutes=int(match[2]))


def moment_of(value: object, *, where: str) -> pd.Timestamp:
    """Parse a time with a zone, or a date, as in fleet.toml.

    Parameters
    ----------
    value : object
        The value in the file.
    where : str
        The name of the setting, for the error message.

    Returns
    -------
    Timestamp
        The moment [UTC]. A date means midnight UTC.

    Raises
    ------
    SettingsError
        If the value is not a time, or is a time without a zone.

    Examples
    --------
    >>> moment_of("2026-11-01", where='"valid_from"')
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
        """Parse ``22:00-06:00``; an end not after the start is on the next day.

        Raises
        ------
        SettingsError
            If the value is not a window.
        """
        example = 'window = "22:00-06:00"'
        if not isinstance(value, str) or value.count("-") != 1:
            raise SettingsError(
                f'"window" must be two times of the day, got {value!r}; for example: {example}'
            )
        start, end = (
            parse_time_of_day(part, where='"window"', example=example) for part in value.split("-")
        )
        return cls(start, end - start if end > start else end - start + _DAY)

    def __str__(self) -> str:
        return f"{_clock(self.start)}-{_clock((self.start + self.length) % _DAY)}"


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
    def parse(cls, value: Any) -> Self:  # noqa: ANN401 # what a person wrote
        """Parse ``"01:00"`` or ``{ time = "01:00", days = ["SUNDAY"] }``.

        Raises
        ------
        SettingsError
            If the value is neither.
        """
        example = 'schedule = "01:00" or { time = "01:00", days = ["SUNDAY"] }'
        table = {"time": value} if isinstance(value, (str, time)) else value
        if not isinstance(table, dict) or not {"time"} <= set(table) <= {"time", "days"}:
            raise SettingsError(f'"schedule" must be a time, got {value!r}; for example: {example}')
        values = table.get("days", [])
        days = [str(day).upper() for day in values] if isinstance(values, list) else [str(values)]
        if wrong := sorted(set(days) - set(WEEKDAYS)):
            raise SettingsError(
                f'"schedule": "{wrong[0]}" is not one of {", ".join(WEEKDAYS)}; '
                f"for example: {example}"
            )
        start = parse_time_of_day(table["time"], where='"schedule"', example=example)
        return cls(start, tuple(day for day in WEEKDAYS if day in days))

    def __str__(self) -> str:
        return " ".join([_clock(self.start), *self.days])


def _clock(since_midnight: timedelta) -> str:
    hours, minutes = divmod(int(since_midnight.total_seconds()) // 60, 60)
    return f"{hours:02}:{minutes:02}"

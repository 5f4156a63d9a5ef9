"""Validators of policy parameters; each error shows an example of a valid value."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from backupkit.errors import SettingsError
from backupkit.policy.times import parse_time_of_day
from backupkit.settings import parse_duration

__all__ = [
    "EXAMPLES",
    "count",
    "duration",
    "fraction",
    "names",
    "one_of",
    "optional_duration",
    "time_of_day",
]

EXAMPLES: Final = {
    "rpo": 'rpo = "24h"',
    "grace": 'grace = "2h"',
    "early": 'early = "1h"',
    "late": 'late = "1h"',
    "completion": 'completion = "4h"',
    "anchor": 'anchor = "start" (or "end")',
    "target": "target = 0.99",
    "staleness": 'staleness = "6h"',
    "unknown_mode": 'unknown_mode = "strict" (or "evidence")',
    "window": 'window = "22:00-06:00"',
    "window_tolerance": 'window_tolerance = "5m"',
    "duration_limit": 'duration_limit = "4h"',
    "lookback": 'lookback = "7d"',
    "backup_day": 'backup_day = "12:00"',
    "retention": "retention = 14",
    "parts": 'parts = ["common", "seat"]',
    "schedule": 'schedule = "01:00" or { time = "01:00", days = ["SUNDAY"] }',
}
"""A valid entry for each parameter, as written in fleet.toml."""


def duration(name: str, value: str | timedelta, *, above_zero: bool = False) -> timedelta:
    """Parse a duration of 0 or longer."""
    span = value if isinstance(value, timedelta) else _parse(name, value)
    if span < timedelta(0) or (above_zero and not span):
        bound = "longer than 0" if above_zero else "0 or longer"
        raise SettingsError(f'"{name}" must be {bound}, got {value}; for example: {EXAMPLES[name]}')
    return timedelta(days=span.days, seconds=span.seconds, microseconds=span.microseconds)


def _parse(name: str, value: object) -> timedelta:
    if not isinstance(value, str):
        raise SettingsError(
            f'"{name}" must be a duration, got {value!r}; for example: {EXAMPLES[name]}'
        )
    return parse_duration(value, where=f'"{name}"')


def optional_duration(
    name: str, value: str | timedelta | None, *, above_zero: bool = False
) -> timedelta | None:
    """Parse a duration that may be None."""
    return None if value is None else duration(name, value, above_zero=above_zero)


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    """Check that a value is allowed, and return it."""
    if value not in allowed:
        raise SettingsError(
            f'"{name}" must be one of {", ".join(allowed)}, got "{value}"; '
            f"for example: {EXAMPLES[name]}"
        )
    return value


def fraction(name: str, value: float) -> float:
    """Check that a share is above 0 and at most 1, and return it."""
    if not 0 < value <= 1:
        raise SettingsError(
            f'"{name}" must be above 0 and at most 1, got {value}; for example: {EXAMPLES[name]}'
        )
    return float(value)


def time_of_day(name: str, value: str | timedelta) -> timedelta:
    """Parse a time of day."""
    if isinstance(value, timedelta) and timedelta(0) <= value < timedelta(days=1):
        return value
    return parse_time_of_day(value, where=f'"{name}"', example=EXAMPLES[name])


def count(name: str, value: object) -> int | None:
    """Check that a value is None or an integer of 1 or more, and return it."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingsError(
            f'"{name}" must be a number of 1 or more, got {value!r}; for example: {EXAMPLES[name]}'
        )
    return value


def names(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """Check a list of names, and return it as a tuple."""
    if isinstance(values, str):
        raise SettingsError(
            f'"{name}" must be a list of names, got {values!r}; for example: {EXAMPLES[name]}'
        )
    return tuple(values)

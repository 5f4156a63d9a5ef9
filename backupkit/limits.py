"""Time limits and concurrency of a collection, as in the table [limits] of fleet.toml."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

from backupkit.errors import SettingsError
from backupkit.settings import parse_duration, unknown_key

__all__ = ["APPLIANCE_LIMITS", "FLEET_LIMITS", "Limits", "parse_limits"]

_EXAMPLES: Final = {
    "connect": 'connect = "10s"',
    "read": 'read = "30s"',
    "silence": 'silence = "75s"',
    "response": 'response = "2m"',
    "poll": 'poll = "5m"',
    "deadline": 'deadline = "15m"',
    "attempts": "attempts = 4",
    "concurrency": "concurrency = 64",
    "per_appliance": "per_appliance = 4",
}
"""Keys of [limits], each with an example."""

MAX_COUNT: Final = 10_000
"""Maximum of a count in [limits]."""

_COUNTS: Final = frozenset({"attempts", "concurrency", "per_appliance"})

FLEET_LIMITS: Final = tuple(_EXAMPLES)
"""Limits that [limits] can set."""

APPLIANCE_LIMITS: Final = tuple(
    name for name in _EXAMPLES if name not in {"deadline", "concurrency"}
)
"""Limits that one appliance can have of its own; the others are of the whole collection."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts, number of attempts, and concurrency of a collection.

    Attributes
    ----------
    connect : float
        Timeout for opening a connection [s].
    read : float
        Timeout for the first bytes of a response, and for the next ones [s].
    silence : float
        Total time that one poll waits for bytes that do not come [s]. So the poll of a silent
        appliance ends soon, and that of a slow one does not.
    response : float
        Total time for one response [s].
    poll : float
        Time for the whole poll of one appliance, with all its requests and waits [s].
    deadline : float
        Time for the whole collection [s]; `Snapshot.errors` lists appliances not read in time.
    body : int
        Maximum size of a response [bytes]; VMware documents 7 MB for its API.
    attempts : int
        Maximum attempts per request; only retryable errors are retried.
    backoff : float
        Upper bound of the first back-off [s]; it doubles with each further attempt.
    concurrency : int
        Maximum concurrent requests, over all appliances. A request that has got no byte for 5 s
        does not count any more, so that silent appliances do not hold up the others.
    per_appliance : int
        Maximum concurrent requests on one appliance.

    Raises
    ------
    SettingsError
        If a value is not above 0.

    Examples
    --------
    >>> Limits(deadline=120).deadline
    120
    >>> Limits(concurrency=0)
    Traceback (most recent call last):
        ...
    backupkit.errors.SettingsError: limits: concurrency must be above 0, got 0.
    """

    connect: float = 10.0
    read: float = 30.0
    silence: float = 75.0
    response: float = 120.0
    poll: float = 300.0
    deadline: float = 900.0
    body: int = 64 * 2**20
    attempts: int = 4
    backoff: float = 0.5
    concurrency: int = 64
    per_appliance: int = 4

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if not value > 0:
                raise SettingsError(f"limits: {name} must be above 0, got {value}.")

    def override(self, own: Mapping[str, float | int]) -> Self:
        """Return the limits of an appliance that has some of its own.

        Examples
        --------
        >>> Limits(poll=60).override({"read": 5.0}).poll
        60
        """
        return replace(self, **own) if own else self  # type: ignore[arg-type] # counts are whole numbers


def parse_limits(
    table: Mapping[str, Any], *, where: str, known: tuple[str, ...] = FLEET_LIMITS
) -> dict[str, float | int]:
    """Parse a table of limits: durations in seconds, and counts.

    Examples
    --------
    >>> parse_limits({"poll": "1m30s", "attempts": 2}, where="fleet.toml, [limits]")
    {'poll': 90.0, 'attempts': 2}
    >>> parse_limits({"polls": "1m"}, where="[limits]")
    Traceback (most recent call last):
        ...
    backupkit.errors.SettingsError: [limits]: unknown key "polls"; did you mean "poll"?
    """
    return {name: _parse_limit(name, entry, where, known) for name, entry in table.items()}


def _parse_limit(name: str, entry: object, where: str, known: tuple[str, ...]) -> float | int:
    if name not in known:
        raise SettingsError(f"{where}: {unknown_key(name, list(known))}")
    if name in _COUNTS:
        if isinstance(entry, int) and not isinstance(entry, bool) and 0 < entry <= MAX_COUNT:
            return entry
        what = f"a whole number from 1 to {MAX_COUNT}"
    else:
        if isinstance(entry, str):
            seconds = parse_duration(entry, where=f"{where}: {name}").total_seconds()
            if seconds > 0:
                return seconds
        what = "a duration above 0"
    raise SettingsError(f'{where}: "{name}" must be {what}; for example: {_EXAMPLES[name]}')

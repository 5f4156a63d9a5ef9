"""Timeouts, retries and concurrency of a collection."""

from dataclasses import dataclass, fields

from backupkit.errors import SettingsError

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts, number of attempts, and concurrency.

    Attributes
    ----------
    connect : float
        Timeout for opening a connection [s].
    read : float
        Timeout for the next bytes of a response [s].
    answer : float
        Total time for one response [s].
    deadline : float
        Time for the whole collection [s]; `Snapshot.errors` lists appliances not read in time.
    body : int
        Maximum size of a response [bytes]; VMware documents 7 MB for its API.
    tries : int
        Maximum attempts per request; only retryable errors are retried.
    backoff : float
        Upper bound of the first back-off [s]; it doubles with each further attempt.
    concurrency : int
        Maximum concurrent requests, over all appliances.
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
    read: float = 60.0
    answer: float = 300.0
    deadline: float = 900.0
    body: int = 64 * 2**20
    tries: int = 4
    backoff: float = 0.5
    concurrency: int = 64
    per_appliance: int = 4

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if not value > 0:
                raise SettingsError(f"limits: {name} must be above 0, got {value}.")

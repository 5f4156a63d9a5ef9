"""Retries of the requests of one session."""

import random
import threading
from typing import Final

from backupkit.errors import ApplianceError, BusyError
from backupkit.limits import Limits

__all__ = ["Retries"]

MAX_BACKOFF: Final = 20.0
"""Maximum back-off, not counting the appliance's Retry-After [s]."""

BUSY_FACTOR: Final = 4.0
"""Factor on the back-off of a busy appliance: sessions are not freed within a second."""

INITIAL_BUDGET: Final = 10.0
"""Retries available at the start, and the maximum of the budget."""

BUDGET_PER_SUCCESS: Final = 0.1
"""Retries earned per successful response: enough if one request in ten fails."""


class Retries:
    """Retry budget of one session; thread-safe.

    A session starts with a few retries and earns more with successful responses. So retries for
    an appliance that keeps failing end soon, and add little load.

    References
    ----------
    .. [1] Exponential backoff with full jitter: the wait is drawn between 0 and a bound that
       doubles each time, so that many clients do not retry at the same moment.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._budget = INITIAL_BUDGET
        self._lock = threading.Lock()
        self._random = random.Random()  # noqa: S311 # jitter, no security

    def record_success(self) -> None:
        """Add to the budget after a successful response."""
        # no lock: a race loses only 0.1 retry
        self._budget = min(INITIAL_BUDGET, self._budget + BUDGET_PER_SUCCESS)

    def backoff(self, error: ApplianceError, *, attempts: int, time_left: float) -> float | None:
        """Return the wait before the next attempt [s]; None without a retry.

        There is none if the error is not retryable, attempts or budget are used up, or the wait
        would pass the deadline. `time_left` is the time until then [s].

        Examples
        --------
        >>> retries = Retries(Limits(attempts=2))
        >>> retries.backoff(BusyError("", retry_after=7), attempts=1, time_left=60) >= 7
        True
        >>> retries.backoff(BusyError("", retry_after=70), attempts=1, time_left=60) is None
        True
        >>> retries.backoff(BusyError(""), attempts=2, time_left=60) is None
        True
        """
        if not error.retryable or attempts >= self._limits.attempts:
            return None
        bound = self._limits.backoff * 2 ** (attempts - 1)
        if isinstance(error, BusyError):
            bound *= BUSY_FACTOR
        backoff = (error.retry_after or 0.0) + self._random.uniform(0, min(bound, MAX_BACKOFF))
        if backoff >= time_left:
            return None
        with self._lock:
            if self._budget < 1:
                return None
            self._budget -= 1
        return backoff

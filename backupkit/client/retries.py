"""When a request that failed is sent again, and after how long."""

import random
import threading
from typing import Final

from backupkit.client.limits import Limits
from backupkit.errors import ApplianceError, BusyError

__all__ = ["Retries"]

LONGEST: Final = 20.0
"""The longest wait that is our own choice [s]."""

BUSY: Final = 4.0
"""How much longer to leave a busy appliance alone: sessions are not freed within a second."""

START: Final = 10.0
"""Retries that one visit may spend at once."""

EARNED: Final = 0.1
"""What each good answer adds: an appliance that fails one request in ten is still read whole."""


class Retries:
    """The retry budget of one visit; safe to share between threads.

    A visit starts with a few retries and earns more by good answers, so that an appliance that
    fails for good is given up soon, and its trouble is not made worse.

    Parameters
    ----------
    limits : Limits
        Its `tries` and `backoff` count here.

    References
    ----------
    .. [1] Exponential backoff with full jitter: the wait is drawn between 0 and a bound that
       doubles each time, so that many clients do not come back at the same moment.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = START
        self._lock = threading.Lock()
        self._draw = random.Random()  # noqa: S311 # spreads load, guards nothing

    def succeeded(self) -> None:
        """Count a good answer."""
        self._left = min(START, self._left + EARNED)  # a lost race costs a tenth of a retry

    def wait(self, error: ApplianceError, *, tried: int, left: float) -> float | None:
        """Say how long to wait before the next try.

        Parameters
        ----------
        error : ApplianceError
            How the request failed.
        tried : int
            How often it was sent already.
        left : float
            What is left of the round [s].

        Returns
        -------
        float or None
            Seconds; None if it is not worth another try: the fault is no passing one, the tries or
            the budget are used up, or the appliance wants to be left alone beyond the round's end.

        Examples
        --------
        >>> retries = Retries(Limits(tries=2))
        >>> retries.wait(BusyError("", retry_after=7), tried=1, left=60) >= 7
        True
        >>> retries.wait(BusyError("", retry_after=70), tried=1, left=60) is None
        True
        >>> retries.wait(BusyError(""), tried=2, left=60) is None
        True
        """
        if not error.retryable or tried >= self._limits.tries:
            return None
        bound = self._limits.backoff * 2 ** (tried - 1)
        if isinstance(error, BusyError):
            bound *= BUSY
        wait = (error.retry_after or 0.0) + self._draw.uniform(0, min(bound, LONGEST))
        if wait >= left:
            return None
        with self._lock:
            if self._left < 1:
                return None
            self._left -= 1
        return wait

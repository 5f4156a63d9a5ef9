"""Adaptive concurrency of this process.

Threads mostly wait for appliances, but share one processor; too many slow each other down. So work
starts with few threads, and adds more while the processor idles. Slow responses raise the
concurrency quickly, fast responses hardly at all.
"""

from collections.abc import Callable
from time import perf_counter, process_time
from typing import Final

__all__ = ["SAMPLE_INTERVAL", "ConcurrencyControl"]

SAMPLE_INTERVAL: Final = 0.004
"""Minimum time between two measurements of the processor load [s]."""

BUSY_SHARE: Final = 0.6
"""Share of one processor from which the process counts as busy."""

FORCED_GROWTH_INTERVAL: Final = 1.0
"""Time after which the concurrency is raised even if the processor is busy [s]."""


class ConcurrencyControl:
    """Monitor of the processor load of this process; thread-safe.

    Parameters
    ----------
    wall, used : callable, optional
        Return the time, and the processor time of this process [s]; default: the system's.

    Examples
    --------
    >>> time, work = iter([0.0, 0.1, 0.2]), iter([0.0, 0.1, 0.12])
    >>> control = ConcurrencyControl(time.__next__, work.__next__)
    >>> control.may_grow(), control.may_grow()  # it worked all the time, then a fifth of it
    (False, True)
    """

    def __init__(
        self, wall: Callable[[], float] = perf_counter, used: Callable[[], float] = process_time
    ) -> None:
        self._wall, self._used = wall, used
        self._last_sample = wall(), used()
        self._last_growth = self._last_sample[0]
        self._may_grow = False

    def may_grow(self) -> bool:
        """Return whether more concurrency may help, by the load since the last measurement."""
        began, used = self._last_sample
        now = self._wall()
        if now - began >= SAMPLE_INTERVAL:
            self._last_sample = now, self._used()
            idle = self._last_sample[1] - used < BUSY_SHARE * (now - began)
            self._may_grow = idle or now - self._last_growth >= FORCED_GROWTH_INTERVAL
            if self._may_grow:
                self._last_growth = now
        return self._may_grow

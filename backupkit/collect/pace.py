"""Adaptive concurrency of this process.

Threads mostly wait for appliances, but share one processor; too many slow each other down. So work
starts with few threads, and adds more while the processor idles. Slow responses raise the
concurrency quickly, fast responses hardly at all.
"""

from collections.abc import Callable
from time import perf_counter, process_time
from typing import Final

__all__ = ["LOOK", "Pace"]

LOOK: Final = 0.004
"""Minimum time between two measurements of the processor load [s]."""

BUSY: Final = 0.6
"""Share of one processor from which the process counts as busy."""

ANYWAY: Final = 1.0
"""Time after which the concurrency is raised even if the processor is busy [s]."""


class Pace:
    """Monitor of the processor load of this process; thread-safe.

    Parameters
    ----------
    wall, used : callable, optional
        Return the time, and the processor time of this process [s]; default: the system's.

    Examples
    --------
    >>> time, work = iter([0.0, 0.1, 0.2]), iter([0.0, 0.1, 0.12])
    >>> pace = Pace(time.__next__, work.__next__)
    >>> pace.more(), pace.more()  # it worked all the time, then a fifth of it
    (False, True)
    """

    def __init__(
        self, wall: Callable[[], float] = perf_counter, used: Callable[[], float] = process_time
    ) -> None:
        self._wall, self._used = wall, used
        self._seen = wall(), used()
        self._widened = self._seen[0]
        self._more = False

    def more(self) -> bool:
        """Return whether more concurrency may help, by the load since the last measurement."""
        began, used = self._seen
        now = self._wall()
        if now - began >= LOOK:
            self._seen = now, self._used()
            idle = self._seen[1] - used < BUSY * (now - began)
            self._more = idle or now - self._widened >= ANYWAY
            if self._more:
                self._widened = now
        return self._more

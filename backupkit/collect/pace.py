"""Whether this process should do more at once.

Threads wait for appliances; while they do not, they take turns on one processor, and more of them
than it has time for slow each other down. So work starts narrow and widens while the processor
idles: soon where answers take their time, hardly where they come as fast as they are read.
"""

from collections.abc import Callable
from time import perf_counter, process_time
from typing import Final

__all__ = ["LOOK", "Pace"]

LOOK: Final = 0.004
"""How long the processor is watched before it is judged [s]."""

BUSY: Final = 0.6
"""Share of one processor with which a process has enough to do."""

ANYWAY: Final = 1.0
"""How often more is tried although the processor is busy, maybe with something else [s]."""


class Pace:
    """Watches how busy this process is; safe to share between threads.

    Parameters
    ----------
    wall, used : callable, optional
        The time, and the processor time that this process has used [s]; by default the machine's.

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
        """Tell whether more at once may help, as seen since the last time it was asked."""
        began, used = self._seen
        now = self._wall()
        if now - began >= LOOK:
            self._seen = now, self._used()
            idle = self._seen[1] - used < BUSY * (now - began)
            self._more = idle or now - self._widened >= ANYWAY
            if self._more:
                self._widened = now
        return self._more

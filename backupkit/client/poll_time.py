"""Time limits of the poll of one appliance: `PollTime`."""

import threading
import time

from backupkit.errors import DeadlineError, StoppedError, UnreachableError
from backupkit.limits import Limits

__all__ = ["PollTime"]


class PollTime:
    """Time left for one poll, and for the collection; thread-safe.

    Parameters
    ----------
    host : str
        Address of the appliance, for errors.
    limits : Limits
        Time of a poll, and of its silence.
    deadline : float, optional
        By the monotonic clock [s]; default: `limits.deadline` from now.
    stop : Event, optional
        Ends the work once set.

    Attributes
    ----------
    silence_left : float
        Time for which the poll may still wait for bytes that do not come [s].

    Examples
    --------
    >>> 299 < PollTime("vc-1.test", Limits()).left <= 300
    True
    """

    def __init__(
        self,
        host: str,
        limits: Limits,
        *,
        deadline: float | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self._host, self._limits = host, limits
        self._deadline = time.monotonic() + limits.deadline if deadline is None else deadline
        self.stop = stop or threading.Event()
        self._lock = threading.Lock()
        self.begin()

    def begin(self) -> None:
        """Grant the time of one poll from now on."""
        self._end = time.monotonic() + self._limits.poll
        self.silence_left = self._limits.silence

    def extend(self, seconds: float) -> None:
        """Grant some time also after the deadline or a stop."""
        self._deadline, self.stop = time.monotonic() + seconds, threading.Event()
        self.begin()

    @property
    def end(self) -> float:
        """End of this poll by the monotonic clock [s]."""
        return min(self._deadline, self._end)

    @property
    def left(self) -> float:
        """Time left for this poll [s]."""
        return self.end - time.monotonic()

    def spend_silence(self, seconds: float) -> None:
        """Subtract a time without bytes [s]."""
        with self._lock:
            self.silence_left -= seconds

    def check(self, what: str) -> None:
        """Raise if the collection was stopped, or the time has passed, before reading `what`."""
        if self.stop.is_set():
            raise StoppedError(f"the collection was stopped before reading {what}")
        if self.left <= 0:
            if self._deadline <= self._end:
                raise DeadlineError(f"the deadline of the collection passed before reading {what}")
            raise DeadlineError(
                f"the poll took longer than {self._limits.poll:g} s, and ended before reading "
                f"{what}",
                advice="Allow more time (poll in fleet.toml, or --poll), or check why the "
                "appliance responds slowly.",
            )
        if self.silence_left <= 0:
            raise UnreachableError(
                f"{self._host} was silent for {self._limits.silence:g} s in all, without a "
                f"response to {what}",
                advice="Check whether the appliance is on and not overloaded.",
            )

"""Sockets that wait no longer than the request at hand may, and that can be told to stop.

A read time-out alone never ends an answer that drips byte by byte, and never ends at Ctrl-C.
"""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

__all__ = ["PatientSocket", "lingering", "patience"]

T = TypeVar("T")

TICK: Final = 0.25
"""How long a wait goes on before it looks whether it should stop [s]."""


class _Patience(threading.local):
    """How long the request of this thread may take; for ever, where nobody said otherwise."""

    read: float = float("inf")
    due: float = float("inf")
    stop: threading.Event | None = None
    linger: float = 0.0


_patience = _Patience()


@contextmanager
def patience(*, read: float, due: float, stop: threading.Event | None) -> Iterator[None]:
    """Bound what is read in this thread.

    Parameters
    ----------
    read : float
        How long to wait for the next bytes [s].
    due : float
        When all must be read, by the monotonic clock [s].
    stop : Event or None
        Ends any wait once it is set.
    """
    _patience.read, _patience.due, _patience.stop = read, due, stop
    try:
        yield
    finally:
        del _patience.read, _patience.due, _patience.stop


@contextmanager
def lingering(seconds: float) -> Iterator[None]:
    """Let this thread wait for the next answer a while longer when it is told to stop.

    Parameters
    ----------
    seconds : float
        How long [s].
    """
    _patience.linger = seconds
    try:
        yield
    finally:
        del _patience.linger


class PatientSocket(ssl.SSLSocket):
    """A TLS socket whose every wait keeps to the `patience` of the thread that reads."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 # as ssl has it
        """Agree on keys, within the time-out that is set.

        Raises
        ------
        TimeoutError
            If that took longer.
        ConnectionAbortedError
            If the wait was stopped.
        """
        timeout = self.gettimeout()
        span = float("inf") if timeout is None else timeout
        self._in_ticks(partial(super().do_handshake, block), span=span, linger=0.0)
        self.settimeout(timeout)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 # as ssl has it
        """Read some bytes.

        Raises
        ------
        TimeoutError
            If none came in time.
        ConnectionAbortedError
            If the wait was stopped.
        """
        action = partial(super().recv_into, *args, **kwargs)
        return self._in_ticks(action, span=_patience.read, linger=_patience.linger)

    def _in_ticks(self, action: Callable[[], T], *, span: float, linger: float) -> T:
        """Wait for something to be done, and look in between whether to stop."""
        now = monotonic()
        until = now + span
        while now < (end := min(until, _patience.due)):
            if _patience.stop is not None and _patience.stop.is_set():
                if not linger:
                    raise ConnectionAbortedError("stopped")
                _patience.due, _patience.stop = min(_patience.due, now + linger), None
                continue
            self.settimeout(min(TICK, end - now))
            try:
                return action()
            except TimeoutError:
                now = monotonic()
        raise TimeoutError("nothing was read in time")

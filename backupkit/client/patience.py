"""Sockets that wait no longer than the request at hand may, and that can be told to stop.

A read time-out alone never ends an answer that drips byte by byte, and never ends at Ctrl-C.
"""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

__all__ = ["PatientSocket", "patience"]

TICK: Final = 0.25
"""How long a wait goes on before it looks whether it should stop [s]."""


class _Patience(threading.local):
    """How long the request of this thread may take; for ever, where nobody said otherwise."""

    read: float = float("inf")
    due: float = float("inf")
    stop: threading.Event | None = None


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


class PatientSocket(ssl.SSLSocket):
    """A TLS socket whose every wait keeps to the `patience` of the thread that reads."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # noqa: ANN401 # as ssl has it
        """Read some bytes.

        Raises
        ------
        TimeoutError
            If none came in time.
        ConnectionAbortedError
            If the wait was stopped.
        """
        now = monotonic()
        until, stop = min(now + _patience.read, _patience.due), _patience.stop
        while now < until:
            if stop is not None and stop.is_set():
                raise ConnectionAbortedError("stopped")
            self.settimeout(min(TICK, until - now))
            try:
                return super().recv_into(*args, **kwargs)
            except TimeoutError:
                now = monotonic()
        raise TimeoutError("nothing was read in time")

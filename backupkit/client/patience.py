"""TLS sockets with a deadline per request and a stop event.

A read timeout does not bound a response that trickles in, and cannot be interrupted.
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
"""Interval between two checks of the stop event [s]."""


class _Patience(threading.local):
    """Limits of the current request of this thread; no limits by default."""

    read: float = float("inf")
    due: float = float("inf")
    stop: threading.Event | None = None
    linger: float = 0.0


_patience = _Patience()


@contextmanager
def patience(*, read: float, due: float, stop: threading.Event | None) -> Iterator[None]:
    """Limit the reads of this thread while the context lasts.

    Parameters
    ----------
    read : float
        Timeout for the next bytes [s].
    due : float
        Deadline of the whole response, by the monotonic clock [s].
    stop : Event or None
        Ends any wait once set.
    """
    _patience.read, _patience.due, _patience.stop = read, due, stop
    try:
        yield
    finally:
        del _patience.read, _patience.due, _patience.stop


@contextmanager
def lingering(seconds: float) -> Iterator[None]:
    """Let this thread wait for the current response after the stop event is set.

    Parameters
    ----------
    seconds : float
        Maximum extra wait [s].
    """
    _patience.linger = seconds
    try:
        yield
    finally:
        del _patience.linger


class PatientSocket(ssl.SSLSocket):
    """TLS socket that applies the limits of `patience` to each wait."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 # as ssl has it
        """Perform the TLS handshake within the socket's timeout.

        Raises
        ------
        TimeoutError
            If the handshake takes longer.
        ConnectionAbortedError
            If the stop event is set.
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
            If no bytes arrive in time.
        ConnectionAbortedError
            If the stop event is set.
        """
        action = partial(super().recv_into, *args, **kwargs)
        return self._in_ticks(action, span=_patience.read, linger=_patience.linger)

    def _in_ticks(self, action: Callable[[], T], *, span: float, linger: float) -> T:
        """Run an action in short waits, and check the stop event between them."""
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

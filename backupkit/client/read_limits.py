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

__all__ = ["DeadlineSocket", "grace_period", "read_limits"]

T = TypeVar("T")

STOP_CHECK_INTERVAL: Final = 0.25
"""Interval between two checks of the stop event [s]."""


class _ReadLimits(threading.local):
    """Limits of the current request of this thread; no limits by default."""

    read: float = float("inf")
    deadline: float = float("inf")
    stop: threading.Event | None = None
    grace: float = 0.0


_limits = _ReadLimits()


@contextmanager
def read_limits(*, read: float, deadline: float, stop: threading.Event | None) -> Iterator[None]:
    """Limit the reads of this thread while the context lasts.

    Parameters
    ----------
    read : float
        Timeout for the next bytes [s].
    deadline : float
        Deadline of the whole response, by the monotonic clock [s].
    stop : Event or None
        Ends any wait once set.
    """
    _limits.read, _limits.deadline, _limits.stop = read, deadline, stop
    try:
        yield
    finally:
        del _limits.read, _limits.deadline, _limits.stop


@contextmanager
def grace_period(seconds: float) -> Iterator[None]:
    """Let this thread wait for the current response after the stop event is set.

    Parameters
    ----------
    seconds : float
        Maximum extra wait [s].
    """
    _limits.grace = seconds
    try:
        yield
    finally:
        del _limits.grace


class DeadlineSocket(ssl.SSLSocket):
    """TLS socket that applies the limits of `read_limits` to each wait."""

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
        limit = float("inf") if timeout is None else timeout
        self._run_in_slices(partial(super().do_handshake, block), timeout=limit, grace=0.0)
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
        return self._run_in_slices(action, timeout=_limits.read, grace=_limits.grace)

    def _run_in_slices(self, action: Callable[[], T], *, timeout: float, grace: float) -> T:
        """Run an action in short waits, and check the stop event between them."""
        now = monotonic()
        timeout_at = now + timeout
        while now < (end := min(timeout_at, _limits.deadline)):
            if _limits.stop is not None and _limits.stop.is_set():
                if not grace:
                    raise ConnectionAbortedError("stopped")
                _limits.deadline, _limits.stop = min(_limits.deadline, now + grace), None
                continue
            self.settimeout(min(STOP_CHECK_INTERVAL, end - now))
            try:
                return action()
            except TimeoutError:
                now = monotonic()
        raise TimeoutError("nothing was read in time")

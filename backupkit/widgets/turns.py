"""One callback at a time: JupyterLab lets a kernel answer its page in more than one thread.

It sends the first message of a widget to the main thread of the kernel, and later ones to a thread
of their own, a subshell. Both may come while the other still draws.
"""

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Final, ParamSpec, TypeVar

__all__ = ["in_turn"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_LOCK: Final = RLock()


def in_turn(callback: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return a callback that waits until no other one runs; a callback may call another."""

    @wraps(callback)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with _LOCK:
            return callback(*args, **kwargs)

    return call

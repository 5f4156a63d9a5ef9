"""Passwords that are read once for many appliances: `PasswordCache`."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from backupkit.errors import CredentialError
from backupkit.passwords.sources import PasswordSource

__all__ = ["PasswordCache"]

COMMAND_AGE: Final = 300.0
"""Time for which the output of a command is used [s]: a token manager renews its tokens."""


@dataclass
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    password: str | CredentialError | None = None
    read_at: float = 0.0


class PasswordCache:
    """Passwords by source and user, in memory only; thread-safe.

    A prompt comes once. A command runs once for many appliances, also if it fails, and again after
    five minutes. Other sources cost little, and are read each time.

    Parameters
    ----------
    clock : callable, optional
        Returns the time [s]; default: the monotonic clock.

    Examples
    --------
    >>> cache = PasswordCache()
    >>> cache.read(PasswordSource("command", "echo one"), "u@v")
    'one'
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._entries: dict[tuple[PasswordSource, str], _Entry] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "PasswordCache()"

    def read(
        self, source: PasswordSource, user: str, *, stop: threading.Event | None = None
    ) -> str:
        """Return the password of a source and a user.

        Raises
        ------
        CredentialError, StoppedError
            As `PasswordSource.read`; an error of a prompt or a command is repeated.
        """
        if source.kind not in {"prompt", "command"}:
            return source.read(user)
        # the user is no argument of a command
        key = (source, user if source.kind == "prompt" else "")
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
        with entry.lock:
            is_old = source.kind == "command" and self._clock() - entry.read_at >= COMMAND_AGE
            if entry.password is None or is_old:
                try:
                    entry.password = source.read(user, stop=stop)
                except CredentialError as error:
                    entry.password = error
                entry.read_at = self._clock()
            password = entry.password
        if isinstance(password, CredentialError):
            raise password
        return password

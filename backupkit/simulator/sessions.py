"""Session table of one appliance, shared by both REST flavours."""

import dataclasses
import hashlib
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

IDLE = timedelta(minutes=30)
LIMIT = 550


@dataclasses.dataclass(slots=True, kw_only=True)
class Session:
    """Open session."""

    user: str
    created: datetime
    used: datetime


class TooManySessionsError(Exception):
    """Login beyond the session limit."""


class Sessions:
    """Open sessions of one appliance.

    Parameters
    ----------
    seed : str
        Determines the tokens: the n-th login always gets the same one.
    clock : callable
        Returns the appliance's time.
    limit : int
        Maximum number of open sessions.
    """

    def __init__(self, seed: str, clock: Callable[[], datetime], limit: int = LIMIT) -> None:
        self.limit = limit
        self._seed = seed
        self._clock = clock
        self._count = 0
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            self._expire(self._clock())
            return len(self._open)

    def create(self, user: str) -> str:
        """Open a session, and return its token.

        Parameters
        ----------
        user : str
            User with a verified password.

        Returns
        -------
        str
            Token, 32 lower-case hexadecimal digits.

        Raises
        ------
        TooManySessionsError
            If the session limit is reached.
        """
        with self._lock:
            now = self._clock()
            self._expire(now)
            if len(self._open) >= self.limit:
                raise TooManySessionsError
            self._count += 1
            token = hashlib.sha256(f"{self._seed}/session/{self._count}".encode()).hexdigest()[:32]
            self._open[token] = Session(user=user, created=now, used=now)
            return token

    def touch(self, token: str) -> Session | None:
        """Return a session, and mark it as used.

        Parameters
        ----------
        token : str
            Token of the request.

        Returns
        -------
        Session or None
            None if it does not exist, was ended, or was idle for too long.
        """
        with self._lock:
            now = self._clock()
            self._expire(now)
            session = self._open.get(token)
            if session is not None:
                session.used = now
            return session

    def end(self, token: str) -> None:
        """End a session.

        Parameters
        ----------
        token : str
            Token of the session.
        """
        with self._lock:
            self._open.pop(token, None)

    def clear(self) -> None:
        """End every session, as a restart does."""
        with self._lock:
            self._open.clear()

    def _expire(self, now: datetime) -> None:
        stale = [token for token, session in self._open.items() if now - session.used > IDLE]
        for token in stale:
            del self._open[token]

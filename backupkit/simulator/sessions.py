"""The session table of one appliance, shared by both REST flavours."""

import dataclasses
import hashlib
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

IDLE = timedelta(minutes=30)
LIMIT = 550


@dataclasses.dataclass(slots=True, kw_only=True)
class Session:
    """A log-in that has not been ended."""

    user: str
    created: datetime
    used: datetime


class TooManySessionsError(Exception):
    """The user holds as many sessions as one may."""


class Sessions:
    """Who is logged in.

    Parameters
    ----------
    seed : str
        Fixes the tokens: the n-th log-in always gets the same one.
    clock : callable
        Tells the appliance's time.
    limit : int
        Sessions that may be open at once.
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
        """Log in.

        Parameters
        ----------
        user : str
            Whose password was checked.

        Returns
        -------
        str
            The token, 32 lower-case hexadecimal digits.

        Raises
        ------
        TooManySessionsError
            At the limit.
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
        """Use a session.

        Parameters
        ----------
        token : str
            As the request carries it.

        Returns
        -------
        Session or None
            None where it never was, was ended, or was idle for too long.
        """
        with self._lock:
            now = self._clock()
            self._expire(now)
            session = self._open.get(token)
            if session is not None:
                session.used = now
            return session

    def end(self, token: str) -> None:
        """Log out.

        Parameters
        ----------
        token : str
            Of an open session.
        """
        with self._lock:
            self._open.pop(token, None)

    def clear(self) -> None:
        """Forget every session, as a restart does."""
        with self._lock:
            self._open.clear()

    def _expire(self, now: datetime) -> None:
        stale = [token for token, session in self._open.items() if now - session.used > IDLE]
        for token in stale:
            del self._open[token]

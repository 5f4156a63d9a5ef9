"""What stays in the process that asked for a round: stop sign, pace, and passwords that were typed.

Orders travel to workers, maybe on other machines. This does not: a worker in another process finds
nothing here, and looks each password up where its source says.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from backupkit.collect.pace import Pace
from backupkit.errors import CredentialError
from backupkit.fleet import Appliance, PasswordSource

__all__ = ["HERE", "NOBODY", "Here", "at_home"]


KnownJobs = tuple[frozenset[str], frozenset[str]]


@dataclass(frozen=True)
class Here:
    """What one round keeps to its own process.

    Attributes
    ----------
    key : str
        By which orders find it.
    pace : Pace
        How many requests may be under way.
    stop : Event
        Ends the round.
    known_jobs : callable or None
        Looks up, for an appliance and the ids on its list, which were listed before and which of
        these have ended; None if orders say so themselves.
    typed : dict
        The passwords that were typed.
    """

    key: str = field(default_factory=lambda: uuid4().hex)
    pace: Pace = field(default_factory=Pace)
    stop: threading.Event = field(default_factory=threading.Event)
    known_jobs: Callable[[str, Collection[str]], KnownJobs] | None = None
    typed: dict[tuple[PasswordSource, str], str] = field(default_factory=dict, repr=False)

    def password_of(self, appliance: Appliance) -> str:
        """Look a password up.

        Raises
        ------
        CredentialError
            If there is none, or a person would have to type it in another process.
        """
        source, user = appliance.password, appliance.user
        if source.kind != "prompt":
            return source.read(user)
        try:
            return self.typed[source, user]
        except KeyError:
            raise CredentialError(
                f"No password: {user} would have to type it for {appliance.name}, and a typed "
                "password does not travel to another process. Keep it where the worker can read "
                "it: env, file or keyring."
            ) from None


HERE: dict[str, Here] = {}
NOBODY = Here()


@contextmanager
def at_home(
    appliances: Iterable[Appliance],
    *,
    stop: threading.Event | None = None,
    known_jobs: Callable[[str, Collection[str]], KnownJobs] | None = None,
) -> Iterator[Here]:
    """Keep a round's own things for as long as it lasts.

    Parameters
    ----------
    appliances : iterable of Appliance
        Each user whose password is typed is asked for it once, now; within a watch, which is a
        round and more, not again.
    stop : Event, optional
        Somebody else's stop sign; by default one of its own.
    known_jobs : callable, optional
        As of `Here`.

    Yields
    ------
    Here
        Its own things; `HERE` has them by their key.
    """
    wanted = {(one.password, one.user) for one in appliances if one.password.kind == "prompt"}
    known = {entry: word for here in list(HERE.values()) for entry, word in here.typed.items()}
    here = Here(stop=stop or threading.Event(), known_jobs=known_jobs)
    for source, user in sorted(wanted, key=repr):
        here.typed[source, user] = known.get((source, user)) or source.read(user)
    HERE[here.key] = here
    try:
        yield here
    finally:
        del HERE[here.key]

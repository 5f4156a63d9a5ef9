"""Process-local state of a collection: stop event, concurrency control, typed passwords.

Orders are sent to workers, perhaps on other machines. This state is not: a worker in another
process has none, and reads each password from its source.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from backupkit.collection.concurrency import ConcurrencyControl
from backupkit.errors import CredentialError
from backupkit.fleet import Appliance, PasswordSource

__all__ = ["LOCAL_STATES", "NO_STATE", "LocalState", "local_state"]


KnownJobs = tuple[frozenset[str], frozenset[str]]


@dataclass(frozen=True)
class LocalState:
    """Process-local state of one collection.

    Attributes
    ----------
    key : str
        Key in `LOCAL_STATES`; each order contains it.
    control : ConcurrencyControl
        Decides whether to raise the concurrency.
    stop : Event
        Ends the collection.
    known_jobs : callable or None
        Returns, for an appliance and the ids on its job list, which were listed before and which
        of these have ended. None if the orders contain both.
    passwords : dict
        Typed passwords, by source and user.
    """

    key: str = field(default_factory=lambda: uuid4().hex)
    control: ConcurrencyControl = field(default_factory=ConcurrencyControl)
    stop: threading.Event = field(default_factory=threading.Event)
    known_jobs: Callable[[str, Collection[str]], KnownJobs] | None = None
    passwords: dict[tuple[PasswordSource, str], str] = field(default_factory=dict, repr=False)

    def password_of(self, appliance: Appliance) -> str:
        """Return the password of an appliance.

        Raises
        ------
        CredentialError
            If there is none, or it would have to be typed in another process.
        """
        source, user = appliance.password, appliance.user
        if source.kind != "prompt":
            return source.read(user)
        try:
            return self.passwords[source, user]
        except KeyError:
            raise CredentialError(
                f"{user} would have to type it for {appliance.name}, and a typed password is not "
                "sent to another process",
                advice="Store it where the worker can read it: env, file or keyring.",
                subject="password",
            ) from None


LOCAL_STATES: dict[str, LocalState] = {}
NO_STATE = LocalState()


@contextmanager
def local_state(
    appliances: Iterable[Appliance],
    *,
    stop: threading.Event | None = None,
    known_jobs: Callable[[str, Collection[str]], KnownJobs] | None = None,
) -> Iterator[LocalState]:
    """Keep the process-local state of a collection while the context lasts.

    Parameters
    ----------
    appliances : iterable of Appliance
        Each password to be typed is prompted for once, now. A collection within a watch uses the
        passwords of the watch.
    stop : Event, optional
        Stop event of the caller; default: a new one.
    known_jobs : callable, optional
        As in `LocalState`.

    Yields
    ------
    LocalState
        The state; `LOCAL_STATES` holds it by its key.
    """
    sources = {
        (appliance.password, appliance.user)
        for appliance in appliances
        if appliance.password.kind == "prompt"
    }
    known_passwords = {
        entry: password
        for other in list(LOCAL_STATES.values())
        for entry, password in other.passwords.items()
    }
    state = LocalState(stop=stop or threading.Event(), known_jobs=known_jobs)
    for source, user in sorted(sources, key=repr):
        state.passwords[source, user] = known_passwords.get((source, user)) or source.read(user)
    LOCAL_STATES[state.key] = state
    try:
        yield state
    finally:
        del LOCAL_STATES[state.key]

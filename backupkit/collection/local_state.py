"""Process-local state of a collection: stop event, concurrency control, typed passwords.

Orders are sent to workers, perhaps on other machines. This state is not: a worker in another
process has none, and reads each password from its source.
"""

import functools
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Final
from uuid import uuid4

from backupkit.errors import CredentialError
from backupkit.fleet import Appliance
from backupkit.passwords import PasswordCache, PasswordSource

__all__ = [
    "LOCAL_STATES",
    "SAMPLE_INTERVAL",
    "ConcurrencyControl",
    "LocalState",
    "WaitingPolls",
    "create_local_state",
    "find_local_state",
]

SAMPLE_INTERVAL: Final = 0.004
"""Minimum time between two measurements of the processor load [s]."""

BUSY_SHARE: Final = 0.6
"""Share of one processor from which the process counts as busy."""

FORCED_GROWTH_INTERVAL: Final = 1.0
"""Time after which the concurrency is raised even if the processor is busy [s]."""

KnownJobs = tuple[frozenset[str], frozenset[str]]


class ConcurrencyControl:
    """Monitor of the processor load of this process; thread-safe.

    Threads mostly wait for appliances, but share one processor; too many slow each other down. So
    work starts with few threads, and adds more while the processor idles. Slow responses raise the
    concurrency quickly, fast responses hardly at all.

    Parameters
    ----------
    wall, used : callable, optional
        Return the time, and the processor time of this process [s]; default: the system's.

    Examples
    --------
    >>> time, work = iter([0.0, 0.1, 0.2]), iter([0.0, 0.1, 0.12])
    >>> control = ConcurrencyControl(time.__next__, work.__next__)
    >>> control.may_grow(), control.may_grow()  # first 100 % load, then 20 %
    (False, True)
    """

    def __init__(
        self,
        wall_clock: Callable[[], float] = perf_counter,
        cpu_clock: Callable[[], float] = process_time,
    ) -> None:
        self._wall_clock, self._cpu_clock = wall_clock, cpu_clock
        self._last_sample = wall_clock(), cpu_clock()
        self._last_growth = self._last_sample[0]
        self._may_grow = False

    def may_grow(self) -> bool:
        """Return whether more concurrency may help, by the load since the last measurement."""
        began, used = self._last_sample
        now = self._wall_clock()
        if now - began >= SAMPLE_INTERVAL:
            self._last_sample = now, self._cpu_clock()
            idle = self._last_sample[1] - used < BUSY_SHARE * (now - began)
            self._may_grow = idle or now - self._last_growth >= FORCED_GROWTH_INTERVAL
            if self._may_grow:
                self._last_growth = now
        return self._may_grow


class WaitingPolls:
    """Number of polls that only wait, and are no load; thread-safe.

    Attributes
    ----------
    count : int
        Number of waiting polls.
    on_change : callable
        Called after each change of `count`.

    Examples
    --------
    >>> waiting = WaitingPolls()
    >>> with waiting.wait():
    ...     waiting.count
    1
    """

    def __init__(self) -> None:
        self.count = 0
        self.on_change: Callable[[], object] = bool
        self._lock = threading.Lock()

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Count the caller as waiting while the context lasts."""
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    def _add(self, number: int) -> None:
        with self._lock:
            self.count += number
        self.on_change()


@dataclass(frozen=True)
class LocalState:
    """Process-local state of one collection.

    Attributes
    ----------
    key : str
        Key in `LOCAL_STATES`; each order contains it.
    known_jobs : callable or None
        Returns, for an appliance and the ids on its job list, which were listed before and which
        of these have ended. None if the orders contain both.
    passwords : dict
        Typed passwords, by source and user; the error instead if none was typed.
    commands : PasswordCache
        Passwords that commands print: each command runs once for all appliances.
    """

    key: str = field(default_factory=lambda: uuid4().hex)
    control: ConcurrencyControl = field(default_factory=ConcurrencyControl)
    waiting: WaitingPolls = field(default_factory=WaitingPolls)
    stop: threading.Event = field(default_factory=threading.Event)
    known_jobs: Callable[[str, Collection[str]], KnownJobs] | None = None
    passwords: dict[tuple[PasswordSource, str], str | CredentialError] = field(
        default_factory=dict, repr=False
    )
    commands: PasswordCache = field(default_factory=PasswordCache, repr=False)

    def get_password(self, appliance: Appliance) -> str:
        """Return the password of an appliance; raise if it was not typed, or elsewhere."""
        source, user = appliance.password, appliance.account
        if source.kind != "prompt":
            return self.commands.read(source, user, stop=self.stop)
        typed = self.passwords.get((source, user)) or CredentialError(
            f"{user} would have to type it for {appliance.name}, and a typed {source.secret} is "
            "not sent to another process",
            advice="Store it where the worker can read it: env, file, keyring or command.",
            subject=source.secret,
        )
        if isinstance(typed, CredentialError):
            raise typed
        return typed


LOCAL_STATES: dict[str, LocalState] = {}


def find_local_state(key: str) -> LocalState:
    """Return the state of a collection; in a worker, one that no other process shares."""
    return LOCAL_STATES.get(key) or _create_worker_state(key)


@functools.lru_cache(maxsize=4)
def _create_worker_state(key: str) -> LocalState:
    return LocalState(key)


@contextmanager
def create_local_state(
    appliances: Iterable[Appliance],
    *,
    stop: threading.Event | None = None,
    known_jobs: Callable[[str, Collection[str]], KnownJobs] | None = None,
) -> Iterator[LocalState]:
    """Keep the process-local state of a collection while the context lasts.

    Each password to be typed is prompted for once, now; one that is not typed fails its
    appliances alone. A collection within a watch uses the passwords of the watch.
    """
    sources = {
        (appliance.password, appliance.account)
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
        try:
            state.passwords[source, user] = known_passwords.get((source, user)) or source.read(user)
        except CredentialError as error:
            state.passwords[source, user] = error
    LOCAL_STATES[state.key] = state
    try:
        yield state
    finally:
        del LOCAL_STATES[state.key]

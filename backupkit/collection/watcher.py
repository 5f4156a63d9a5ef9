"""Watch of running jobs: `watch` follows them until none runs, `Watch` without an end."""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, Self

import pandas as pd

from backupkit import wire
from backupkit.client import Limits
from backupkit.collection.collector import (
    MAX_WAITING,
    StateSource,
    report_problems,
    run_collection,
)
from backupkit.collection.followed_jobs import FollowedAppliance
from backupkit.collection.local_state import create_local_state
from backupkit.collection.poll_result import PollResult
from backupkit.collection.snapshot import Snapshot, build_snapshot, jobs_to_observations
from backupkit.errors import BackupkitWarning, CredentialError, one_line
from backupkit.fleet import Appliance, Fleet, limits_of
from backupkit.progress import open_bar
from backupkit.tables import ERRORS, POLLS, RUNNING, SCHEDULES, Records
from backupkit.tables.estimates import is_stalled, time_left

__all__ = ["BackgroundCollection", "Store", "Watch", "watch"]

FIRST_LOOK_TIMEOUT: Final = 10.0
"""Time that a watch waits for its first collection before it shows what was found [s]."""

LOOK_TIMEOUT: Final = 2.0
"""Time after which a watch no longer waits for an appliance before it shows the others [s]."""

BAR_INTERVAL: Final = 0.1
"""Interval between two updates of the progress bar [s]."""

MAX_NAMES: Final = 5
"""Maximum number of appliances that a warning names."""


class Store(StateSource, Protocol):
    """Store of snapshots, and source of earlier jobs: a `backupkit.History`."""

    def append(self, snapshot: Any) -> object:  # noqa: ANN401 # any snapshot, any result
        """Append a snapshot."""
        ...

    def jobs(self, *, appliances: Iterable[str]) -> pd.DataFrame:
        """Return the known jobs of some appliances."""
        ...


def watch(
    fleet: Fleet | Iterable[Appliance],
    history: Store,
    *,
    every: float = 10.0,
    limits: Limits | None = None,
    progress: bool | None = None,
    clock: Callable[[], datetime] | None = None,
) -> Iterator[pd.DataFrame]:
    """Follow the running jobs, and store each change.

    Parameters
    ----------
    fleet : Fleet or iterable of Appliance
        Appliances to poll. One collection finds the running jobs.
    history : History
        Stores that collection, and then each change as an observation.
    every : float
        Time between two polls [s].
    limits : Limits, optional
        Timeouts, attempts and concurrency.
    progress : bool, optional
        Whether the collection shows a progress bar; default: in a terminal or a notebook.
    clock : callable, optional
        Returns the current time as an aware datetime; default: the system clock.

    Yields
    ------
    DataFrame
        Rows of `backupkit.tables.RUNNING`, once after the collection and then after each poll:
        the jobs that ran when the watch began. The last frame shows how they ended. It is empty
        if no job runs.

    Notes
    -----
    An appliance that does not respond is polled again next time; `detail` contains the error.
    Each appliance is followed at its own pace: one that responds late does not hold up the others,
    neither in the collection nor later, and `detail` says since when.
    Leaving the loop, also by Ctrl-C, logs out from all appliances.
    """
    with (
        Watch(fleet, history, limits=limits, clock=clock) as watcher,
        ThreadPoolExecutor(1, thread_name_prefix="watch-collect") as executor,
    ):
        collection = BackgroundCollection(watcher, executor)
        try:
            _wait_for_first_look(collection, len(watcher.appliances), progress=progress)
            collected = _ingest(collection, watcher, progress=progress)
            if not collected:
                _warn_about_late_appliances(collection, watcher.appliances)
            yield watcher.get_progress()
            while watcher.has_running_jobs or not collected:
                time.sleep(every)
                collected = collected or _ingest(collection, watcher, progress=progress)
                watcher.poll(timeout=LOOK_TIMEOUT)
                yield watcher.get_progress()
        except BaseException:  # Ctrl-C, too
            watcher.stop()
            if not collection.taken:
                watcher.ingest(collection.take_rest())
            raise


def _wait_for_first_look(
    collection: "BackgroundCollection", total: int, *, progress: bool | None
) -> None:
    """Wait for the first collection, but not for appliances that respond late."""
    until = time.monotonic() + FIRST_LOOK_TIMEOUT
    with open_bar(total, "Collecting", progress=progress) as bar:
        while not collection.wait(BAR_INTERVAL) and time.monotonic() < until:
            bar.update(collection.ended - bar.n)
        bar.update(collection.ended - bar.n)


def _ingest(collection: "BackgroundCollection", watcher: "Watch", *, progress: bool | None) -> bool:
    """Store the polls that have ended; return whether the whole collection has."""
    if not collection.done:
        watcher.ingest(collection.take_ended())
        return False
    watcher.ingest(collection.take_rest())
    report_problems(collection.result(), len(watcher.appliances), progress=progress)
    return True


def _warn_about_late_appliances(
    collection: "BackgroundCollection", appliances: Sequence[Appliance]
) -> None:
    late = [one.name for one in appliances if one.name not in collection.names]
    some = ", ".join(one_line(name, limit=40) for name in late[:MAX_NAMES])
    more = f" and {len(late) - MAX_NAMES:,} more" if len(late) > MAX_NAMES else ""
    warnings.warn(
        f"Not read yet: {some}{more}. Their running jobs are shown once they respond.",
        BackupkitWarning,
        stacklevel=3,
    )


class BackgroundCollection:
    """Collection in a thread of `executor`, whose polls can be stored before all have ended.

    Attributes
    ----------
    names : set of str
        Appliances whose polls were taken.
    taken : bool
        Whether all of it was taken.
    """

    def __init__(self, watcher: "Watch", executor: Executor) -> None:
        self.names: set[str] = set()
        self.taken = False
        self._ended: list[PollResult] = []
        self._future = executor.submit(watcher.collect, on_poll=self._ended.append)

    @property
    def done(self) -> bool:
        """Return whether all polls have ended."""
        return self._future.done()

    @property
    def ended(self) -> int:
        """Number of polls that have ended."""
        return len(self._ended)

    def wait(self, timeout: float) -> bool:
        """Wait for the end at most `timeout` [s]; return whether it came."""
        return bool(wait([self._future], timeout=timeout).done)

    def result(self) -> Snapshot:
        """Return the whole collection; wait for its end."""
        return self._future.result()

    def take_ended(self) -> Snapshot:
        """Return the polls that have ended, without those that were taken before."""
        results = [result for result in list(self._ended) if result.appliance not in self.names]
        self.names |= {result.appliance for result in results}
        return build_snapshot(results)

    def take_rest(self) -> Snapshot:
        """Return all polls, without those that were taken before; wait for their end."""
        self.taken = True
        snapshot = self.result()
        return snapshot.without(self.names)


class Watch:
    """Running jobs of a fleet: collections find them, polls follow them.

    Use it as a context manager: at its end it logs out from all appliances. Use it in one thread;
    only `collect` and `stop` may be called from any thread.

    Passwords to be typed are prompted for by the constructor, once. The history stores each
    collection passed to `ingest`, and each change that a poll finds.
    """

    def __init__(
        self,
        fleet: Fleet | Iterable[Appliance],
        history: Store,
        *,
        limits: Limits | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.appliances = list(fleet)
        self._history, self._limits, self._clock = history, limits_of(fleet, limits), clock
        self._followed: dict[str, FollowedAppliance] = {}
        self._pending: dict[str, Future[list[wire.Job]]] = {}
        self._asked_at: dict[str, tuple[float, datetime]] = {}
        with ExitStack() as stack:
            self._local_state = stack.enter_context(create_local_state(self.appliances))
            for password in self._local_state.passwords.values():
                if isinstance(password, CredentialError):
                    raise password
            # more threads than requests: some only wait before their next attempt
            workers = min(len(self.appliances), self._limits.concurrency + MAX_WAITING)
            self._pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="watch")
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()  # ends running requests; logouts are still sent
        with self._stack:
            wait(self._pending.values())
            try:
                list(self._pool.map(FollowedAppliance.log_out, self._followed.values()))
            except RuntimeError:  # interpreter shutdown: no threads
                for followed in self._followed.values():
                    followed.log_out()
            self._pool.shutdown()

    @property
    def now(self) -> datetime:
        """Current time."""
        return self._clock() if self._clock else datetime.now(UTC)

    @property
    def has_running_jobs(self) -> bool:
        """Return whether any followed job still runs."""
        return any(followed.running_ids for followed in self._followed.values())

    def stop(self) -> None:
        """End a running collection or poll as soon as possible."""
        self._local_state.stop.set()

    def collect(self, *, on_poll: Callable[[PollResult], object] = bool) -> Snapshot:
        """Collect from all appliances without output; pass the result to `ingest`.

        `on_poll` is called with the result of each poll that ends by itself.
        """
        return run_collection(
            self.appliances,
            known=self._history,
            limits=self._limits,
            clock=self._clock,
            stop=self._local_state.stop,
            on_poll=on_poll,
        )

    def ingest(self, snapshot: Snapshot) -> None:
        """Store a collection, or a part of one, and follow its running jobs."""
        if snapshot.polls.empty:
            return
        self._history.append(snapshot)
        open_jobs = snapshot.jobs[snapshot.jobs["outcome"] == "open"]
        names_to_follow = {
            str(name)
            for name, job_id in zip(open_jobs["appliance"], open_jobs["job_id"], strict=True)
            # an appliance that is being polled waits for the next collection
            if name not in self._pending
            and (name not in self._followed or job_id not in self._followed[name].followed_jobs)
        }
        if not names_to_follow:
            return
        jobs = self._history.jobs(appliances=sorted(names_to_follow))
        skews = snapshot.polls.set_index("appliance")["clock_skew"]
        for appliance in self.appliances:
            name = appliance.name
            if name in names_to_follow:
                skew = skews[name]
                self._followed.setdefault(
                    name, FollowedAppliance(appliance, self._local_state, self._limits, self._clock)
                ).follow(
                    jobs[jobs["appliance"] == name],
                    None if pd.isna(skew) else skew.to_pytimedelta(),
                )

    def poll(self, *, timeout: float | None = None) -> None:
        """Poll each running job, and store the changes.

        After `timeout` [s] it stops waiting; the next poll stores later responses.
        """
        for name, followed in self._followed.items():
            if followed.running_ids and name not in self._pending:
                self._asked_at[name] = time.monotonic(), self.now
                self._pending[name] = self._pool.submit(followed.poll)
        wait(self._pending.values(), timeout=timeout)
        done = [name for name, future in self._pending.items() if future.done()]
        changed = {self._followed[name]: self._pending.pop(name).result() for name in done}
        if any(changed.values()):
            self._history.append(_build_snapshot(changed, self.now))

    def forget(self, before: datetime) -> None:
        """Stop following jobs that ended before a time."""
        for name, followed in list(self._followed.items()):
            if name not in self._pending:
                finished = [
                    key
                    for key, run in followed.followed_jobs.items()
                    if (run.finished_at or before) < before
                ]
                followed.forget(finished)
                if not followed.followed_jobs:
                    del self._followed[name]

    def get_progress(self) -> pd.DataFrame:
        """Return the progress of each followed job, as rows of `backupkit.tables.RUNNING`."""
        late = {
            name: asked_at
            for name, (asked, asked_at) in self._asked_at.items()
            if name in self._pending and time.monotonic() - asked >= LOOK_TIMEOUT
        }
        return _build_progress_frame(list(self._followed.values()), self.now, late)


def _build_snapshot(
    changed: Mapping[FollowedAppliance, Sequence[wire.Job]], moment: datetime
) -> Snapshot:
    """Return the changes of one poll as a snapshot, with a poll row per changed appliance."""
    pairs = [(followed, job) for followed, jobs in changed.items() for job in jobs]
    polled = [followed for followed, jobs in changed.items() if jobs]
    observations = jobs_to_observations(
        [job for _, job in pairs],
        appliances=[followed.appliance.name for followed, _ in pairs],
        observed_at=[moment] * len(pairs),
    )
    polls = Records.build(
        POLLS,
        {
            "appliance": [followed.appliance.name for followed in polled],
            "polled_at": [moment] * len(polled),
            "clock_skew": [followed.skew for followed in polled],
        },
    )
    return Snapshot(observations, polls, Records.build(SCHEDULES, {}), Records.build(ERRORS, {}))


def _build_progress_frame(
    followed: Sequence[FollowedAppliance], now: datetime, late: Mapping[str, datetime]
) -> pd.DataFrame:
    """Return the progress of each followed job; `late` has the time of the open question."""
    rows = [(entry, run) for entry in followed for run in entry.followed_jobs.values()]
    elapsed = [_compute_elapsed(entry, run.job, now) for entry, run in rows]
    times_left = [
        time_left(duration, run.job.progress, entry.typical) if duration is not None else None
        for (entry, run), duration in zip(rows, elapsed, strict=True)
    ]
    return RUNNING.frame(
        {
            "appliance": [entry.appliance.name for entry, _ in rows],
            "observed_at": [now] * len(rows),
            "elapsed": elapsed,
            "time_left": [
                timedelta(0) if run.has_ended else estimate
                for (_, run), estimate in zip(rows, times_left, strict=True)
            ],
            "changed_at": [run.changed_at for _, run in rows],
            "stalled": [
                not run.has_ended and is_stalled(now - run.changed_at, entry.typical)
                for entry, run in rows
            ],
            "detail": [
                f"no response since {asked_at.astimezone(UTC):%H:%M:%S} UTC"
                if (asked_at := late.get(entry.appliance.name)) is not None
                else entry.detail
                for entry, _ in rows
            ],
            "message": [_find_last_message(run.job) for _, run in rows],
            **{
                name: [getattr(run.job, name) for _, run in rows]
                for name in ("job_id", "state", "progress", "start_time", "end_time")
            },
        }
    )


def _find_last_message(job: wire.Job) -> str | None:
    """Return the newest message of a job in its most readable form."""
    if not job.messages:
        return None
    last = job.messages[-1]
    return last.localized or last.default_message or last.id or None


def _compute_elapsed(followed: FollowedAppliance, job: wire.Job, now: datetime) -> timedelta | None:
    """Return how long a job has run; its start is in the appliance's own time."""
    if job.start_time is None:
        return None
    return max((job.end_time or now + followed.skew) - job.start_time, timedelta(0))

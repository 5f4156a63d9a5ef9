"""Watch of running jobs: `watch` follows them until none runs, `Watch` without an end."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

import pandas as pd

from backupkit import wire
from backupkit.client import Limits
from backupkit.collect.estimates import is_stalled, time_left
from backupkit.collect.following import Followed
from backupkit.collect.here import at_home
from backupkit.collect.rounds import Memory, collect, one_round
from backupkit.collect.snapshot import Snapshot, observations_of
from backupkit.fleet import Appliance, Fleet
from backupkit.tables import ERRORS, POLLS, RUNNING, SCHEDULES

__all__ = ["Keeper", "Watch", "watch"]


class Keeper(Memory, Protocol):
    """Store of snapshots, and source of earlier jobs: a `backupkit.History`."""

    def append(self, snapshot: Any) -> object:  # noqa: ANN401 # any snapshot, any result
        """Append a snapshot."""
        ...

    def jobs(self, *, appliances: Iterable[str]) -> pd.DataFrame:
        """Return the known jobs of some appliances."""
        ...


def watch(
    fleet: Fleet | Iterable[Appliance],
    history: Keeper,
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
    Leaving the loop, also by Ctrl-C, logs out from all appliances.
    """
    with Watch(fleet, history, limits=limits, clock=clock) as watching:
        first = collect(
            watching.appliances, known=history, limits=limits, progress=progress, clock=clock
        )
        watching.take(first)
        if first.stopped:
            raise KeyboardInterrupt
        yield watching.running()
        while watching.busy:
            time.sleep(every)
            watching.look()
            yield watching.running()


class Watch:
    """Running jobs of a fleet: collections find them, polls follow them.

    Use it as a context manager: at its end it logs out from all appliances. Use it in one thread;
    only `find` and `stop` may be called from any thread.

    Parameters
    ----------
    fleet : Fleet or iterable of Appliance
        Appliances to poll. Passwords to be typed are prompted for now, once.
    history : History
        Stores each collection passed to `take`, and each change that a poll finds.
    limits : Limits, optional
        Timeouts, attempts and concurrency.
    clock : callable, optional
        Returns the current time as an aware datetime; default: the system clock.

    Attributes
    ----------
    appliances : list of Appliance
        Appliances that are polled.
    """

    def __init__(
        self,
        fleet: Fleet | Iterable[Appliance],
        history: Keeper,
        *,
        limits: Limits | None = None,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.appliances = list(fleet)
        self._history, self._limits, self._clock = history, limits or Limits(), clock
        self._followed: dict[str, Followed] = {}
        self._asked: dict[str, Future[list[wire.Job]]] = {}
        with ExitStack() as stack:
            self._here = stack.enter_context(at_home(self.appliances))
            self._pool = ThreadPoolExecutor(self._limits.at_once, thread_name_prefix="watch")
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()  # ends running requests; logouts are still sent
        with self._stack:
            wait(self._asked.values())
            try:
                list(self._pool.map(Followed.leave, self._followed.values()))
            except RuntimeError:  # interpreter shutdown: no threads
                for one in self._followed.values():
                    one.leave()
            self._pool.shutdown()

    @property
    def now(self) -> datetime:
        """Current time."""
        return self._clock() if self._clock else datetime.now(UTC)

    @property
    def busy(self) -> bool:
        """Return whether any followed job still runs."""
        return any(one.open for one in self._followed.values())

    def stop(self) -> None:
        """End a running collection or poll as soon as possible."""
        self._here.stop.set()

    def find(self) -> Snapshot:
        """Collect from all appliances without output; pass the result to `take`."""
        return one_round(
            self.appliances,
            known=self._history,
            limits=self._limits,
            clock=self._clock,
            stop=self._here.stop,
        )

    def take(self, found: Snapshot) -> None:
        """Store a collection, and follow its running jobs.

        Parameters
        ----------
        found : Snapshot
            Result of `find` or `backupkit.collect`.
        """
        self._history.append(found)
        open_jobs = found.jobs[found.jobs["outcome"] == "open"]
        new = {
            str(name)
            for name, job_id in zip(open_jobs["appliance"], open_jobs["job_id"], strict=True)
            # an appliance that is being polled waits for the next collection
            if name not in self._asked
            and (name not in self._followed or job_id not in self._followed[name].runs)
        }
        if not new:
            return
        known = self._history.jobs(appliances=sorted(new))
        skews = found.polls.set_index("appliance")["clock_skew"]
        for appliance in self.appliances:
            name = appliance.name
            if name in new:
                skew = skews[name]
                self._followed.setdefault(
                    name, Followed(appliance, self._here, self._limits, self._clock)
                ).follow(
                    known[known["appliance"] == name],
                    None if pd.isna(skew) else skew.to_pytimedelta(),
                )

    def look(self, *, patience: float | None = None) -> None:
        """Poll each running job, and store the changes.

        Parameters
        ----------
        patience : float, optional
            Maximum wait for all responses [s]; later responses are stored by the next poll.
            Default: no limit.
        """
        for name, one in self._followed.items():
            if one.open and name not in self._asked:
                self._asked[name] = self._pool.submit(one.look)
        wait(self._asked.values(), timeout=patience)
        done = [name for name, future in self._asked.items() if future.done()]
        changed = {self._followed[name]: self._asked.pop(name).result() for name in done}
        if any(changed.values()):
            self._history.append(_snapshot(changed, self.now))

    def forget(self, before: datetime) -> None:
        """Stop following jobs that were over before a moment.

        Parameters
        ----------
        before : datetime
            The moment.
        """
        for name, one in list(self._followed.items()):
            if name not in self._asked:
                over = [key for key, run in one.runs.items() if (run.over_at or before) < before]
                one.forget(over)
                if not one.runs:
                    del self._followed[name]

    def running(self) -> pd.DataFrame:
        """Return the progress of each followed job, as rows of `backupkit.tables.RUNNING`."""
        return _running(list(self._followed.values()), self.now)


def _snapshot(changed: Mapping[Followed, Sequence[wire.Job]], moment: datetime) -> Snapshot:
    """Return the changes of one poll as a snapshot, with a poll row per changed appliance."""
    told = [(one, job) for one, jobs in changed.items() for job in jobs]
    asked = [one for one, jobs in changed.items() if jobs]
    observations = observations_of(
        [job for _, job in told],
        appliances=[one.appliance.name for one, _ in told],
        observed_at=[moment] * len(told),
    )
    polls = POLLS.frame(
        {
            "appliance": [one.appliance.name for one in asked],
            "polled_at": [moment] * len(asked),
            "clock_skew": [one.skew for one in asked],
        }
    )
    return Snapshot(observations, polls, SCHEDULES.empty(), ERRORS.empty())


def _running(followed: Sequence[Followed], now: datetime) -> pd.DataFrame:
    """Return the progress of each followed job."""
    rows = [(one, run) for one in followed for run in one.runs.values()]
    elapsed = [_elapsed(one, run.job, now) for one, run in rows]
    left = [
        time_left(spent, run.job.progress, one.typical) if spent is not None else None
        for (one, run), spent in zip(rows, elapsed, strict=True)
    ]
    return RUNNING.frame(
        {
            "appliance": [one.appliance.name for one, _ in rows],
            "observed_at": [now] * len(rows),
            "elapsed": elapsed,
            "time_left": [
                timedelta(0) if run.ended else guess
                for (_, run), guess in zip(rows, left, strict=True)
            ],
            "changed_at": [run.changed_at for _, run in rows],
            "stalled": [
                not run.ended and is_stalled(now - run.changed_at, one.typical) for one, run in rows
            ],
            "detail": [one.detail for one, _ in rows],
            "message": [_last_words(run.job) for _, run in rows],
            **{
                name: [getattr(run.job, name) for _, run in rows]
                for name in ("job_id", "state", "progress", "start_time", "end_time")
            },
        }
    )


def _last_words(job: wire.Job) -> str | None:
    """Return the newest message of a job in its most readable form."""
    if not job.messages:
        return None
    last = job.messages[-1]
    return last.localized or last.default_message or last.id or None


def _elapsed(one: Followed, job: wire.Job, now: datetime) -> timedelta | None:
    """Return how long a job has run; its start is in the appliance's own time."""
    if job.start_time is None:
        return None
    return max((job.end_time or now + one.skew) - job.start_time, timedelta(0))

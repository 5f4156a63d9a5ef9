"""watch(): follow the jobs that run, until none does."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pandas as pd

from backupkit import wire
from backupkit.client import ApplianceClient, Limits
from backupkit.collect.estimates import is_stalled, time_left, typical_duration
from backupkit.collect.here import Here, at_home
from backupkit.collect.rounds import Memory, collect
from backupkit.collect.snapshot import Snapshot, observations_of
from backupkit.errors import ApplianceError, BackupkitError, NotFoundError
from backupkit.fleet import Appliance, Fleet
from backupkit.tables import ENDED, ERRORS, POLLS, RUNNING, SCHEDULES

__all__ = ["Keeper", "watch"]

_log = logging.getLogger(__name__)


class Keeper(Memory, Protocol):
    """What keeps what is seen, and knows earlier runs: a `backupkit.History`."""

    def append(self, snapshot: Any) -> object:  # noqa: ANN401 # whatever it takes and tells
        """Keep a snapshot."""
        ...

    def jobs(self, *, appliances: Iterable[str]) -> pd.DataFrame:
        """Give the known jobs of some appliances."""
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
    """Follow the jobs that run, and keep each change.

    Parameters
    ----------
    fleet : Fleet or iterable of Appliance
        Whom to ask. One round finds out what runs.
    history : History
        Keeps that round, and then each change as an observation.
    every : float
        How long to wait between two looks [s].
    limits : Limits, optional
        How long to wait, how often to try, and how much to ask for at once.
    progress : bool, optional
        Whether the first round shows a progress bar; by default where a person looks.
    clock : callable, optional
        Gives the present as an aware datetime; by default the machine's clock.

    Yields
    ------
    DataFrame
        Of `backupkit.tables.RUNNING`, once after the first round and then after each look: the
        jobs that ran when the watch began. The last one tells how they ended. It is empty if
        nothing runs.

    Notes
    -----
    An appliance that does not answer is asked again at the next look; `detail` says why. Leaving
    the loop, also by Ctrl-C, logs out everywhere.
    """
    limits = limits or Limits()
    now = clock or (lambda: datetime.now(UTC))
    appliances = {one.name: one for one in fleet}
    with ExitStack() as stack:
        here = stack.enter_context(at_home(appliances.values()))
        first = collect(
            appliances.values(), known=history, limits=limits, progress=progress, clock=clock
        )
        history.append(first)
        if first.stopped:
            raise KeyboardInterrupt
        names = sorted(set(first.jobs.loc[first.jobs["outcome"] == "open", "appliance"]))
        known = history.jobs(appliances=names)
        followed = [
            _follow(appliances[name], known, first.polls, here=here, limits=limits, clock=clock)
            for name in names
        ]
        for one in followed:
            stack.callback(one.leave)
        yield _running(followed, now())
        pool = stack.enter_context(ThreadPoolExecutor(max(1, min(limits.at_once, len(followed)))))
        while busy := [one for one in followed if one.open]:
            time.sleep(every)
            changed = list(pool.map(_Followed.look, busy))
            if any(changed):
                history.append(_snapshot(busy, changed, now()))
            yield _running(followed, now())


@dataclass
class _Run:
    """A followed job, as last seen."""

    job: wire.Job
    changed_at: datetime

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.job.status in ENDED


@dataclass
class _Followed:
    """One appliance on which something runs, and the session with it."""

    appliance: Appliance
    here: Here
    limits: Limits
    clock: Callable[[], datetime] | None
    typical: timedelta | None
    skew: timedelta
    runs: dict[str, _Run] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    detail: str | None = None
    client: ApplianceClient | None = None

    @property
    def now(self) -> datetime:
        """The present."""
        return self.clock() if self.clock else datetime.now(UTC)

    @property
    def open(self) -> list[str]:
        """The ids of the jobs that still run."""
        return [key for key, run in self.runs.items() if not run.ended and key not in self.gone]

    def look(self) -> list[wire.Job]:
        """Ask for each open job, and give those that changed."""
        self.detail = None
        changed = []
        try:
            client = self.client or self._log_in()
            for job_id in self.open:
                job = self._ask(client, job_id)
                if job is not None and _differs(job, self.runs[job_id].job):
                    self.runs[job_id] = _Run(job, self.now)
                    changed.append(job)
            self.skew = self.skew if client.clock_skew is None else client.clock_skew
        except BackupkitError as error:
            self.detail = str(error)
            self.leave()  # the next look logs in anew
        return changed

    def leave(self) -> None:
        """Log out, if that is still possible."""
        client, self.client = self.client, None
        if client is not None:
            client.__exit__(None, None, None)

    def _log_in(self) -> ApplianceClient:
        client = ApplianceClient(
            self.appliance,
            self.here.password_of(self.appliance),
            limits=self.limits,
            due=float("inf"),
            stop=self.here.stop,
            clock=self.clock,
        )
        self.client = client.__enter__()
        return client

    def _ask(self, client: ApplianceClient, job_id: str) -> wire.Job | None:
        """Ask for one job; for one that ended, also for what only details tell."""
        try:
            job = client.job(job_id)
        except NotFoundError:
            self.gone.add(job_id)
            self.detail = f"{self.appliance.name} does not list this job any more."
            return None
        if job.status not in ENDED:
            return job
        try:
            [(jobs, _)] = client.details([job_id])
        except ApplianceError as error:  # 6.5 has none; its end is known all the same
            _log.info("%s gives no details: %s", self.appliance.name, error)
            return job
        return next((one for one in jobs if one.job_id == job_id), job)


def _follow(
    appliance: Appliance,
    known: pd.DataFrame,
    polls: pd.DataFrame,
    *,
    here: Here,
    limits: Limits,
    clock: Callable[[], datetime] | None,
) -> _Followed:
    """Begin to follow the open jobs of one appliance."""
    own = known[known["appliance"] == appliance.name]
    good = own[own["outcome"] == "success"].sort_values("start_time")
    durations = good["duration"].dropna().to_list()
    skew = polls.loc[polls["appliance"] == appliance.name, "clock_skew"].iloc[0]
    one = _Followed(
        appliance,
        here,
        limits,
        clock,
        typical_duration(durations),
        timedelta(0) if pd.isna(skew) else skew.to_pytimedelta(),
    )
    running = own[(own["outcome"] == "open") & own["vanished_at"].isna()]
    for row in running.astype(object).where(running.notna(), None).to_dict("records"):
        job = wire.Job(
            job_id=row["job_id"],
            state=row["state"],
            status=row["status"],
            progress=row["progress"],
            start_time=row["start_time"],
            end_time=None,
            messages=(),
            source=row["source"],
        )
        one.runs[job.job_id] = _Run(job, row["last_seen_at"])
    return one


def _differs(new: wire.Job, old: wire.Job) -> bool:
    """Tell whether a look showed something that is worth an observation."""
    return (new.state, new.progress, new.end_time) != (old.state, old.progress, old.end_time)


def _snapshot(
    followed: Sequence[_Followed], changed: Sequence[Sequence[wire.Job]], moment: datetime
) -> Snapshot:
    """Put the changes of one look together, each vouched for by a poll of its appliance."""
    told = [(one, job) for one, jobs in zip(followed, changed, strict=True) for job in jobs]
    asked = list({one.appliance.name: one for one, _ in told}.values())
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


def _running(followed: Sequence[_Followed], now: datetime) -> pd.DataFrame:
    """Tell of each followed job how far it is."""
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
            **{
                name: [getattr(run.job, name) for _, run in rows]
                for name in ("job_id", "state", "progress", "start_time", "end_time")
            },
        }
    )


def _elapsed(one: _Followed, job: wire.Job, now: datetime) -> timedelta | None:
    """Tell how long a job has run; its start is told by the appliance's own clock."""
    if job.start_time is None:
        return None
    return max((job.end_time or now + one.skew) - job.start_time, timedelta(0))

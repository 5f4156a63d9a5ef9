"""The jobs that run on one appliance, and the session with it."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pandas as pd

from backupkit import wire
from backupkit.client import ApplianceClient, Limits
from backupkit.collect.estimates import typical_duration
from backupkit.collect.here import Here
from backupkit.errors import ApplianceError, BackupkitError, NotFoundError
from backupkit.fleet import Appliance
from backupkit.tables import ENDED

__all__ = ["Followed", "Run"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A followed job, as last seen.

    Attributes
    ----------
    job : Job
        What the appliance told of it.
    changed_at : datetime
        When that was first seen.
    gone_at : datetime, optional
        Since when the appliance does not list it any more.
    """

    job: wire.Job
    changed_at: datetime
    gone_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether it came to its end."""
        return self.job.status in ENDED

    @property
    def over_at(self) -> datetime | None:
        """Since when there is nothing more to be asked; None while it runs."""
        return self.changed_at if self.ended else self.gone_at


@dataclass(eq=False)
class Followed:
    """One appliance on which something runs, and the session with it."""

    appliance: Appliance
    here: Here
    limits: Limits
    clock: Callable[[], datetime] | None
    typical: timedelta | None = None
    skew: timedelta = timedelta(0)
    runs: dict[str, Run] = field(default_factory=dict)
    detail: str | None = None
    client: ApplianceClient | None = None

    @property
    def now(self) -> datetime:
        """The present."""
        return self.clock() if self.clock else datetime.now(UTC)

    @property
    def open(self) -> list[str]:
        """The ids of the jobs that still run."""
        return [key for key, run in self.runs.items() if run.over_at is None]

    def follow(self, known: pd.DataFrame, skew: timedelta | None) -> None:
        """Begin to follow what runs.

        Parameters
        ----------
        known : DataFrame
            The appliance's jobs, of `backupkit.tables.JOBS`.
        skew : timedelta or None
            Its clock minus ours, where it is known.
        """
        good = known[known["outcome"] == "success"].sort_values("start_time")
        self.typical = typical_duration(good["duration"].dropna().to_list())
        self.skew = self.skew if skew is None else skew
        running = known[(known["outcome"] == "open") & known["vanished_at"].isna()]
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
            self.runs.setdefault(job.job_id, Run(job, row["last_seen_at"]))

    def look(self) -> list[wire.Job]:
        """Ask for each open job, and give those that changed."""
        said = None
        changed = []
        try:
            client = self.client or self._log_in()
            for job_id in self.open:
                seen = self.runs[job_id]
                job = self._ask(client, job_id)
                if job is None:
                    self.runs[job_id] = Run(seen.job, seen.changed_at, self.now)
                    said = f"{self.appliance.name} does not list this job any more."
                elif _differs(job, seen.job):
                    self.runs[job_id] = Run(job, self.now)
                    changed.append(job)
                elif job.messages != seen.job.messages:  # worth showing, but no observation
                    self.runs[job_id] = Run(job, seen.changed_at)
            self.skew = self.skew if client.clock_skew is None else client.clock_skew
        except BackupkitError as error:
            said = str(error)
            self.leave()  # the next look logs in anew
        self.detail = said
        return changed

    def forget(self, ids: Iterable[str]) -> None:
        """Follow some jobs no longer; without any, log out."""
        for job_id in ids:
            del self.runs[job_id]
        if not self.runs:
            self.leave()

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
            return None
        if job.status not in ENDED:
            return job
        try:
            [(jobs, _)] = client.details([job_id])
        except ApplianceError as error:  # 6.5 has none; its end is known all the same
            _log.info("%s gives no details: %s", self.appliance.name, error)
            return job
        return next((one for one in jobs if one.job_id == job_id), job)


def _differs(new: wire.Job, old: wire.Job) -> bool:
    """Tell whether a look showed something that is worth an observation."""
    return (new.state, new.progress, new.end_time) != (old.state, old.progress, old.end_time)

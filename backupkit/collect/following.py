"""Followed jobs of one appliance, and the session with it."""

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
    """Followed job, as last polled.

    Attributes
    ----------
    job : Job
        Newest state of the job.
    changed_at : datetime
        When this state was first polled.
    gone_at : datetime, optional
        When a poll first found that the appliance no longer has the job.
    """

    job: wire.Job
    changed_at: datetime
    gone_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Return whether the job has ended."""
        return self.job.status in ENDED

    @property
    def over_at(self) -> datetime | None:
        """When the job was seen to end or disappear; None while it runs."""
        return self.changed_at if self.ended else self.gone_at


@dataclass(eq=False)
class Followed:
    """Appliance with followed jobs, and the session with it."""

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
        """Current time."""
        return self.clock() if self.clock else datetime.now(UTC)

    @property
    def open(self) -> list[str]:
        """Ids of the jobs that still run."""
        return [key for key, run in self.runs.items() if run.over_at is None]

    def follow(self, known: pd.DataFrame, skew: timedelta | None) -> None:
        """Start to follow the running jobs.

        Parameters
        ----------
        known : DataFrame
            Jobs of the appliance, rows of `backupkit.tables.JOBS`.
        skew : timedelta or None
            The appliance's clock minus ours, if known.
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
        """Poll each open job, and return those that changed."""
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
                elif job.messages != seen.job.messages:  # shown, but not stored
                    self.runs[job_id] = Run(job, seen.changed_at)
            self.skew = self.skew if client.clock_skew is None else client.clock_skew
        except BackupkitError as error:
            said = str(error)
            self.leave()  # the next poll logs in again
        self.detail = said
        return changed

    def forget(self, ids: Iterable[str]) -> None:
        """Stop following some jobs; log out if none is left."""
        for job_id in ids:
            del self.runs[job_id]
        if not self.runs:
            self.leave()

    def leave(self) -> None:
        """Log out, if there is a session."""
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
        """Read one job, with details if it has ended; return None if it does not exist."""
        try:
            job = client.job(job_id)
        except NotFoundError:
            return None
        if job.status not in ENDED:
            return job
        try:
            [(jobs, _)] = client.details([job_id])
        except ApplianceError as error:  # 6.5 has none; the status is enough
            _log.info("%s gives no details: %s", self.appliance.name, error)
            return job
        return next((one for one in jobs if one.job_id == job_id), job)


def _differs(new: wire.Job, old: wire.Job) -> bool:
    """Return whether a job changed in a way that is stored as an observation."""
    return (new.state, new.progress, new.end_time) != (old.state, old.progress, old.end_time)

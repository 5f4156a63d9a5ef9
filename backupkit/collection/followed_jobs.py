"""Followed jobs of one appliance, and the session with it."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pandas as pd

from backupkit import wire
from backupkit.client import ApplianceClient, Limits
from backupkit.collection.local_state import LocalState
from backupkit.errors import ApplianceError, BackupkitError, NotFoundError, one_line
from backupkit.fleet import Appliance
from backupkit.tables import ENDED
from backupkit.tables.estimates import typical_duration

__all__ = ["FollowedAppliance", "FollowedJob"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FollowedJob:
    """Followed job, as last polled.

    Attributes
    ----------
    changed_at : datetime
        When this state was first polled.
    disappeared_at : datetime, optional
        When a poll first found that the appliance no longer has the job.
    """

    job: wire.Job
    changed_at: datetime
    disappeared_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Return whether the job has ended."""
        return self.job.status in ENDED

    @property
    def finished_at(self) -> datetime | None:
        """When the job was seen to end or disappear; None while it runs."""
        return self.changed_at if self.has_ended else self.disappeared_at


@dataclass(eq=False)
class FollowedAppliance:
    """Appliance with followed jobs, and the session with it."""

    appliance: Appliance
    local_state: LocalState
    limits: Limits
    clock: Callable[[], datetime] | None
    typical: timedelta | None = None
    skew: timedelta = timedelta(0)
    followed_jobs: dict[str, FollowedJob] = field(default_factory=dict)
    detail: str | None = None
    client: ApplianceClient | None = None

    @property
    def now(self) -> datetime:
        """Current time."""
        return self.clock() if self.clock else datetime.now(UTC)

    @property
    def running_ids(self) -> list[str]:
        """Ids of the jobs that still run."""
        return [key for key, run in self.followed_jobs.items() if run.finished_at is None]

    def follow(self, jobs: pd.DataFrame, skew: timedelta | None) -> None:
        """Start to follow the running ones among the jobs of the appliance.

        `skew` is the appliance's clock minus ours, if known.
        """
        successes = jobs[jobs["outcome"] == "success"].sort_values("start_time")
        self.typical = typical_duration(successes["duration"].dropna().to_list())
        self.skew = self.skew if skew is None else skew
        running = jobs[(jobs["outcome"] == "open") & jobs["vanished_at"].isna()]
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
            self.followed_jobs.setdefault(job.job_id, FollowedJob(job, row["last_seen_at"]))

    def poll(self) -> list[wire.Job]:
        """Poll each open job, and return those that changed."""
        detail = None
        changed = []
        try:
            client = self.client or self._log_in()
            client.begin_poll()
            for job_id in self.running_ids:
                old = self.followed_jobs[job_id]
                job = self._read_job(client, old.job)
                if job is None:
                    self.followed_jobs[job_id] = FollowedJob(old.job, old.changed_at, self.now)
                    detail = f"{self.appliance.name} no longer lists this job."
                elif job.status is None:
                    detail = f"job {one_line(job_id)} could not be read: {job.read_error}"
                elif _has_changed(job, old.job):
                    self.followed_jobs[job_id] = FollowedJob(job, self.now)
                    changed.append(job)
                elif job.messages != old.job.messages:  # shown, but not stored
                    self.followed_jobs[job_id] = FollowedJob(job, old.changed_at)
            self.skew = self.skew if client.clock_skew is None else client.clock_skew
        except BackupkitError as error:
            detail = error.text
            self.log_out()  # the next poll logs in again
        self.detail = detail
        return changed

    def forget(self, ids: Iterable[str]) -> None:
        """Stop following some jobs; log out if none is left."""
        for job_id in ids:
            del self.followed_jobs[job_id]
        if not self.followed_jobs:
            self.log_out()

    def log_out(self) -> None:
        """Log out, if there is a session."""
        client, self.client = self.client, None
        if client is not None:
            client.__exit__(None, None, None)

    def _log_in(self) -> ApplianceClient:
        client = ApplianceClient(
            self.appliance,
            self.local_state.get_password(self.appliance),
            limits=self.limits.override(self.appliance.limits),
            deadline=float("inf"),
            stop=self.local_state.stop,
            clock=self.clock,
        )
        self.client = client.__enter__()
        return client

    def _read_job(self, client: ApplianceClient, known: wire.Job) -> wire.Job | None:
        """Read one job, with details if it has ended; return None if it does not exist.

        What was known of it is kept where it cannot be read any more, except its state.
        """
        job_id = known.job_id
        try:
            job = client.job(job_id)
        except NotFoundError:
            return None
        if job.status is not None and job.read_error is not None:
            job = wire.complete_job(job, known)
        if job.status not in ENDED:
            return job
        try:
            [(jobs, _)] = client.details([job_id])
        except ApplianceError as error:  # 6.5 has none; the status is enough
            _log.info("%s: cannot read job details: %s", self.appliance.name, error.problem)
            return job
        return next((own for own in jobs if own.job_id == job_id and own.read_error is None), job)


def _has_changed(new: wire.Job, old: wire.Job) -> bool:
    """Return whether a job changed in a way that is stored as an observation."""
    return (new.state, new.progress, new.end_time) != (old.state, old.progress, old.end_time)

"""State of one simulated appliance, independent of HTTP."""

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

import msgspec

from backupkit.simulator import payloads
from backupkit.simulator.domain import Domain
from backupkit.simulator.identity import IdentityProvider, SamlTokens
from backupkit.simulator.model import RELEASES, Job, Message, Release, Trait, job_id
from backupkit.simulator.scenario import ApplianceSpec, Scenario
from backupkit.simulator.timeline import Timeline

USER = "administrator@vsphere.local"
PASSWORD = "Simulated-1!"  # noqa: S105  # it opens nothing but simulated appliances
SCHEDULE = "default"
SESSION_IDLE = timedelta(minutes=30)
SESSION_LIMIT = 550


@dataclasses.dataclass(slots=True, kw_only=True)
class Session:
    """Open session."""

    user: str
    created: datetime
    used: datetime


class TooManySessionsError(Exception):
    """Login beyond the session limit."""


class Sessions:
    """Open sessions of one appliance; both REST flavours share them.

    The seed determines the tokens: the n-th login always gets the same one.
    """

    def __init__(
        self, seed: str, clock: Callable[[], datetime], limit: int = SESSION_LIMIT
    ) -> None:
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
        """Open a session of a user, and return its token: 32 hexadecimal digits."""
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
        """Return an open session, and mark it as used."""
        with self._lock:
            now = self._clock()
            self._expire(now)
            session = self._open.get(token)
            if session is not None:
                session.used = now
            return session

    def end(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._open.pop(token, None)

    def clear(self) -> None:
        """End every session, as a restart does."""
        with self._lock:
            self._open.clear()

    def _expire(self, now: datetime) -> None:
        stale = [
            token for token, session in self._open.items() if now - session.used > SESSION_IDLE
        ]
        for token in stale:
            del self._open[token]


class BusyError(Exception):
    """Request to start a backup while another one runs."""


class SimulatedAppliance:
    """Simulated appliance that behaves according to its specification.

    Parameters
    ----------
    spec : ApplianceSpec
        Properties of the appliance.
    scenario : Scenario
        Provides seed and epoch.
    clock : callable
        Returns the true time as an aware datetime; the appliance's own clock may be ahead.
    session_limit : int
        Maximum number of open sessions.

    Attributes
    ----------
    host : str
        Address as ``address:port``; empty until a fleet has started it.
    password : str
        Password for the login.
    domain : Domain
        SSO domain with the nodes that the appliance lists; alone until a fleet sets it.
    provider : IdentityProvider, optional
        Identity provider whose access tokens it exchanges.
    saml_tokens : SamlTokens
        Tokens that it issued.
    refuses_passwords : bool
        Whether it accepts tokens only.
    revoked : bool
        Whether the user lacks the permission to read backups.
    html : bool
        Whether every response is a proxy's error page.
    """

    def __init__(
        self,
        spec: ApplianceSpec,
        scenario: Scenario,
        *,
        clock: Callable[[], datetime],
        session_limit: int = SESSION_LIMIT,
    ) -> None:
        self.spec = spec
        self.host = ""
        self.user = USER
        self.password = PASSWORD
        self.provider: IdentityProvider | None = None
        self.saml_tokens = SamlTokens(f"{scenario.seed}/{spec.name}", self.now)
        self.refuses_passwords = False
        self.revoked = False
        self.domain: Domain = Domain([self])
        self.html = False
        self.sessions = Sessions(f"{scenario.seed}/{spec.name}", self.now, session_limit)
        self._clock = clock
        self._timeline = Timeline(spec, seed=scenario.seed, epoch=scenario.epoch, user=USER)
        self._manual_jobs: list[Job] = []
        self._changed: dict[str, Job] = {}  # cancelled or rewritten
        self._forgotten: set[str] = set()
        self._finished: dict[str, msgspec.Raw] = {}  # encoded details of ended jobs
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<SimulatedAppliance {self.name} at {self.host or 'no port'}>"

    @property
    def name(self) -> str:
        """Key of the appliance in every frame."""
        return self.spec.name

    @property
    def site(self) -> str:
        """Site of the appliance."""
        return self.spec.site

    @property
    def group(self) -> str:
        """Group of the appliance."""
        return self.spec.group

    @property
    def timezone(self) -> str:
        """True time zone, an IANA name."""
        return self.spec.timezone

    @property
    def traits(self) -> frozenset[Trait]:
        """Traits of the appliance."""
        return frozenset(self.spec.traits)

    @property
    def version(self) -> str:
        """Release, such as ``8.0.3``."""
        return self.spec.version

    @property
    def release(self) -> Release:
        """Release with all its properties."""
        return self.spec.release

    def now(self) -> datetime:
        """Return the time of the appliance's own clock [UTC]."""
        return self._clock().astimezone(UTC) + self.spec.skew

    def jobs(self) -> list[Job]:
        """Return all jobs started so far, oldest first."""
        with self._lock:
            now = self.now()
            jobs = self._timeline.until(now)
            if self._manual_jobs:
                jobs += [job for job in self._manual_jobs if job.start <= now]
            if self._forgotten:
                jobs = [job for job in jobs if job.id not in self._forgotten]
            if self._changed:
                jobs = [self._changed.get(job.id, job) for job in jobs]
            if self._manual_jobs or self._changed:
                jobs.sort(key=lambda job: job.start)
            return jobs

    def job(self, identifier: str) -> Job | None:
        """Return the job with an id; None if there is none."""
        return next((job for job in self.jobs() if job.id == identifier), None)

    def details(self, wanted: Collection[str] | None) -> dict[str, msgspec.Raw]:
        """Return the details of jobs by id, newest last, as JSON.

        Parameters
        ----------
        wanted : collection of str or None
            Ids; unknown ones are ignored. None means all jobs.

        Returns
        -------
        dict
            Encoded JSON that `msgspec` embeds unchanged; ended jobs are encoded only once.
        """
        with self._lock:
            now = self.now()
            return {
                job.id: self._encoded(job, now)
                for job in self.jobs()
                if wanted is None or job.id in wanted
            }

    def create(self, comment: str) -> Job:
        """Start a manual backup.

        Parameters
        ----------
        comment : str
            Part of the folder name.

        Returns
        -------
        Job
            New job; it progresses with the clock.

        Raises
        ------
        BusyError
            If another backup is running.
        """
        with self._lock:
            jobs = self.jobs()
            now = self.now()
            if any(now < job.end for job in jobs):
                raise BusyError
            job = self._timeline.manual_job(now, comment=comment)
            used_ids = {other.id for other in jobs}
            moment = now
            while job.id in used_ids:  # ids count whole seconds
                moment += timedelta(seconds=1)
                job = dataclasses.replace(job, id=job_id(moment, self.release.build))
            self._manual_jobs.append(job)
            return job

    def cancel(self, identifier: str) -> bool | None:
        """Cancel a running backup.

        Parameters
        ----------
        identifier : str
            Id of the job.

        Returns
        -------
        bool or None
            Whether it was running; None if there is no such job.
        """
        with self._lock:
            job = self.job(identifier)
            now = self.now()
            if job is None:
                return None
            if now >= job.end:
                return False
            self._changed[job.id] = dataclasses.replace(
                job,
                end=now,
                ok=False,
                final_progress=int(job.final_progress * payloads.share(job, now)),
                size=int(job.size * payloads.share(job, now)),
                messages=(
                    Message(
                        "sample.backup.cancelled",
                        f"Backup job {job.id} was cancelled by {self.user}.",
                        (job.id, self.user),
                    ),
                ),
            )
            return True

    def forget(self, identifier: str | None) -> None:
        """Remove jobs, as if the history file were deleted.

        Parameters
        ----------
        identifier : str or None
            Id of a job; None means all jobs that have started.
        """
        with self._lock:
            self._forgotten |= {job.id for job in self._matching_jobs(identifier)}

    def rewrite(self, identifier: str, *, start: datetime | None, end: datetime | None) -> None:
        """Change the start or the end of a job.

        Parameters
        ----------
        identifier : str
            Id of the job.
        start, end : datetime or None
            Aware datetimes; None keeps the old value.
        """
        with self._lock:
            (job,) = self._matching_jobs(identifier)
            self._changed[job.id] = dataclasses.replace(
                job,
                start=(start or job.start).astimezone(UTC),
                end=(end or job.end).astimezone(UTC),
            )
            self._finished.pop(job.id, None)

    def upgrade(self, version: str, *, legacy: bool) -> None:
        """Switch to another release; jobs that have started keep theirs.

        Parameters
        ----------
        version : str
            One of the simulator's releases.
        legacy : bool
            Whether it serves `/rest`.
        """
        if version not in RELEASES:
            raise ValueError(
                f"{self.name}: no release {version!r}; there are {', '.join(RELEASES)}."
            )
        with self._lock:
            self._timeline.until(self.now())
            self.spec = dataclasses.replace(self.spec, version=version, legacy=legacy)
            self._timeline.upgrade(self.spec)
            self.sessions.clear()

    def _matching_jobs(self, identifier: str | None) -> list[Job]:
        jobs = [job for job in self.jobs() if identifier in {None, job.id}]
        if identifier is not None and not jobs:
            raise ValueError(f"{self.name} has no job {identifier!r}.")
        return jobs

    def schedules(self) -> dict[str, payloads.Object]:
        """Return the backup schedules by name."""
        enabled = Trait.SCHEDULE_DISABLED not in self.spec.traits
        return {SCHEDULE: payloads.schedule(self.spec, enabled=enabled)}

    def _encoded(self, job: Job, now: datetime) -> msgspec.Raw:
        if job.id in self._finished and now >= job.end:
            return self._finished[job.id]
        encoded = msgspec.Raw(msgspec.json.encode(payloads.job_info(job, now, self.spec)))
        if now >= job.end:
            self._finished[job.id] = encoded
        return encoded

"""Jobs of one appliance, as a pure function of seed, specification, epoch and clock."""

import base64
import bisect
import dataclasses
import itertools
import math
import operator
import random
import zoneinfo
from datetime import UTC, datetime, timedelta

from backupkit.simulator.model import CAUSE_WEIGHTS, CAUSES, Cause, Job, Trait, job_id, seeded_rng
from backupkit.simulator.scenario import WEEK, ApplianceSpec

GIB = 1024**3
FLAKY_FAILURE_RATE = 0.15  # share of a flaky appliance's nights that fail
MISSED_NIGHTS = (-4, -23)  # nights without a job, counted from the last one before the epoch
FAILED_NIGHTS = 3
DISABLED_NIGHTS = 24  # nights since the schedule was switched off
NEW_NIGHTS = 6  # nights of history of a new appliance
OVERRUN_DURATION = 3.5 * 3600  # [s] duration of an overrunning backup at the epoch
RUNNING_SINCE = timedelta(minutes=15)
RUNNING_FOR = timedelta(minutes=25)
FAILED_AT = (10, 10, 10, 35, 60, 95)  # [%] most fail early


class Timeline:
    """Jobs of one appliance, generated night by night and kept.

    Each night has its own random numbers, so the jobs do not depend on the time of the call.
    The user starts the manual jobs.
    """

    def __init__(self, spec: ApplianceSpec, *, seed: int, epoch: datetime, user: str) -> None:
        self._spec = spec
        self._seed = f"{seed}/{spec.name}"
        self._epoch = epoch.astimezone(UTC)
        self._user = user
        rng = seeded_rng(f"{self._seed}/character")
        self._size = rng.uniform(1.5, 9) * GIB
        self._duration = rng.uniform(9, 26) * 60
        self._cause = rng.choice(CAUSES)  # of traits that fail
        self._last = self._epoch.astimezone(zoneinfo.ZoneInfo(spec.timezone)).date()
        if spec.slot(self._last) > self._epoch:
            self._last -= timedelta(days=1)
        self._jobs = self._initial_jobs()
        self._next = 1  # first night that is not generated yet

    def until(self, now: datetime) -> list[Job]:
        """Return the jobs started so far by the appliance's clock, oldest first."""
        while self._slot(self._next) <= now:
            self._jobs += self._night(self._next)
            self._next += 1
        return self._jobs[: bisect.bisect_right(self._jobs, now, key=operator.attrgetter("start"))]

    def upgrade(self, spec: ApplianceSpec) -> None:
        """Use the specification of another release; jobs generated so far stay."""
        self._spec = spec

    def manual_job(self, start: datetime, *, comment: str = "") -> Job:
        """Return a new manual job; it fails in nights in which all jobs of the appliance fail.

        The comment is a part of the folder name.
        """
        rng = seeded_rng(f"{self._seed}/{start.isoformat()}")
        night = (start - self._slot(0)) // timedelta(days=1)
        failing = self._failure_cause(night)
        return self._job(rng, night, start, kind="MANUAL", failing=failing, comment=comment)

    def _initial_jobs(self) -> list[Job]:
        traits, spec = self._spec.traits, self._spec
        if Trait.REPLACED in traits:
            return []
        if spec.jobs is not None:
            # skip a job that runs at the epoch, so that the count is exact
            nights = (
                job
                for night in itertools.count(0, -1)
                for job in reversed(self._night(night))
                if not job.start <= self._epoch < job.end
            )
            newest = list(itertools.islice((j for j in nights if j.end <= self._epoch), spec.jobs))
            later = [job for job in self._night(0) if job.start > self._epoch]
            return [*reversed(newest), *later]
        first = 1 - (NEW_NIGHTS if Trait.NEW in traits else spec.nights)
        jobs = [job for night in range(first, 1) for job in self._night(night)]
        if Trait.RUNNING in traits:
            rng = seeded_rng(f"{self._seed}/running")
            start = self._epoch + spec.skew - RUNNING_SINCE + timedelta(milliseconds=318)
            job = self._job(rng, 0, start, kind="MANUAL", failing=None, comment="before the update")
            jobs.append(dataclasses.replace(job, end=start + RUNNING_FOR))
        return jobs

    def _slot(self, night: int) -> datetime:
        return self._spec.slot(self._last + timedelta(days=night))

    def _night(self, night: int) -> list[Job]:
        spec, traits = self._spec, self._spec.traits
        day = self._last + timedelta(days=night)
        if (
            (spec.days is not None and WEEK[day.weekday()] not in spec.days)
            or (Trait.MISSED_NIGHT in traits and night in MISSED_NIGHTS)
            or (Trait.SCHEDULE_DISABLED in traits and night > -DISABLED_NIGHTS)
        ):
            return []
        rng = seeded_rng(f"{self._seed}/{day}")
        start = spec.slot(day) + timedelta(seconds=rng.uniform(0.2, 4))
        failing = self._failure_cause(night)
        # not in the newest nights: the retry could be before or after the epoch
        if failing is None and Trait.FLAKY in traits and night not in (-1, 0):
            fails = rng.random() < FLAKY_FAILURE_RATE
            failing = rng.choices(CAUSES, weights=CAUSE_WEIGHTS)[0] if fails else None
        jobs = [self._job(rng, night, start, kind="SCHEDULED", failing=failing)]
        if failing is not None and Trait.FLAKY in traits:
            retry_start = jobs[0].end + timedelta(hours=rng.uniform(2, 8))
            jobs.append(
                self._job(rng, night, retry_start, kind="MANUAL", failing=None, comment="again"),
            )
        return jobs

    def _failure_cause(self, night: int) -> Cause | None:
        """Return why all jobs of a night fail; None if they do not."""
        traits = self._spec.traits
        failing = Trait.LAST_THREE_FAILED in traits and night > -FAILED_NIGHTS
        return self._cause if failing or Trait.ALWAYS_FAILING in traits else None

    def _growth(self, night: int) -> float:
        if Trait.GROWING not in self._spec.traits:
            return 1.0
        return math.pow(1.008, min(max(night, -400), 60))

    def _seconds(self, rng: random.Random, night: int) -> float:
        noise = rng.uniform(0.92, 1.08)
        if Trait.OVERRUNNING in self._spec.traits:
            return noise * min(
                max(OVERRUN_DURATION * math.pow(1.03, night), 1800), 1.6 * OVERRUN_DURATION
            )
        return noise * self._duration * self._growth(night)

    def _job(
        self,
        rng: random.Random,
        night: int,
        start: datetime,
        *,
        kind: str,
        failing: Cause | None,
        comment: str = "",
    ) -> Job:
        spec = self._spec
        seconds = self._seconds(rng, night)
        size = self._size * self._growth(night) * rng.uniform(0.97, 1.03)
        final_progress = 100
        if failing is not None:
            final_progress = rng.choice(FAILED_AT)
            seconds = max(20.0, seconds * final_progress / 100 * rng.uniform(0.4, 0.9))
            size *= final_progress / 100 * rng.uniform(0.05, 0.8)
        label = base64.b32encode(comment.encode()).decode()
        folder = f"{kind[0]}_{spec.release.full}_{start:%Y%m%d-%H%M%S}_{label}"
        return Job(
            id=job_id(start, spec.release.build),
            kind=kind,
            start=start,
            end=start + timedelta(seconds=seconds),
            ok=failing is None,
            size=int(size),
            final_progress=final_progress,
            location=spec.target.folder(f"vCenter/sn_{spec.name}.example.test/{folder}"),
            release=spec.release,
            messages=() if failing is None else (failing.message(rng, spec.target.host),),
            user=self._user if kind == "MANUAL" else None,
            blocked=timedelta(seconds=90 if Trait.OVERRUNNING in spec.traits else 0),
        )

"""Poll of one appliance: which resources are read, in which order, and which are skipped."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from backupkit import wire
from backupkit.client import ApplianceClient, Limits
from backupkit.collect.here import HERE, NOBODY
from backupkit.errors import (
    ApplianceError,
    BackupkitError,
    DeadlineError,
    NotFoundError,
    PayloadError,
    ServerError,
    StoppedError,
    UnreachableError,
    one_line,
)
from backupkit.fleet import Appliance
from backupkit.tables import Remembered

__all__ = ["Order", "Strategy", "Visit", "visit"]

Strategy = Literal["auto", "job"]

ASK_ALL_ABOVE: Final = 200
"""Number of new jobs above which the details of all jobs are read in one request."""

JOBS_PER_LANE: Final = 25
"""Number of jobs per connection; fewer are not worth another handshake."""

FAILURES_IN_A_ROW: Final = 5
"""Number of failed jobs in a row after which the poll fails."""

WITHOUT_DETAILS: Final = "6.5."
"""Prefix of the versions without details and schedules."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """Instructions for one poll, as sent to a worker; without the password.

    Attributes
    ----------
    appliance : Appliance
        Appliance to poll, with the source of its password.
    memory : Remembered
        Known state from earlier collections.
    strategy : {"auto", "job"}
        Whether to read details if available, or each job alone.
    limits : Limits
        Timeouts, attempts and concurrency.
    due : float
        Deadline in seconds since 1970, because monotonic clocks differ between machines.
    round_id : str
        Key of the process-local state, see `backupkit.collect.here`.
    clock : callable or None
        Returns the current time as an aware datetime; None means the system clock.
    """

    appliance: Appliance
    memory: Remembered
    strategy: Strategy
    limits: Limits
    due: float
    round_id: str
    clock: Callable[[], datetime] | None = None


@dataclass(slots=True)
class Visit:
    """Result of one poll, before it becomes rows.

    Without an `error`, the job list and its new jobs were read. `whole` is False only for saved
    answers that lack some of them.
    """

    appliance: str
    polled_at: datetime
    error: str | None = None
    detail: str | None = None
    jobs: list[wire.Job] = field(default_factory=list)
    jobs_listed: int | None = None
    vanished: list[str] = field(default_factory=list)
    schedules: dict[str, wire.Schedule] = field(default_factory=dict)
    timezone: str | None = None
    version: str | None = None
    flavour: wire.Flavour | None = None
    details: bool | None = None
    requests: int | None = 0
    elapsed: timedelta | None = timedelta(0)
    clock_skew: timedelta | None = None
    troubles: list[tuple[str, str, str | None]] = field(default_factory=list)
    whole: bool = True

    @property
    def ok(self) -> bool | None:
        """Return whether the poll is good; None if it was stopped or answers are missing."""
        if self.error == StoppedError.kind or not self.whole:
            return None
        return self.error is None

    def trouble(self, error: BackupkitError, job_id: str | None = None) -> None:
        """Record an error that does not end the poll."""
        self.troubles.append((error.kind, str(error), job_id))

    def failed(self, error: BackupkitError) -> None:
        """Record the error that ended the poll; what was read by then stays."""
        self.error, self.detail = error.kind, str(error)


def visit(order: Order) -> Visit:
    """Poll one appliance; errors become part of the result."""
    here = HERE.get(order.round_id, NOBODY)
    appliance, memory = order.appliance, order.memory
    now = order.clock or (lambda: datetime.now(UTC))
    found = Visit(
        appliance.name,
        now(),
        version=memory.version,
        timezone=memory.timezone,
        details=_has_details(memory),
    )
    began = time.perf_counter()
    client: ApplianceClient | None = None
    try:
        left = order.due - time.time()
        if left <= 0:
            raise DeadlineError(
                f"The round's time was up before {appliance.name} had its turn. Give the round "
                "more time, or ask fewer appliances in it."
            )
        client = ApplianceClient(
            appliance,
            here.password_of(appliance),
            limits=order.limits,
            flavour=wire.Flavour(memory.api) if memory.api else None,
            due=time.monotonic() + left,
            stop=here.stop,
            clock=order.clock,
        )
        with client:
            _read(client, found, order)
    except BackupkitError as error:
        found.failed(error)
        _log.info("%s could not be read: %s", appliance.name, error)
    if client is not None:
        found.requests, found.flavour = client.requests, client.flavour
        found.clock_skew = client.clock_skew
    found.elapsed = timedelta(seconds=time.perf_counter() - began)
    return found


def _has_details(memory: Remembered) -> bool | None:
    """Return whether the appliance has details; None if unknown.

    An earlier 404 is trusted only for 6.5: other versions send it while services start.
    """
    lacking = memory.details is False and (memory.version or "").startswith(WITHOUT_DETAILS)
    return memory.details or (False if lacking else None)


def _read(client: ApplianceClient, found: Visit, order: Order) -> None:
    """Read the new jobs and the schedules of one appliance."""
    memory = order.memory
    first = order.strategy == "auto" and memory.version is None and not memory.jobs
    if first and _read_everything(client, found, order):
        _ask_what_it_is(client, found)
    else:
        listed = client.job_ids()
        found.jobs_listed = len(listed)
        look_up = HERE.get(order.round_id, NOBODY).known_jobs
        if look_up is not None:
            before, finished = look_up(found.appliance, listed)
            memory = replace(memory, listed=before, finished=finished)
        known = memory.finished.issuperset(listed)  # the usual case: nothing to compare
        if not known or len(listed) < len(memory.listed):
            found.vanished = sorted(memory.listed.difference(listed))
        if memory.version is None or not (known or memory.listed.issuperset(listed)):
            _ask_what_it_is(client, found)
            if found.version != memory.version and not first:
                found.details = None  # upgraded: detect again
        wanted = [] if known else [one for one in listed if one not in memory.finished]
        in_one = len(wanted) in (0, len(listed)) or len(wanted) > ASK_ALL_ABOVE
        ways = [(), wanted] if in_one and not first else [wanted]
        _read_jobs(client, found, wanted, ways=ways, order=order)
        if wanted and not (found.jobs or memory.finished or any(id_ for *_, id_ in found.troubles)):
            raise NotFoundError(
                f"{client.appliance.host} lists {len(wanted)} jobs, and does not have one of them. "
                "Try again later."
            )
    if found.details is not False:
        _read_schedules(client, found)


def _read_everything(client: ApplianceClient, found: Visit, order: Order) -> bool:
    """Read all details without the job list, in the first poll; return whether it worked."""
    try:
        [(jobs, spoiled)] = client.details()
    except NotFoundError:
        found.details = False
        return False
    except (PayloadError, ServerError, UnreachableError) as error:
        _log.info("%s gives no details of all jobs at once: %s", found.appliance, error)
        return False
    found.details = True
    found.jobs += jobs
    found.jobs_listed = len(jobs) + len(spoiled)
    _read_spoiled(client, found, spoiled, order)
    return True


def _read_jobs(
    client: ApplianceClient,
    found: Visit,
    wanted: Sequence[str],
    *,
    ways: Sequence[Sequence[str]],
    order: Order,
) -> None:
    """Read jobs by details, if available, and the rest one by one.

    Each item of `ways` holds the ids for one attempt. Without ids it reads all jobs, including
    known ones, which may have changed and are then reported as conflicts.
    """
    remaining = dict.fromkeys(wanted)
    spoiled: dict[str, str] = {}
    by_details = order.strategy == "auto" and found.details is not False
    for ids in ways if by_details else ():
        if not remaining:
            break
        try:
            for jobs, faults in client.details(ids):
                found.details = True
                # an appliance may ignore the filter, and return all jobs on each page
                found.jobs += [job for job in jobs if job.job_id in remaining or not ids]
                spoiled |= {key: why for key, why in faults.items() if key in remaining}
                for job_id in (*(job.job_id for job in jobs), *faults):
                    remaining.pop(job_id, None)
                if not remaining:
                    break
        except NotFoundError:
            found.details = False
            break
        except (PayloadError, ServerError, UnreachableError) as error:
            _log.info("%s gives no details: %s", found.appliance, error)
    _read_spoiled(client, found, spoiled, order)
    _read_one_by_one(client, found, remaining, order)


def _read_spoiled(
    client: ApplianceClient, found: Visit, spoiled: dict[str, str], order: Order
) -> None:
    """Read jobs with invalid details by job/{id}; record those that stay unread."""
    before = len(found.jobs)
    _read_one_by_one(client, found, [job_id for job_id in spoiled if job_id], order)
    settled = {job.job_id for job in found.jobs[before:]}
    settled |= {job_id for _, _, job_id in found.troubles if job_id}  # recorded with its own error
    for job_id, why in spoiled.items():
        if job_id not in settled:
            found.troubles.append((PayloadError.kind, why, job_id or None))


def _read_one_by_one(
    client: ApplianceClient, found: Visit, job_ids: Iterable[str], order: Order
) -> None:
    """Read jobs by job/{id}, some concurrently; record failed jobs, and read the others."""
    waiting = deque(job_ids)
    failures: list[ApplianceError] = []
    lanes = min(order.limits.per_appliance, -(-len(waiting) // JOBS_PER_LANE))
    pace = HERE.get(order.round_id, NOBODY).pace
    with ThreadPoolExecutor(max(lanes - 1, 1)) as pool:
        others: list[Future[None]] = []
        for _ in _turns(client, found, waiting, failures):
            while len(others) < lanes - 1 and pace.more():
                others.append(pool.submit(_take_turns, client, found, waiting, failures))
    for other in others:
        other.result()
    if len(failures) >= FAILURES_IN_A_ROW:
        raise failures[-1]


def _take_turns(
    client: ApplianceClient, found: Visit, waiting: deque[str], failures: list[ApplianceError]
) -> None:
    """Read waiting jobs until none is left."""
    for _ in _turns(client, found, waiting, failures):
        pass


def _turns(
    client: ApplianceClient, found: Visit, waiting: deque[str], failures: list[ApplianceError]
) -> Iterator[str]:
    """Yield the id of each waiting job, then read the job; thread-safe."""
    while len(failures) < FAILURES_IN_A_ROW:
        try:
            job_id = waiting.popleft()
        except IndexError:  # all are taken
            return
        yield job_id
        try:
            found.jobs.append(client.job(job_id))
            failures.clear()
        except NotFoundError:
            _log.info("%s removed job %s during the visit", found.appliance, one_line(job_id))
        except PayloadError as error:
            found.trouble(error, job_id)
        except ServerError as error:
            found.trouble(error, job_id)
            failures.append(error)
        except BaseException:
            waiting.clear()
            raise


def _read_schedules(client: ApplianceClient, found: Visit) -> None:
    try:
        found.schedules, spoiled = client.schedules()
        found.details = True
        found.troubles += [(PayloadError.kind, why, None) for why in spoiled.values()]
    except NotFoundError:
        found.details = False
        _log.info("%s has no schedules to read: older than 6.7", found.appliance)
    except (DeadlineError, StoppedError):
        raise
    except ApplianceError as error:  # the jobs were read
        found.trouble(error)


def _ask_what_it_is(client: ApplianceClient, found: Visit) -> None:
    """Read version and time zone; only with new jobs, because both change rarely."""
    for name in ("version", "timezone"):
        try:
            setattr(found, name, getattr(client, name)())
        except (DeadlineError, StoppedError):
            raise
        except ApplianceError as error:  # jobs do not need it
            found.trouble(error)
            if isinstance(error, UnreachableError):
                return

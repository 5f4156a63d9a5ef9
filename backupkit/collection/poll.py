"""Poll of one appliance: which resources are read, in which order, and which are skipped."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Self

from backupkit import wire
from backupkit.client import ApplianceClient, Limits
from backupkit.collection.local_state import LOCAL_STATES, NO_STATE
from backupkit.errors import (
    ADVICE,
    ApplianceError,
    BackupkitError,
    BusyError,
    DeadlineError,
    LoginError,
    NotFoundError,
    PartialError,
    PayloadError,
    RightsError,
    ServerError,
    StoppedError,
    UnreachableError,
    one_line,
)
from backupkit.fleet import Appliance
from backupkit.tables import SyncState
from backupkit.tables.constants import ENDED
from backupkit.tables.job_ids import digest_job_list, to_stored_id

__all__ = ["PollOrder", "PollResult", "Strategy", "api_error_columns", "poll"]

Strategy = Literal["auto", "job"]

READ_ALL_ABOVE: Final = 200
"""Number of new jobs above which the details of all jobs are read in one request."""

JOBS_PER_CONNECTION: Final = 25
"""Number of jobs per connection; fewer are not worth another handshake."""

MAX_LOST_JOBS: Final = 2
"""Number of jobs in a row after which the poll fails, if each lost its connection or session, or
the appliance was busy."""

VERSION_WITHOUT_DETAILS: Final = "6.5."
"""Prefix of the versions without details and schedules."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PollOrder:
    """Instructions for one poll, as sent to a worker; without the password.

    Attributes
    ----------
    state : SyncState
        Known state from earlier collections.
    deadline : float
        In seconds since 1970, because monotonic clocks differ between machines.
    state_key : str
        Key of the process-local state, see `backupkit.collection.local_state`.
    clock : callable or None
        Returns the current time; None means the system clock.
    """

    appliance: Appliance
    state: SyncState
    strategy: Strategy
    limits: Limits
    deadline: float
    state_key: str
    clock: Callable[[], datetime] | None = None

    def now(self) -> datetime:
        """Return the current time."""
        return self.clock() if self.clock else datetime.now(UTC)


@dataclass(slots=True)
class PollResult:
    """Result of one poll, before it becomes rows.

    Without a `failure`, the job list was read. A job of it that could not be read, or not
    completely, is in `jobs` with its ``read_error``; then the poll is partial. `item_errors` are
    of such jobs, each with its id, and of other items. `list_unread` counts items of the list
    without a usable id. `list_digest` is that of the job list, if all its jobs have ended and are
    read. `complete` is False only for saved answers without the job list.
    """

    appliance: str
    polled_at: datetime
    failure: BackupkitError | None = None
    jobs: list[wire.Job] = field(default_factory=list)
    jobs_listed: int | None = None
    list_unread: int = 0
    list_digest: str | None = None
    vanished: list[str] = field(default_factory=list)
    schedules: dict[str, wire.Schedule] = field(default_factory=dict)
    schedules_read: int | None = None
    schedules_error: str | None = None
    removed_schedules: list[str] = field(default_factory=list)
    timezone: str | None = None
    version: str | None = None
    flavour: wire.Flavour | None = None
    details: bool | None = None
    requests: int | None = 0
    elapsed: timedelta | None = timedelta(0)
    clock_skew: timedelta | None = None
    item_errors: list[tuple[BackupkitError, str | None]] = field(default_factory=list)
    complete: bool = True

    @classmethod
    def of(cls, appliance: str, polled_at: datetime, state: SyncState) -> Self:
        """Return a result that starts from the known state of the appliance."""
        return cls(
            appliance,
            polled_at,
            version=state.version,
            timezone=state.timezone,
            details=state.details,
        )

    @property
    def jobs_unread(self) -> int | None:
        """Number of listed jobs that could not be read completely; None without the list."""
        if self.jobs_listed is None:
            return None
        return self.list_unread + sum(job.read_error is not None for job in self.jobs)

    @property
    def problem(self) -> BackupkitError | None:
        """Why the poll failed, or is only partial; None if it is good."""
        if self.failure is not None or not self.jobs_unread:
            return self.failure
        unread = [job for job in self.jobs if job.read_error]
        example = (
            f": job {one_line(unread[0].job_id)}, {unread[0].read_error}"
            if unread
            else ": an item of the list is no id"
        )
        of = f"{self.jobs_unread:,} of {self.jobs_listed:,} listed jobs"
        return PartialError(f"{of} could not be read{example}")

    @property
    def ok(self) -> bool | None:
        """Return whether the poll is good; None if it is partial, stopped or incomplete."""
        if isinstance(self.problem, (StoppedError, PartialError)) or not self.complete:
            return None
        return self.failure is None

    @property
    def error(self) -> str | None:
        """Kind of the problem."""
        return None if self.problem is None else self.problem.kind

    @property
    def detail(self) -> str | None:
        """Problem as text, without the usual advice of its kind."""
        return None if self.problem is None else self.problem.detail

    @property
    def error_type(self) -> str | None:
        """Type of the error that the API sent, if any."""
        return api_error_columns(self.failure)[0]

    @property
    def error_messages(self) -> Sequence[Mapping[str, Any]]:
        """Messages of the error that the API sent."""
        return api_error_columns(self.failure)[1]

    @property
    def error_data(self) -> str | None:
        """Data of the error that the API sent, as JSON."""
        return api_error_columns(self.failure)[2]


def api_error_columns(
    error: BackupkitError | None,
) -> tuple[str | None, Sequence[Mapping[str, Any]], str | None]:
    """Return type, messages and data of an error of the API; empty values for other errors."""
    if not isinstance(error, ApplianceError):
        return None, (), None
    return error.error_type, error.messages, wire.encode_error_data(error.data)


def poll(order: PollOrder) -> PollResult:
    """Poll one appliance; errors become part of the result."""
    local = LOCAL_STATES.get(order.state_key, NO_STATE)
    appliance, state = order.appliance, order.state
    result = PollResult.of(appliance.name, order.now(), state)
    result.details = _has_details(state)
    started = time.perf_counter()
    client: ApplianceClient | None = None
    try:
        left = order.deadline - time.time()
        if left <= 0:
            raise DeadlineError("the deadline of the collection passed before the poll began")
        client = ApplianceClient(
            appliance,
            local.get_password(appliance),
            limits=order.limits,
            flavour=wire.Flavour(state.api) if state.api else None,
            deadline=time.monotonic() + left,
            stop=local.stop,
            clock=order.clock,
            waiting=local.waiting.wait,
        )
        with client:
            _read_appliance(client, result, order)
    except BackupkitError as error:
        result.failure = error
        _log.info("%s: the poll failed: %s", appliance.name, error.text)
    if client is not None:
        result.requests, result.flavour = client.requests, client.flavour
        result.clock_skew = client.clock_skew
    result.elapsed = timedelta(seconds=time.perf_counter() - started)
    return result


def _has_details(state: SyncState) -> bool | None:
    """Return whether the appliance has details; None if unknown.

    An earlier 404 is trusted only for 6.5: other versions send it while services start.
    """
    absent = state.details is False and _lacks_details(state.version)
    return state.details or (False if absent else None)


def _lacks_details(version: str | None) -> bool:
    """Return whether a version has neither details nor schedules."""
    return (version or "").startswith(VERSION_WITHOUT_DETAILS)


def _read_appliance(client: ApplianceClient, result: PollResult, order: PollOrder) -> None:
    """Read the new jobs and the schedules of one appliance."""
    state = order.state
    listed = _read_list(client, result, order)
    lookup = LOCAL_STATES.get(order.state_key, NO_STATE).known_jobs
    digest = digest_job_list(listed)
    if digest == state.list_digest:
        known = frozenset(listed)
        state = replace(state, listed=known, finished=known)
    elif lookup is not None:
        listed_before, finished = lookup(result.appliance, listed)
        state = replace(state, listed=listed_before, finished=finished)
    else:
        state = _use_original_ids(state, listed)
    all_known = state.finished.issuperset(listed)  # the usual case: nothing to compare
    if not result.list_unread and (not all_known or len(listed) < len(state.listed)):
        result.vanished = sorted(state.listed.difference(listed))
    asks_version = state.version is None or not (all_known or state.listed.issuperset(listed))
    if asks_version and result.details is False:  # it may be upgraded meanwhile
        asks_version = False
        _read_system_info(client, result)
        result.details = False if _lacks_details(result.version) else None
    wanted = [] if all_known else [job_id for job_id in listed if job_id not in state.finished]
    single_request = len(wanted) == len(listed) or len(wanted) > READ_ALL_ABOVE
    id_batches = [(), wanted] if single_request else [wanted]
    _read_jobs(client, result, wanted, id_batches=id_batches, order=order)
    if not result.list_unread and _have_ended(result.jobs, wanted):
        result.list_digest = digest
    if asks_version:  # after the jobs, which matter more
        _read_system_info(client, result)
    if result.details is None and _lacks_details(result.version):
        result.details = False
    if result.details is not False:
        _read_schedules(client, result, state)


def _use_original_ids(state: SyncState, listed: Iterable[str]) -> SyncState:
    """Return a state with the ids of the job list, some of which a history stores in another form.

    `SyncState.listed` sent to a worker is that of the history.
    """
    original = {stored: one for one in listed if (stored := to_stored_id(one)) != one}
    if not original:
        return state
    listed_before, finished = (
        frozenset(original.get(one, one) for one in ids) for ids in (state.listed, state.finished)
    )
    return replace(state, listed=listed_before, finished=finished)


def _have_ended(jobs: Iterable[wire.Job], job_ids: Iterable[str]) -> bool:
    """Return whether all these jobs were read completely, and have ended."""
    ended = {job.job_id for job in jobs if job.status in ENDED and job.read_error is None}
    return ended.issuperset(job_ids)


def _read_list(client: ApplianceClient, result: PollResult, order: PollOrder) -> list[str]:
    """Read the job list; if that fails, keep at least the jobs of the details, and raise."""
    try:
        listed, decode_errors = client.job_ids()
    except (BusyError, NotFoundError, PayloadError, RightsError, ServerError) as list_error:
        may_have_details = order.strategy == "auto" and result.details is not False
        if may_have_details and not list_error.retry_after:  # else it asks for a pause
            with suppress(ApplianceError):  # the error of the list counts
                for jobs, _ in client.details():
                    result.jobs += jobs
        raise
    for error in decode_errors.values():
        result.item_errors.append((error, None))
        result.list_unread += 1
    result.jobs_listed = len(listed) + result.list_unread
    return listed


def _read_jobs(
    client: ApplianceClient,
    result: PollResult,
    wanted: Sequence[str],
    *,
    id_batches: Sequence[Sequence[str]],
    order: PollOrder,
) -> None:
    """Read jobs by details, if available, and the rest one by one.

    Each item of `id_batches` holds the ids for one attempt. Without ids it reads all jobs,
    including known ones, which may have changed and are then reported as conflicts.
    """
    remaining: dict[str, wire.Job | None] = dict.fromkeys(wanted)
    odd: dict[str, wire.Job | None] = {}
    by_details = order.strategy == "auto" and result.details is not False
    for ids in id_batches if by_details else ():
        if not remaining or not _read_details(client, result, ids, remaining, odd):
            break
    _read_one_by_one(client, result, odd | remaining, order)


def _read_details(
    client: ApplianceClient,
    result: PollResult,
    ids: Sequence[str],
    remaining: dict[str, wire.Job | None],
    odd: dict[str, wire.Job | None],
) -> bool:
    """Read details, and take their jobs from `remaining` to the result, or to `odd`.

    Return whether another request for details may succeed.
    """
    try:
        for jobs, decode_errors in client.details(ids):
            result.details = True
            new = {job.job_id: job for job in jobs if job.job_id in remaining}
            # an appliance may ignore the filter, and return all jobs on each page
            chosen = new.values() if ids else jobs
            result.jobs += [job for job in chosen if job.read_error is None]
            odd |= {job_id: job for job_id, job in new.items() if job.read_error is not None}
            result.item_errors += [
                (error, job_id) for job_id, error in decode_errors.items() if job_id in new
            ]
            for job_id in new:
                del remaining[job_id]
            if not remaining:
                break
    except NotFoundError:
        result.details = None  # the version decides
        return False
    except (DeadlineError, StoppedError):
        raise
    except ApplianceError as error:
        _log.info("%s: cannot read job details: %s", result.appliance, error.problem)
        return not isinstance(error, UnreachableError)  # leave time for the jobs one by one
    return True


def _read_one_by_one(
    client: ApplianceClient,
    result: PollResult,
    records: Mapping[str, wire.Job | None],
    order: PollOrder,
) -> None:
    """Read jobs by job/{id}, some concurrently; those that cannot be read are kept as unread.

    `records` has what the details have of each job, None if nothing.
    """
    waiting = deque(records.items())
    lost: list[ApplianceError] = []
    connections = min(order.limits.per_appliance, -(-len(waiting) // JOBS_PER_CONNECTION))
    control = LOCAL_STATES.get(order.state_key, NO_STATE).control
    with ThreadPoolExecutor(max(connections - 1, 1)) as pool:
        helpers: list[Future[list[str]]] = []
        for _ in _read_waiting_jobs(client, result, waiting, lost):
            while len(helpers) < connections - 1 and control.may_grow():
                helpers.append(pool.submit(list, _read_waiting_jobs(client, result, waiting, lost)))
    for helper in helpers:
        helper.result()


def _read_waiting_jobs(
    client: ApplianceClient,
    result: PollResult,
    waiting: deque[tuple[str, wire.Job | None]],
    lost: list[ApplianceError],
) -> Iterator[str]:
    """Yield the id of each waiting job, then read the job; thread-safe."""
    while True:
        try:
            job_id, record = waiting.popleft()
        except IndexError:  # all are taken
            return
        yield job_id
        try:
            job, error = _try_job(client, job_id, record, lost)
        except BaseException:
            waiting.clear()
            raise
        result.jobs.append(job)
        if job.read_error is not None:
            problem = f"job {one_line(job_id)} could not be read: {job.read_error}"
            odd = PayloadError(problem, advice=ADVICE[PartialError.kind])
            result.item_errors.append((error or odd, job_id))


def _try_job(
    client: ApplianceClient,
    job_id: str,
    record: wire.Job | None,
    lost: list[ApplianceError],
) -> tuple[wire.Job, ApplianceError | None]:
    """Return what is known of a job, and why it could not be read; raise if the poll must end."""
    try:
        job = _read_job(client, job_id)
    except (DeadlineError, StoppedError):
        raise
    except (BusyError, LoginError, UnreachableError) as lost_error:
        lost.append(lost_error)
        if len(lost) >= MAX_LOST_JOBS:
            raise
        error, job = _explain_job_error(job_id, lost_error)
    except ApplianceError as job_error:
        lost.clear()
        error, job = _explain_job_error(job_id, job_error)
    else:
        lost.clear()
        return (job if record is None else wire.complete_job(job, record)), None
    if record is None:
        return job, error
    # an odd record in the details says more than that the job does not exist
    return record, (None if isinstance(error, NotFoundError) else error)


def _read_job(client: ApplianceClient, job_id: str) -> wire.Job:
    """Read a job; ask once more if it is listed and does not exist."""
    try:
        return client.job(job_id)
    except NotFoundError:
        return client.job(job_id)


def _explain_job_error(job_id: str, error: ApplianceError) -> tuple[ApplianceError, wire.Job]:
    """Return the error to report, and the job: nothing of it is known but that it is listed."""
    reason = error.problem
    if isinstance(error, NotFoundError):
        reason = "the appliance lists it, and does not have it (404, asked twice)"
        error.problem = f"job {one_line(job_id)}: {reason}"
        error.advice = "Collect again: it was removed meanwhile, or its record is damaged."
    job = wire.Job(job_id, None, None, None, None, None, (), "job", read_error=reason)
    return error, job


def _read_schedules(client: ApplianceClient, result: PollResult, state: SyncState) -> None:
    """Read the schedules; what cannot be read is unknown, and not absent."""
    try:
        result.schedules, decode_errors = client.schedules()
    except NotFoundError as error:
        if result.details or not _lacks_details(result.version or VERSION_WITHOUT_DETAILS):
            _record_schedules_error(result, error)
        else:
            result.details = False
            _log.info("%s: has no schedules in its API: older than 6.7", result.appliance)
    except (DeadlineError, StoppedError):
        raise
    except ApplianceError as error:  # the jobs were read
        _record_schedules_error(result, error)
    else:
        result.details = True
        for name, schedule in result.schedules.items():
            if schedule.read_error:
                odd = PayloadError(
                    f"the schedule {one_line(name)} could not be read: {schedule.read_error}",
                    advice="Save the schedule again in its management interface (port 5480, "
                    "Backup).",
                )
                result.item_errors.append((odd, None))
        for decode_error in decode_errors.values():
            _record_schedules_error(result, decode_error)
        if not decode_errors:
            result.schedules_read = len(result.schedules)
            result.removed_schedules = sorted(state.schedules.difference(result.schedules))


def _record_schedules_error(result: PollResult, error: ApplianceError) -> None:
    result.schedules_error = error.problem
    result.item_errors.append((error, None))


def _read_system_info(client: ApplianceClient, result: PollResult) -> None:
    """Read version and time zone; only with new jobs, because both change rarely."""
    for name in ("version", "timezone"):
        try:
            setattr(result, name, getattr(client, name)())
        except (DeadlineError, StoppedError):
            raise
        except ApplianceError as error:  # jobs do not need it
            result.item_errors.append((error, None))
            if isinstance(error, UnreachableError):
                return

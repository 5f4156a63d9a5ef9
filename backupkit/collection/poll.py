"""Poll of one appliance: which resources are read, in which order, and which are skipped."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Self

from backupkit import wire
from backupkit.client import ApplianceClient, Limits
from backupkit.collection.local_state import LOCAL_STATES, NO_STATE
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
from backupkit.tables import SyncState

__all__ = ["PollOrder", "PollResult", "Strategy", "api_error_columns", "poll"]

Strategy = Literal["auto", "job"]

READ_ALL_ABOVE: Final = 200
"""Number of new jobs above which the details of all jobs are read in one request."""

JOBS_PER_CONNECTION: Final = 25
"""Number of jobs per connection; fewer are not worth another handshake."""

MAX_CONSECUTIVE_FAILURES: Final = 5
"""Number of failed jobs in a row after which the poll fails."""

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

    Without a `failure`, the job list and its new jobs were read. `item_errors` are of other items,
    each with its job id if it is a job. `complete` is False only for saved answers that lack some
    jobs.
    """

    appliance: str
    polled_at: datetime
    failure: BackupkitError | None = None
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
    item_errors: list[tuple[BackupkitError, str | None]] = field(default_factory=list)
    complete: bool = True
    jobs_unread: int | None = None
    schedules_read: int | None = None
    schedules_error: str | None = None

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
    def ok(self) -> bool | None:
        """Return whether the poll is good; None if it was stopped or answers are missing."""
        if isinstance(self.failure, StoppedError) or not self.complete:
            return None
        return self.failure is None

    @property
    def error(self) -> str | None:
        """Kind of the failure."""
        return None if self.failure is None else self.failure.kind

    @property
    def detail(self) -> str | None:
        """Failure as text, without the usual advice of its kind."""
        return None if self.failure is None else self.failure.detail

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
    absent = state.details is False and (state.version or "").startswith(VERSION_WITHOUT_DETAILS)
    return state.details or (False if absent else None)


def _read_appliance(client: ApplianceClient, result: PollResult, order: PollOrder) -> None:
    """Read the new jobs and the schedules of one appliance."""
    state = order.state
    first = order.strategy == "auto" and state.version is None and not state.jobs
    if first and _read_everything(client, result, order):
        _read_system_info(client, result)
    else:
        listed = client.job_ids()
        result.jobs_listed = len(listed)
        lookup = LOCAL_STATES.get(order.state_key, NO_STATE).known_jobs
        if lookup is not None:
            listed_before, finished = lookup(result.appliance, listed)
            state = replace(state, listed=listed_before, finished=finished)
        all_known = state.finished.issuperset(listed)  # the usual case: nothing to compare
        if not all_known or len(listed) < len(state.listed):
            result.vanished = sorted(state.listed.difference(listed))
        if state.version is None or not (all_known or state.listed.issuperset(listed)):
            _read_system_info(client, result)
            if result.version != state.version and not first:
                result.details = None  # upgraded: detect again
        wanted = [] if all_known else [job_id for job_id in listed if job_id not in state.finished]
        single_request = len(wanted) in (0, len(listed)) or len(wanted) > READ_ALL_ABOVE
        id_batches = [(), wanted] if single_request and not first else [wanted]
        _read_jobs(client, result, wanted, id_batches=id_batches, order=order)
        if wanted and not (
            result.jobs or state.finished or any(job_id for _, job_id in result.item_errors)
        ):
            raise NotFoundError(
                f"{len(wanted)} jobs are listed, and none of them exists", advice="Try again later."
            )
    if result.details is not False:
        _read_schedules(client, result)


def _read_everything(client: ApplianceClient, result: PollResult, order: PollOrder) -> bool:
    """Read all details without the job list, in the first poll; return whether it worked."""
    try:
        [(jobs, decode_errors)] = client.details()
    except NotFoundError:
        result.details = False
        return False
    except (PayloadError, ServerError, UnreachableError) as error:
        _log.info("%s: cannot read all job details at once: %s", result.appliance, error.problem)
        return False
    result.details = True
    result.jobs += jobs
    result.jobs_listed = len(jobs) + len(decode_errors)
    _retry_undecoded(client, result, decode_errors, order)
    return True


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
    remaining = dict.fromkeys(wanted)
    decode_errors: wire.DecodeErrors = {}
    by_details = order.strategy == "auto" and result.details is not False
    for ids in id_batches if by_details else ():
        if not remaining:
            break
        try:
            for jobs, page_errors in client.details(ids):
                result.details = True
                # an appliance may ignore the filter, and return all jobs on each page
                result.jobs += [job for job in jobs if job.job_id in remaining or not ids]
                decode_errors |= {
                    key: error for key, error in page_errors.items() if key in remaining
                }
                for job_id in (*(job.job_id for job in jobs), *page_errors):
                    remaining.pop(job_id, None)
                if not remaining:
                    break
        except NotFoundError:
            result.details = False
            break
        except (PayloadError, ServerError, UnreachableError) as error:
            _log.info("%s: cannot read job details: %s", result.appliance, error.problem)
    _retry_undecoded(client, result, decode_errors, order)
    _read_one_by_one(client, result, remaining, order)


def _retry_undecoded(
    client: ApplianceClient, result: PollResult, decode_errors: wire.DecodeErrors, order: PollOrder
) -> None:
    """Read jobs with invalid details by job/{id}; record those that stay unread."""
    already_read = len(result.jobs)
    _read_one_by_one(client, result, [job_id for job_id in decode_errors if job_id], order)
    recorded = {job.job_id for job in result.jobs[already_read:]}
    # some have an error of their own
    recorded |= {job_id for _, job_id in result.item_errors if job_id}
    for job_id, error in decode_errors.items():
        if job_id not in recorded:
            result.item_errors.append((error, job_id or None))


def _read_one_by_one(
    client: ApplianceClient, result: PollResult, job_ids: Iterable[str], order: PollOrder
) -> None:
    """Read jobs by job/{id}, some concurrently; record failed jobs, and read the others."""
    waiting = deque(job_ids)
    failures: list[ApplianceError] = []
    connections = min(order.limits.per_appliance, -(-len(waiting) // JOBS_PER_CONNECTION))
    control = LOCAL_STATES.get(order.state_key, NO_STATE).control
    with ThreadPoolExecutor(max(connections - 1, 1)) as pool:
        helpers: list[Future[list[str]]] = []
        for _ in _read_waiting_jobs(client, result, waiting, failures):
            while len(helpers) < connections - 1 and control.may_grow():
                helpers.append(
                    pool.submit(list, _read_waiting_jobs(client, result, waiting, failures))
                )
    for helper in helpers:
        helper.result()
    if len(failures) >= MAX_CONSECUTIVE_FAILURES:
        raise failures[-1]


def _read_waiting_jobs(
    client: ApplianceClient, result: PollResult, waiting: deque[str], failures: list[ApplianceError]
) -> Iterator[str]:
    """Yield the id of each waiting job, then read the job; thread-safe."""
    while len(failures) < MAX_CONSECUTIVE_FAILURES:
        try:
            job_id = waiting.popleft()
        except IndexError:  # all are taken
            return
        yield job_id
        try:
            result.jobs.append(client.job(job_id))
            failures.clear()
        except NotFoundError:
            _log.info("%s: job %s was removed during the poll", result.appliance, one_line(job_id))
        except PayloadError as error:
            result.item_errors.append((error, job_id))
        except ServerError as error:
            result.item_errors.append((error, job_id))
            failures.append(error)
        except BaseException:
            waiting.clear()
            raise


def _read_schedules(client: ApplianceClient, result: PollResult) -> None:
    try:
        result.schedules, decode_errors = client.schedules()
        result.details = True
        result.item_errors += [(error, None) for error in decode_errors.values()]
    except NotFoundError:
        result.details = False
        _log.info("%s: has no schedules in its API: older than 6.7", result.appliance)
    except (DeadlineError, StoppedError):
        raise
    except ApplianceError as error:  # the jobs were read
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

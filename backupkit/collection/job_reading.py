"""Jobs of one appliance: read by details where it has them, the rest one by one."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from backupkit import wire
from backupkit.client import ApplianceClient
from backupkit.collection.local_state import find_local_state
from backupkit.collection.poll_result import PollOrder, PollResult
from backupkit.errors import (
    ADVICE,
    ApplianceError,
    BusyError,
    DeadlineError,
    LoginError,
    NotFoundError,
    PartialError,
    PayloadError,
    StoppedError,
    UnreachableError,
    one_line,
)

__all__ = ["read_jobs"]

JOBS_PER_CONNECTION: Final = 25
"""Number of jobs per connection; fewer are not worth another handshake."""

MAX_LOST_JOBS: Final = 2
"""Number of jobs in a row after which the poll fails, if each lost its connection or session, or
the appliance was busy."""

_log = logging.getLogger(__name__)


def read_jobs(
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
    control = find_local_state(order.state_key).control
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

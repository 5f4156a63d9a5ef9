"""Poll of one appliance: which resources are read, in which order, and which are skipped."""

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

from backupkit import wire
from backupkit.client import ApplianceClient
from backupkit.collection.job_reading import read_jobs
from backupkit.collection.local_state import find_local_state
from backupkit.collection.poll_result import PollOrder, PollResult
from backupkit.errors import (
    ApplianceError,
    BackupkitError,
    BusyError,
    DeadlineError,
    NotFoundError,
    PayloadError,
    RightsError,
    ServerError,
    StoppedError,
    UnreachableError,
    one_line,
)
from backupkit.tables import SyncState
from backupkit.tables.constants import ENDED
from backupkit.tables.job_ids import digest_job_list, to_stored_id

__all__ = ["poll"]

READ_ALL_ABOVE: Final = 200
"""Number of new jobs above which the details of all jobs are read in one request."""

VERSION_WITHOUT_DETAILS: Final = "6.5."
"""Prefix of the versions without details and schedules."""

_log = logging.getLogger(__name__)


def poll(order: PollOrder) -> PollResult:
    """Poll one appliance; errors become part of the result."""
    local = find_local_state(order.state_key)
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
    lookup = find_local_state(order.state_key).known_jobs
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
    read_jobs(client, result, wanted, id_batches=id_batches, order=order)
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

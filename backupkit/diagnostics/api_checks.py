"""API checks of an appliance: jobs, schedule, version, clock and time zone."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from backupkit.diagnostics.connection_checks import CheckContext, Finding
from backupkit.display.format import format_duration
from backupkit.errors import (
    ADVICE,
    NotFoundError,
    PayloadError,
    ServerError,
    SettingsError,
    one_line,
)
from backupkit.settings import time_zone
from backupkit.tables import TOLERATED_SKEW, WEEKDAYS
from backupkit.wire import Schedule

__all__ = [
    "check_clock",
    "check_job_details",
    "check_job_list",
    "check_schedule",
    "check_time_zone",
    "check_version",
]


def check_job_list(context: CheckContext) -> Finding:
    """Check that the user may read the job list."""
    context.job_ids, decode_errors = context.client.job_ids()
    if decode_errors:
        example = next(iter(decode_errors.values()))
        more = f" (and {len(decode_errors) - 1:,} more)" if len(decode_errors) > 1 else ""
        return Finding("failed", f"{example.problem}{more}", example.advice)
    if not context.job_ids:
        return Finding(
            "warning",
            "readable, and empty",
            "The appliance never made a backup, or it was replaced, or it lost its history file. "
            f"Check {context.management_url} under Backup.",
        )
    count = len(context.job_ids)
    return Finding("ok", f"{count:,} job{'' if count == 1 else 's'}")


def check_job_details(context: CheckContext) -> Finding:
    """Check that one job can be read the way a collection reads it."""
    if not context.job_ids:
        return Finding("skipped", "there is no job to read")
    job_id = context.job_ids[0]
    error: str | None = None
    try:
        [(jobs, _)] = context.client.details([job_id])
    except NotFoundError:
        return _check_single_job(context, job_id, "job by job, as before 6.7;")
    except (PayloadError, ServerError) as page_error:
        jobs, error = [], page_error.problem
    for job in jobs:
        if job.job_id == job_id:  # an appliance may ignore the filter
            if job.read_error is None:
                return Finding("ok", f"{job_id} is {job.status}")
            error = f"the details of job {one_line(job_id)} could not be read: {job.read_error}"
    if error is not None:
        return _check_single_job(
            context,
            job_id,
            f"{error}; read by itself,",
            "No job is lost: jobs are read one by one instead. This takes a request for each, and "
            "their type and size may be missing.",
        )
    return Finding("skipped", "the job was removed meanwhile")


def _check_single_job(
    context: CheckContext, job_id: str, found: str, advice: str | None = None
) -> Finding:
    """Check that a job can be read by itself; with an `advice`, something was wrong before."""
    job = context.client.job(job_id)
    if job.read_error is not None:
        problem = f"{found} job {one_line(job_id)} could not be read: {job.read_error}"
        return Finding("failed", problem, ADVICE["partial"])
    return Finding("warning" if advice else "ok", f"{found} {job_id} is {job.status}", advice)


def check_schedule(context: CheckContext) -> Finding:
    """Check that an enabled schedule has a start time."""
    page = f"{context.management_url} under Backup"
    try:
        schedules, decode_errors = context.client.schedules()
    except NotFoundError:
        return Finding(
            "warning",
            "not reported by versions before 6.7",
            "A run that did not start cannot be detected. Upgrade the appliance, so that its "
            "schedule can be read.",
        )
    summary = "; ".join(
        f"{name}: {_format_schedule(plan)}" for name, plan in sorted(schedules.items())
    )
    errors = [error.problem for error in decode_errors.values()]
    errors += [
        f"the schedule {name} could not be read: {plan.read_error}"
        for name, plan in sorted(schedules.items())
        if plan.read_error
    ]
    if errors:
        return Finding(
            "warning",
            "; ".join(filter(None, (summary, *errors))),
            f"Save the schedule again at {page}.",
        )
    if any(plan.enable and plan.recurrence_info for plan in schedules.values()):
        return Finding("ok", summary)
    return Finding(
        "warning",
        summary or "there is none",
        "No schedule starts its backups. "
        f"{'Enable the schedule' if summary else 'Create a schedule'} at {page}, unless backups "
        "are started in another way.",
    )


def _format_schedule(plan: Schedule) -> str:
    """Return when a schedule starts a backup."""
    if plan.enable is False:
        return "disabled"
    if plan.recurrence_info is None:
        return "without a time"
    days, at = plan.recurrence_info.days, plan.recurrence_info
    if at.hour is None or at.minute is None:
        return "at a time that could not be read"
    when = (
        "daily"
        if days is None or set(days) >= set(WEEKDAYS)
        else ", ".join(day[:3].capitalize() for day in days)
    )
    return f"{when} at {at.hour:02}:{at.minute:02}"


def check_version(context: CheckContext) -> Finding:
    """Check that the version can be read."""
    return Finding("ok", context.client.version())


def check_clock(context: CheckContext) -> Finding:
    """Compare the clock of the appliance with that of this machine."""
    skew = context.skew
    if skew is None:
        return Finding("skipped", "no response contained the time")
    if abs(skew) < timedelta(seconds=1):
        return Finding("ok", "same as on this machine")
    direction = "ahead of" if skew > timedelta(0) else "behind"
    summary = f"{format_duration(pd.Timedelta(abs(skew)))} {direction} this machine"
    if abs(skew) <= TOLERATED_SKEW:
        return Finding("ok", summary)
    return Finding(
        "warning",
        summary,
        f"Set time servers (NTP) at {context.management_url} under Time, and check this machine's "
        "clock. Until then the times of its jobs are corrected by the difference.",
    )


def check_time_zone(context: CheckContext) -> Finding:
    """Compare the appliance's time zone with the one in fleet.toml."""
    reported, configured = context.client.timezone(), context.appliance.timezone
    name = context.appliance.name
    try:
        zone = time_zone(reported, where=name)
    except SettingsError:
        return Finding(
            "warning",
            f"{reported}, which is not in the IANA list of time zones",
            f"Its schedule is read in {configured}, as in fleet.toml."
            if configured
            else f"Its schedule is read in UTC. Write the time zone of {name} into fleet.toml: "
            'timezone = "Europe/Berlin".',
        )
    if configured is None or not _zones_differ(
        zone, time_zone(configured, where=name), context.now()
    ):
        return Finding("ok", reported)
    return Finding(
        "warning",
        f"{reported}, but {configured} in fleet.toml",
        "Its schedule is read in its own time zone, so its runs may be expected at other hours "
        f"than you think. Correct timezone for {name} in fleet.toml, or the time zone at "
        f"{context.management_url} under Time.",
    )


def _zones_differ(first: ZoneInfo, second: ZoneInfo, now: datetime) -> bool:
    """Return whether two zones differ within a year; many zones have two names."""
    weeks = (now + timedelta(weeks=n) for n in range(53))
    return any(
        week.astimezone(first).utcoffset() != week.astimezone(second).utcoffset() for week in weeks
    )

"""API checks of an appliance: jobs, schedule, version, clock and time zone."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from backupkit.diagnostics.findings import CheckContext, Finding, failure, span
from backupkit.errors import (
    NotFoundError,
    PayloadError,
    ServerError,
    SettingsError,
)
from backupkit.settings import time_zone
from backupkit.tables import TOLERATED_SKEW, WEEKDAYS
from backupkit.wire import Job, Schedule

__all__ = ["clock", "job_details", "job_list", "schedule", "version", "zone"]


def job_list(context: CheckContext) -> Finding:
    """Check that the user may read the job list."""
    context.job_ids = context.client.job_ids()
    if not context.job_ids:
        return Finding(
            "warning",
            "readable, and empty",
            "An appliance that never made a backup answers so, but also one that was replaced or "
            f"lost its history file. Look at {context.management} under Backup.",
        )
    count = len(context.job_ids)
    return Finding("ok", f"{count:,} job{'' if count == 1 else 's'}")


def job_details(context: CheckContext) -> Finding:
    """Check that one job can be read the way a collection reads it."""
    if not context.job_ids:
        return Finding("skipped", "there is no job to read")
    job_id = context.job_ids[0]
    try:
        [(jobs, decode_errors)] = context.client.details([job_id])
    except NotFoundError:
        return Finding("ok", f"job by job, as before 6.7; {_job_text(context.client.job(job_id))}")
    except (PayloadError, ServerError) as error:
        jobs, decode_errors = [], {job_id: failure(error).found}
    if job_id in decode_errors:
        return Finding(
            "warning",
            f"{decode_errors[job_id].removesuffix('.')}; asked by itself, "
            f"{_job_text(context.client.job(job_id))}",
            "Nothing is lost: jobs are read one by one instead, which takes a request for each and "
            "tells neither their type nor their size.",
        )
    for job in jobs:
        if job.job_id == job_id:  # an appliance may ignore the filter
            return Finding("ok", _job_text(job))
    return Finding("skipped", "the job was removed meanwhile")


def _job_text(job: Job) -> str:
    return f"{job.job_id} is {job.status}"


def schedule(context: CheckContext) -> Finding:
    """Check that an enabled schedule has a start time."""
    page = f"{context.management} under Backup"
    try:
        schedules, decode_errors = context.client.schedules()
    except NotFoundError:
        return Finding(
            "warning",
            "not reported by versions before 6.7",
            "A run that never started goes unseen here. Upgrade the appliance to have its "
            "schedule watched.",
        )
    summary = "; ".join(
        f"{name}: {_schedule_text(plan)}" for name, plan in sorted(schedules.items())
    )
    if decode_errors:
        errors = "; ".join(decode_errors.values())
        return Finding(
            "warning",
            f"{summary}; {errors}" if summary else errors,
            f"Save the schedule again at {page}.",
        )
    if any(plan.enable and plan.recurrence_info for plan in schedules.values()):
        return Finding("ok", summary)
    return Finding(
        "warning",
        summary or "there is none",
        f"Nothing starts its backups. {'Switch it on' if summary else 'Make one'} at {page}, "
        "unless something else does.",
    )


def _schedule_text(plan: Schedule) -> str:
    """Return when a schedule starts a backup."""
    if not plan.enable:
        return "switched off"
    if plan.recurrence_info is None:
        return "without a time"
    days, at = plan.recurrence_info.days, plan.recurrence_info
    when = (
        "daily"
        if days is None or set(days) >= set(WEEKDAYS)
        else ", ".join(day[:3].capitalize() for day in days)
    )
    return f"{when} at {at.hour:02}:{at.minute:02}"


def version(context: CheckContext) -> Finding:
    """Check that the version can be read."""
    return Finding("ok", context.client.version())


def clock(context: CheckContext) -> Finding:
    """Compare the appliance's clock with ours."""
    skew = context.skew
    if skew is None:
        return Finding("skipped", "no response had the time")
    if abs(skew) < timedelta(seconds=1):
        return Finding("ok", "as ours")
    summary = f"{span(skew)} {'ahead of' if skew > timedelta(0) else 'behind'} ours"
    if abs(skew) <= TOLERATED_SKEW:
        return Finding("ok", summary)
    return Finding(
        "warning",
        summary,
        f"Set time servers (NTP) at {context.management} under Time, and check this machine's "
        "clock. Until then its jobs are shifted onto our clock.",
    )


def zone(context: CheckContext) -> Finding:
    """Compare the appliance's time zone with the one in fleet.toml."""
    reported, configured = context.client.timezone(), context.appliance.timezone
    name = context.appliance.name
    try:
        zone = time_zone(reported, where=name)
    except SettingsError:
        return Finding(
            "warning",
            f"{reported}, which is no zone of the IANA list",
            f"Its schedule is read in {configured}, as fleet.toml says."
            if configured
            else f"Its schedule is read in UTC. Write its zone for {name} in fleet.toml: timezone "
            '= "Europe/Berlin".',
        )
    if configured is None or not _zones_differ(
        zone, time_zone(configured, where=name), context.now()
    ):
        return Finding("ok", reported)
    return Finding(
        "warning",
        f"{reported}, but fleet.toml says {configured}",
        f"Its schedule is read in its own zone, so runs are expected at other hours than you may "
        f"think. Correct timezone for {name} in fleet.toml, or the zone at {context.management} "
        "under Time.",
    )


def _zones_differ(first: ZoneInfo, second: ZoneInfo, now: datetime) -> bool:
    """Return whether two zones differ within a year; many zones have two names."""
    weeks = (now + timedelta(weeks=n) for n in range(53))
    return any(
        week.astimezone(first).utcoffset() != week.astimezone(second).utcoffset() for week in weeks
    )

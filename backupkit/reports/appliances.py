"""Sections of the report with a row per appliance: its state and newest jobs, its data basis."""

from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo

import pandas as pd

from backupkit.assessment import Assessment
from backupkit.assessment.result import NEVER, exposure
from backupkit.display import Badge, Rows, state_badge
from backupkit.display.format import (
    NO_DATA,
    Ratio,
    Size,
    format_duration,
    sanitise,
    time_ratio,
)
from backupkit.errors import SettingsError
from backupkit.plots.themes import OUTCOME_STYLES
from backupkit.reports.exports import format_messages
from backupkit.reports.facts import Aged, ApplianceFacts, DataSource, JobRow, Link, Since
from backupkit.reports.levels import describe_levels
from backupkit.reports.period import find_period_jobs, select_period_jobs
from backupkit.reports.rows import Row, iterate_rows
from backupkit.settings import time_zone
from backupkit.tables import COMPLETED_SLOTS, MISSED_SLOTS, TOLERATED_SKEW

__all__ = ["build_appliance_facts", "build_data_sources", "build_job_row", "build_since"]

_SMALL_FLEET: Final = 100
_JOBS_SMALL_FLEET: Final = 10
_JOBS_LARGE_FLEET: Final = 3
_MAX_DETAILED_IN_LARGE_FLEET: Final = 200
_MAX_SOURCES: Final = 150


def build_appliance_facts(
    assessment: Assessment, links: Mapping[str, Link]
) -> tuple[ApplianceFacts, ...]:
    """Return the appliances, the worst first, each with its newest jobs.

    In a fleet above 100, only the first 200 appliances in breach have jobs; the others have only
    the number of jobs.
    """
    rows = assessment.appliances
    small = len(rows) <= _SMALL_FLEET
    detailed = rows.index if small else rows.index[rows["state"] == "breach"]
    detailed = detailed[:_MAX_DETAILED_IN_LARGE_FLEET]
    names = assessment.assessed_jobs["appliance"][find_period_jobs(assessment)]
    job_counts = names.value_counts().to_dict()
    newest = (
        select_period_jobs(assessment, detailed)
        .sort_values(["start_time", "job_id"], ascending=False, kind="stable")
        .groupby("appliance")
        .head(_JOBS_SMALL_FLEET if small else _JOBS_LARGE_FLEET)
    )
    jobs_by_appliance: dict[str, list[Row]] = {}
    for _, job in iterate_rows(newest):
        jobs_by_appliance.setdefault(job["appliance"], []).append(job)
    schedules = assessment.schedules
    schedule_texts = _format_schedules(schedules[schedules["appliance"].isin(detailed)])
    zones = assessment.coverage["timezone"].to_dict()
    with_details = frozenset(detailed)
    facts = []
    for label, row in iterate_rows(rows):
        name = str(label)
        zone = _find_zone(zones.get(name))
        done = sum(row[f"slots_{state}"] for state in COMPLETED_SLOTS)
        missed = sum(row[f"slots_{state}"] for state in MISSED_SLOTS)
        in_scope = row["compliant"] + row["breach"] + row["unknown"]
        places = [sanitise(row[column], limit=60) for column in ("site", "group")]
        facts.append(
            ApplianceFacts(
                appliance=links[name],
                place=", ".join(text for text in places if text),
                state=state_badge(row["state"]),
                breach_since=build_since(row),
                exposure=exposure(row),
                last_success=row["last_success"],
                rpo=time_ratio(row["compliant"], in_scope),
                slots=Ratio(done, done + missed + row["slots_unknown"]),
                attempts=Ratio(row["attempts_ok"], row["attempts"]),
                strikes=row["strikes"],
                reason=sanitise(row["reason"], limit=400),
                levels=describe_levels(row) if name in with_details else "",
                schedules=tuple(schedule_texts.get(name, [])) if name in with_details else (),
                zone=sanitise(zones[name], limit=60) if zone else "",
                jobs=Rows(
                    (build_job_row(job, zone) for job in jobs_by_appliance.get(name, ())),
                    job_counts.get(name, 0),
                ),
            )
        )
    return tuple(facts)


def build_since(row: Row | pd.Series) -> Since:
    """Return since when an appliance of `backupkit.tables.APPLIANCES` is in breach."""
    return Since(row["breach_since"], NEVER if pd.isna(row["last_success"]) else "")


def build_job_row(job: Row, zone: ZoneInfo | None = None) -> JobRow:
    """Return the row of a job of `backupkit.tables.ASSESSED_JOBS`."""
    style = OUTCOME_STYLES.get(job["outcome"], OUTCOME_STYLES["other"])
    start = job["start_time"]
    running = job["outcome"] == "open" and pd.notna(job["progress"])
    progress = f", {job['progress']:.0f} %" if running else ""
    texts = (job["remark"], format_messages(job["messages"]))
    return JobRow(
        start=start,
        local=f"{start.tz_convert(zone):%H:%M}" if zone and pd.notna(start) else "",
        outcome=Badge(str(job["outcome"]), f"{style.symbol} {style.label}{progress}"),
        duration=job["duration"],
        type=sanitise(job["type"], limit=40).lower(),
        size=Size(job["size"]),
        job_id=sanitise(job["job_id"], limit=120),
        message=sanitise("; ".join(text for text in texts if isinstance(text, str) and text)),
    )


def _find_zone(name: object) -> ZoneInfo | None:
    """Return the time zone of a name; None if it is UTC or unknown."""
    if not isinstance(name, str) or name in {"UTC", "Etc/UTC"}:
        return None
    try:
        return time_zone(name, where="")
    except SettingsError:  # an appliance may report any text
        return None


def _format_schedules(schedules: pd.DataFrame) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for _, row in iterate_rows(schedules):
        days = row["days"]
        frequency = "daily" if days is None or days is pd.NA else ", ".join(d.title() for d in days)
        time = (
            f"{row['hour']:02}:{row['minute']:02}"
            if pd.notna(row["hour"]) and pd.notna(row["minute"])
            else "at no known time"
        )
        disabled = ", switched off" if pd.notna(row["enabled"]) and not row["enabled"] else ""
        text = f"“{row['schedule']}”: {frequency} {time} {sanitise(row['timezone'])}".strip()
        location = sanitise(row["location"], limit=200)
        texts.setdefault(str(row["appliance"]), []).append(
            sanitise(text, limit=300) + disabled + (f", to {location}" if location else "")
        )
    return texts


def build_data_sources(assessment: Assessment, links: Mapping[str, Link]) -> Rows[DataSource]:
    """Return the data basis of each appliance of a fleet of up to 100.

    In a larger fleet, at most 150 that have a clock skew above 5 min, a gap or an error.
    """
    coverage = assessment.coverage.reindex(assessment.appliances.index)
    listed_coverage = coverage
    if len(coverage) > _SMALL_FLEET:
        skewed = coverage["clock_skew"].abs() > TOLERATED_SKEW
        gaps = coverage["ratio"].fillna(0.0) < 1
        listed_coverage = coverage[skewed | gaps | coverage["error"].notna()][:_MAX_SOURCES]

    def joined(row: Row, columns: tuple[str, str], separator: str) -> str:
        return separator.join(text for name in columns if (text := sanitise(row[name])))

    data_sources = (
        DataSource(
            appliance=links[str(name)],
            polls=Ratio(row["polls_ok"], row["polls"]),
            last_ok=Aged(row["last_ok"], assessment.end),
            staleness=row["staleness"],
            known_since=row["known_since"],
            observed=time_ratio(row["observed"], row["in_scope"]),
            zone=joined(row, ("timezone", "timezone_source"), " - "),
            skew=_format_skew(row["clock_skew"]),
            version=joined(row, ("version", "api"), " "),
        )
        for name, row in iterate_rows(listed_coverage)
    )
    return Rows(data_sources, len(coverage))


def _format_skew(skew: pd.Timedelta) -> str:
    if pd.isna(skew):
        return NO_DATA
    if abs(skew) <= TOLERATED_SKEW:
        return format_duration(skew)
    direction = "fast" if skew > pd.Timedelta(0) else "slow"
    return f"{format_duration(abs(skew))} {direction}, corrected for"

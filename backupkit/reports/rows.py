"""View models of the tables of appliances, jobs and data sources."""

from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from backupkit.assessment import Assessment
from backupkit.assessment.result import exposure
from backupkit.display.format import (
    NO_DATA,
    format_duration,
    format_relative,
    format_timestamp,
    hours,
    ratio,
    sanitise,
    size,
)
from backupkit.plots.style import OUTCOME_STYLES
from backupkit.reports.facts import (
    STATE_LABELS,
    ApplianceFacts,
    DataSource,
    JobRow,
    Link,
)
from backupkit.reports.messages import messages_text
from backupkit.tables import COMPLETED_SLOTS, MISSED_SLOTS, TOLERATED_SKEW

__all__ = ["appliance_facts", "exposure", "job_facts", "rows_of", "sources"]

_SMALL_FLEET = 100
_JOBS_SMALL_FLEET = 10
_JOBS_LARGE_FLEET = 3
_DETAILED_IN_LARGE_FLEET = 200
_SOURCES = 150


def rows_of(frame: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Iterate over a frame that is indexed by appliance, as (name, row)."""
    return ((str(name), row) for name, row in frame.iterrows())


def appliance_facts(
    assessment: Assessment, links: Mapping[str, Link]
) -> tuple[ApplianceFacts, ...]:
    """Return the rows of the table of appliances, the worst first.

    Parameters
    ----------
    assessment : Assessment
        Reads its appliances, jobs, schedules and coverage.
    links : mapping of str to Link
        Link to each appliance's row, by name.

    Returns
    -------
    tuple of ApplianceFacts
        Each with its newest jobs. In a fleet above 100, only the first 200 appliances in breach
        have jobs; the others have only the number of jobs.
    """
    rows = assessment.appliances
    small = len(rows) <= _SMALL_FLEET
    detailed = rows.index if small else rows.index[rows["state"] == "breach"]
    detailed = detailed[:_DETAILED_IN_LARGE_FLEET]
    jobs = assessment.jobs
    job_counts = jobs.groupby("appliance").size()
    newest = (
        jobs[jobs["appliance"].isin(detailed)]
        .sort_values(["start_time", "job_id"], ascending=False, kind="stable")
        .groupby("appliance")
        .head(_JOBS_SMALL_FLEET if small else _JOBS_LARGE_FLEET)
    )
    jobs_by_appliance = dict(iter(newest.groupby("appliance")))
    schedule_texts = _schedule_texts(assessment.schedules)
    zones = assessment.coverage["timezone"].to_dict()
    return tuple(
        _appliance(
            row,
            links[name],
            jobs=jobs_by_appliance.get(name, newest.iloc[:0]),
            zone=zones.get(name),
            schedules=tuple(schedule_texts.get(name, [])) if name in detailed else (),
            job_count=int(job_counts.get(name, 0)),
        )
        for name, row in rows_of(rows)
    )


def _appliance(
    row: pd.Series,
    link: Link,
    *,
    jobs: pd.DataFrame,
    zone: object,
    schedules: tuple[str, ...],
    job_count: int,
) -> ApplianceFacts:
    done = sum(row[f"slots_{state}"] for state in COMPLETED_SLOTS)
    missed = sum(row[f"slots_{state}"] for state in MISSED_SLOTS)
    in_scope = row["compliant"] + row["breach"] + row["unknown"]
    site_and_group = [sanitise(row[name], limit=60) for name in ("site", "group")]
    local = _zone(zone)
    return ApplianceFacts(
        appliance=link,
        site_and_group=", ".join(text for text in site_and_group if text),
        state=str(row["state"]),
        label=STATE_LABELS[row["state"]],
        reason=sanitise(row["reason"], limit=400),
        exposure=exposure(row),
        last_success=format_timestamp(row["last_success"]),
        rpo=ratio(hours(row["compliant"]), hours(in_scope), "h"),
        slots=ratio(done, done + missed + row["slots_unknown"]),
        attempts=ratio(row["attempts_ok"], row["attempts"]),
        strikes=NO_DATA if pd.isna(row["strikes"]) else str(row["strikes"]),
        schedules=schedules,
        zone=sanitise(zone, limit=60) if local else "",
        jobs=tuple(_job_row(job, local) for _, job in jobs.iterrows()),
        job_count=job_count,
    )


def job_facts(jobs: pd.DataFrame) -> tuple[tuple[str, JobRow], ...]:
    """Return the rows of a table of jobs.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.

    Returns
    -------
    tuple of (str, JobRow)
        Appliance name and job, in the same order.
    """
    return tuple(
        (sanitise(job["appliance"], limit=80), _job_row(job, None)) for _, job in jobs.iterrows()
    )


def _job_row(job: pd.Series, zone: ZoneInfo | None) -> JobRow:
    look = OUTCOME_STYLES.get(job["outcome"], OUTCOME_STYLES["other"])
    start = job["start_time"]
    running = job["outcome"] == "open" and pd.notna(job["progress"])
    return JobRow(
        start=format_timestamp(start),
        local=f"{start.tz_convert(zone):%H:%M}" if zone and pd.notna(start) else "",
        duration=format_duration(job["duration"]),
        outcome=str(job["outcome"]),
        label=f"{look.symbol} {look.label}" + (f", {job['progress']:.0f} %" if running else ""),
        type=sanitise(job["type"], limit=40).lower(),
        size=size(job["size"]),
        job_id=sanitise(job["job_id"], limit=120),
        message=sanitise(messages_text(job["messages"])),
    )


def _zone(name: object) -> ZoneInfo | None:
    """Return the time zone of a name; None if it is UTC or unknown."""
    if not isinstance(name, str) or name in {"UTC", "Etc/UTC"}:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):  # an appliance may report any text
        return None


def _schedule_texts(schedules: pd.DataFrame) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for _, row in schedules.iterrows():
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


def sources(
    assessment: Assessment, links: Mapping[str, Link]
) -> tuple[tuple[DataSource, ...], int]:
    """Return the rows of the table of data sources.

    Parameters
    ----------
    assessment : Assessment
        Reads its coverage.
    links : mapping of str to Link
        Link to each appliance's row, by name.

    Returns
    -------
    tuple of DataSource
        All appliances of a fleet of up to 100. In a larger one, at most 150 that have a clock
        skew above 5 min, a gap or an error.
    int
        Number of omitted appliances.
    """
    coverage = assessment.coverage.reindex(assessment.appliances.index)
    listed = coverage
    if len(coverage) > _SMALL_FLEET:
        skewed = coverage["clock_skew"].abs() > TOLERATED_SKEW
        gaps = coverage["ratio"].fillna(0.0) < 1
        listed = coverage[skewed | gaps | coverage["error"].notna()][:_SOURCES]
    data_sources = tuple(
        DataSource(
            appliance=links[name],
            polls=ratio(row["polls_ok"], row["polls"]),
            last_ok=format_timestamp(row["last_ok"]),
            age=format_relative(row["last_ok"], assessment.now),
            known_since=format_timestamp(row["known_since"]),
            ratio=ratio(hours(row["observed"]), hours(row["in_scope"]), "h"),
            zone=" - ".join(
                text for name in ("timezone", "timezone_source") if (text := sanitise(row[name]))
            ),
            skew=_skew(row["clock_skew"]),
            version=" ".join(text for name in ("version", "api") if (text := sanitise(row[name]))),
        )
        for name, row in rows_of(listed)
    )
    return data_sources, len(coverage) - len(listed)


def _skew(skew: pd.Timedelta) -> str:
    if pd.isna(skew):
        return NO_DATA
    if abs(skew) <= TOLERATED_SKEW:
        return format_duration(skew)
    direction = "fast" if skew > pd.Timedelta(0) else "slow"
    return f"{format_duration(abs(skew))} {direction}, corrected for"

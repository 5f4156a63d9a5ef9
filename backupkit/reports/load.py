"""View models of running jobs, start delays and load of the backup targets."""

from collections.abc import Mapping

import pandas as pd

from backupkit import plots
from backupkit.analysis import target_of
from backupkit.assessment import Assessment
from backupkit.display.format import (
    NO_DATA,
    format_duration,
    format_number,
    format_timestamp,
    ratio,
    sanitise,
    size,
)
from backupkit.reports.facts import LateStart, Link, Load, Picture, Running, TargetLoad
from backupkit.reports.figures import embed_figure
from backupkit.reports.messages import messages_text

__all__ = ["load_of"]

_RUNNING = 25
_STARTS = 10
_TARGETS = 25
_DAY = pd.Timedelta(days=1)
_PUNCTUAL = pd.Timedelta(minutes=5)


def load_of(assessment: Assessment, links: Mapping[str, Link]) -> Load:
    """Return running jobs, early and late starts, and load of the backup targets.

    Parameters
    ----------
    assessment : Assessment
        Reads its jobs, slots, anomalies, baselines and loads.
    links : mapping of str to Link
        Link to each appliance's row, by name.

    Returns
    -------
    Load
        At most 25 running jobs, 10 starts and 25 targets.
    """
    jobs = assessment.jobs
    running = jobs[(jobs["outcome"] == "open") & jobs["vanished_at"].isna()]
    running = running.sort_values("start_time", kind="stable")
    start_summary, starts = _starts(assessment, links)
    loads = assessment.loads
    figure, finding = _picture(assessment)
    return Load(
        running=tuple(
            _running(job, assessment, links) for _, job in running.head(_RUNNING).iterrows()
        ),
        running_omitted=max(len(running) - _RUNNING, 0),
        start_summary=start_summary,
        starts=starts,
        picture=figure,
        finding=finding,
        targets=tuple(
            TargetLoad(
                name=sanitise(name, limit=120),
                appliances=format_number(row["appliances"]),
                runs=format_number(row["jobs"]),
                peak=_format_peak(row["peak"], row["peak_at"]),
                scheduled_peak=_format_peak(row["planned_peak"], row["planned_peak_at"]),
                bytes_sent=size(row["bytes_sent"]),
            )
            for name, row in loads.head(_TARGETS).iterrows()
        ),
        targets_omitted=max(len(loads) - _TARGETS, 0),
    )


def _running(job: pd.Series, assessment: Assessment, links: Mapping[str, Link]) -> Running:
    rows = assessment.anomalies
    anomalies = rows[(rows["appliance"] == job["appliance"]) & (rows["job_id"] == job["job_id"])]
    last_message = messages_text(job["messages"]).rpartition("\n")[2]
    typical_duration = assessment.baselines["typical_duration"].get(job["appliance"], pd.NaT)
    return Running(
        appliance=links[job["appliance"]],
        start=format_timestamp(job["start_time"]),
        elapsed=format_duration(assessment.now - job["start_time"]),
        progress=NO_DATA if pd.isna(job["progress"]) else f"at {job['progress']:.0f} %",
        typical_duration=format_duration(typical_duration),
        remark="; ".join(sanitise(rule, limit=200) for rule in anomalies["rule"]),
        message=sanitise(last_message, limit=300),
    )


def _starts(assessment: Assessment, links: Mapping[str, Link]) -> tuple[str, tuple[LateStart, ...]]:
    """Compare the starts of the jobs of the last day with their slots."""
    slots = assessment.slots
    recent = slots[(slots["slot"] >= assessment.end - _DAY) & slots["job_id"].notna()]
    starts = assessment.jobs[["appliance", "job_id", "start_time"]]
    matched = recent.merge(starts, on=["appliance", "job_id"])
    if matched.empty:
        return "In the last day no run of a schedule began.", ()
    delay = (matched["start_time"] - matched["slot"]).rename("delay")
    off_schedule = matched.join(delay)[delay.abs() > _PUNCTUAL]
    punctual = ratio(len(matched) - len(off_schedule), len(matched), "runs")
    order = (-off_schedule["delay"].abs()).argsort(kind="stable")
    largest = off_schedule.iloc[order].head(_STARTS)
    return f"In the last day {punctual} began within 5 min of their time.", tuple(
        LateStart(
            appliance=links[row["appliance"]],
            planned=format_timestamp(row["slot"]),
            started=format_timestamp(row["start_time"]),
            delay=_format_delay(row["delay"]),
        )
        for _, row in largest.iterrows()
    )


def _format_delay(delay: pd.Timedelta) -> str:
    return f"{format_duration(abs(delay))} {'late' if delay > pd.Timedelta(0) else 'early'}"


def _picture(assessment: Assessment) -> tuple[Picture | None, str]:
    loads = assessment.loads
    if loads.empty:
        return None, "No job of this period tells where it went."
    top = loads.iloc[0]
    finding = (
        f"Busiest: {sanitise(loads.index[0], limit=120)}, at most "
        f"{_format_peak(top['peak'], top['peak_at'])}."
    )
    jobs = assessment.jobs
    ran = (jobs["start_time"] < assessment.end) & ~(jobs["end_time"] < assessment.start)
    inside = jobs.loc[ran, ["location", "start_time", "end_time", "vanished_at"]]
    targets = {location: target_of(location) for location in inside["location"].dropna().unique()}
    ax = plots.load(inside.assign(target=inside["location"].map(targets)), loads=loads)
    return embed_figure(ax, f"Jobs that ran at once on each backup target. {finding}"), finding


def _format_peak(peak: object, time: pd.Timestamp) -> str:
    if pd.isna(peak) or pd.isna(time):  # type: ignore[call-overload] # a cell of a frame
        return NO_DATA
    return f"{peak:,} at once ({format_timestamp(time)} UTC)"

"""Detail sections of the page: load, durations and sizes, checks, appliances and method."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from backupkit import plots
from backupkit.analysis import target_of
from backupkit.assessment import Assessment
from backupkit.display import Badge, Rows
from backupkit.display.format import (
    NO_DATA,
    Ratio,
    Size,
    format_count,
    format_duration,
    format_timestamp,
    sanitise,
)
from backupkit.policy.policy import format_other_policies, format_parameters
from backupkit.policy.scope import build_exclusion_rows
from backupkit.reports.appliances import build_appliance_facts, build_data_sources
from backupkit.reports.days import build_matrix, build_trend
from backupkit.reports.exports import format_messages
from backupkit.reports.facts import (
    Details,
    Finding,
    Growth,
    LateStart,
    Link,
    LintFinding,
    Load,
    Named,
    Outlier,
    Picture,
    Running,
    Sizes,
    TargetLoad,
)
from backupkit.reports.forecast import build_forecast
from backupkit.reports.incidents import list_incidents
from backupkit.reports.levels import build_levels, format_throughput
from backupkit.reports.period import is_current
from backupkit.reports.rows import Row, iterate_rows
from backupkit.reports.summary import build_figures, build_links

__all__ = ["build_details", "build_load", "build_sizes"]

_MAX_NAMES: Final = 5
_MAX_FINDINGS: Final = 50
_MAX_RUNNING: Final = 25
_MAX_STARTS: Final = 10
_MAX_TARGETS: Final = 25
_MAX_OUTLIERS: Final = 25
_MAX_GROWTHS: Final = 10
_MAX_DRAWN: Final = 6  # appliances; of more, the figure draws rows instead of series
_BASELINE_JOBS: Final = 10
_MIN_GROWTH: Final = 0.05
_DAY: Final = pd.Timedelta(days=1)
_MAX_PUNCTUAL_DELAY: Final = pd.Timedelta(minutes=5)
_KINDS: Final = {
    "duration": "duration",
    "size": "size",
    "overrun": "still running",
    "stall": "stalled",
}
_OTHER_FIGURES: Mapping[str, str] = MappingProxyType(
    {
        "rpo_strict_macro": "time inside the RPO, strict, mean of the appliances",
        "rpo_observed_micro": "time inside the RPO, observed",
        "rpo_observed_macro": "time inside the RPO, observed, mean of the appliances",
        "slot_strict_macro": "expected runs done, strict, mean of the appliances",
        "slot_observed_micro": "expected runs done, observed",
        "slot_observed_macro": "expected runs done, observed, mean of the appliances",
        "attempts_micro": "runs that succeeded (a diagnostic, not the SLA)",
        "attempts_macro": "runs that succeeded, mean of the appliances",
        "coverage_time": "in-scope time that was observed",
    }
)


def build_details(assessment: Assessment) -> Details:
    """Return the detail sections of the page."""
    links = build_links(assessment)
    policy = assessment.policy
    return Details(
        trend=build_trend(assessment),
        levels=build_levels(assessment),
        incidents=list_incidents(assessment, links),
        matrix=build_matrix(assessment, links),
        forecast=build_forecast(assessment, links),
        load=build_load(assessment, links),
        sizes=build_sizes(assessment, links),
        lint=_group_lint_findings(assessment, links),
        lint_checked=assessment.verdict.in_scope + assessment.verdict.unobserved,
        appliances=build_appliance_facts(assessment, links),
        sources=build_data_sources(assessment, links),
        other_figures=build_figures(assessment, _OTHER_FIGURES),
        policy=tuple(format_parameters(policy).items()),
        policies=tuple(
            (sanitise(name, limit=80), numbers) for name, numbers in format_other_policies(policy)
        ),
        windows=tuple(
            (sanitise(scope, limit=400), period or "always", sanitise(reason, limit=400))
            for scope, period, reason in build_exclusion_rows(policy.members, policy.exclusions)
        ),
        reproduce_command=(
            f"backupkit report --as-of {assessment.now.isoformat()} "
            f"--start {assessment.start.isoformat()} --end {assessment.end.isoformat()}"
        ),
        is_selection=assessment.is_selection,
    )


def _group_lint_findings(assessment: Assessment, links: Mapping[str, Link]) -> Rows[LintFinding]:
    """Group findings by severity and rule; the text is that of the first one."""
    groups = assessment.lint.groupby(["severity", "rule"], sort=False)
    findings = (
        LintFinding(
            severity=Badge(f"lint-{severity}", str(severity).capitalize()),
            finding=Finding(
                sanitise(rows["finding"].iloc[0], limit=400), str(rule), has_others=len(rows) > 1
            ),
            appliances=Named(
                len(rows),
                tuple(links[name] for name in rows["appliance"][:_MAX_NAMES] if name in links),
            ),
            advice=sanitise(rows["advice"].iloc[0], limit=400),
        )
        for (severity, rule), rows in list(groups)[:_MAX_FINDINGS]
    )
    return Rows(findings, len(groups))


# --- load -----------------------------------------------------------------------------------------


def build_load(assessment: Assessment, links: Mapping[str, Link]) -> Load:
    """Return running jobs, early and late starts, and load of the backup targets."""
    jobs = assessment.assessed_jobs
    running = jobs[(jobs["outcome"] == "open") & jobs["vanished_at"].isna()]
    running = running if is_current(assessment) else running[:0]
    running = running.sort_values("start_time", kind="stable")
    start_summary, starts = _compare_starts(assessment, links)
    loads = assessment.loads
    picture, finding = _draw_load(assessment)
    targets = (
        TargetLoad(
            name=sanitise(name, limit=120),
            appliances=row["appliances"],
            runs=row["jobs"],
            peak=_format_peak(row["peak"], row["peak_at"]),
            scheduled_peak=_format_peak(row["planned_peak"], row["planned_peak_at"]),
            sent=Size(row["bytes_sent"]),
            throughput=format_throughput(row["throughput"]),
        )
        for name, row in iterate_rows(loads.head(_MAX_TARGETS))
    )
    return Load(
        is_current=is_current(assessment),
        running=Rows(
            (
                _build_running_job(job, assessment, links)
                for _, job in iterate_rows(running.head(_MAX_RUNNING))
            ),
            len(running),
        ),
        start_summary=start_summary,
        starts=starts,
        picture=picture,
        finding=finding,
        targets=Rows(targets, len(loads)),
    )


def _build_running_job(job: Row, assessment: Assessment, links: Mapping[str, Link]) -> Running:
    rows = assessment.anomalies
    anomalies = rows[(rows["appliance"] == job["appliance"]) & (rows["job_id"] == job["job_id"])]
    last_message = format_messages(job["messages"]).rpartition("\n")[2]
    return Running(
        appliance=links[job["appliance"]],
        start=job["start_time"],
        elapsed=assessment.now - job["start_time"],
        typical_duration=assessment.baselines["typical_duration"].get(job["appliance"], pd.NaT),
        progress=NO_DATA if pd.isna(job["progress"]) else f"at {job['progress']:.0f} %",
        remark=Badge("stalled", "; ".join(sanitise(rule, limit=200) for rule in anomalies["rule"])),
        message=sanitise(last_message, limit=300),
    )


def _compare_starts(
    assessment: Assessment, links: Mapping[str, Link]
) -> tuple[str, tuple[LateStart, ...]]:
    """Compare the starts of the jobs of the last day with their slots."""
    slots = assessment.slots
    recent = slots[(slots["slot"] >= assessment.end - _DAY) & slots["job_id"].notna()]
    starts = assessment.assessed_jobs[["appliance", "job_id", "start_time"]]
    matched = recent.merge(starts, on=["appliance", "job_id"])
    if matched.empty:
        return "In the last day no run of a schedule began.", ()
    delay = (matched["start_time"] - matched["slot"]).rename("delay")
    off_schedule = matched.join(delay)[delay.abs() > _MAX_PUNCTUAL_DELAY]
    punctual = Ratio(len(matched) - len(off_schedule), len(matched), "runs")
    order = (-off_schedule["delay"].abs()).argsort(kind="stable")
    largest = off_schedule.iloc[order].head(_MAX_STARTS)
    return f"In the last day {punctual} began within 5 min of their time.", tuple(
        LateStart(
            appliance=links[row["appliance"]],
            planned=row["slot"],
            started=row["start_time"],
            delay=format_duration(abs(row["delay"]))
            + (" late" if row["delay"] > pd.Timedelta(0) else " early"),
        )
        for _, row in iterate_rows(largest)
    )


def _draw_load(assessment: Assessment) -> tuple[Picture | None, str]:
    loads = assessment.loads
    if loads.empty:
        return None, "No job of this period names its target."
    top = loads.iloc[0]
    finding = (
        f"Busiest: {sanitise(loads.index[0], limit=120)}, at most "
        f"{_format_peak(top['peak'], top['peak_at'])}."
    )
    jobs = assessment.assessed_jobs
    ran = (jobs["start_time"] < assessment.end) & ~(jobs["end_time"] < assessment.start)
    inside = jobs.loc[ran, ["location", "start_time", "end_time", "vanished_at"]]
    targets = {location: target_of(location) for location in inside["location"].dropna().unique()}
    ax = plots.load(inside.assign(target=inside["location"].map(targets)), loads=loads)
    return Picture.of(ax, f"Jobs that ran at once on each backup target. {finding}"), finding


def _format_peak(peak: object, time: pd.Timestamp) -> str:
    if pd.isna(peak) or pd.isna(time):  # type: ignore[call-overload] # a cell of a frame
        return NO_DATA
    return f"{peak:,} at once ({format_timestamp(time, 'UTC')})"


# --- durations and sizes --------------------------------------------------------------------------


def build_sizes(assessment: Assessment, links: Mapping[str, Link]) -> Sizes:
    """Return the unusual jobs, the newest first, and the appliances whose backups grow."""
    anomalies = assessment.anomalies.sort_values("start_time", ascending=False, kind="stable")
    baselines = assessment.baselines
    complete = int(baselines["sample_size"].ge(_BASELINE_JOBS).sum())
    share = Ratio(complete, len(baselines), "appliances")
    if anomalies.empty:
        finding, picture = "No job was unusually long, short, large or small.", None
    else:
        counts = anomalies["appliance"].value_counts()
        finding = (
            f"{format_count(len(anomalies), 'unusual job')}, most of "
            f"{links[counts.index[0]].name} ({counts.iloc[0]:,} of {len(anomalies):,})."
        )
        jobs = assessment.assessed_jobs
        ended = jobs["start_time"].between(assessment.start, assessment.end, inclusive="left")
        worst = jobs[ended & jobs["appliance"].isin(counts.index[:_MAX_DRAWN])]
        ax = plots.durations(worst, anomalies=anomalies, limit=_MAX_DRAWN)
        picture = Picture.of(ax, f"Durations of the jobs of the most unusual appliances. {finding}")
    growing = baselines[baselines["growth_share"].gt(_MIN_GROWTH).fillna(value=False)]
    shares = growing["growth_share"].to_numpy(dtype=np.float64)
    return Sizes(
        picture=picture,
        finding=finding,
        outliers=Rows(
            (_build_outlier(row, links) for _, row in iterate_rows(anomalies.head(_MAX_OUTLIERS))),
            len(anomalies),
        ),
        growths=tuple(
            Growth(
                appliance=links[str(name)],
                typical_size=Size(row["typical_size"]),
                growth=f"{Size(row['growth'] * 30)} in 30 days",
                footprint=Size(row["footprint"]),
            )
            for name, row in iterate_rows(
                growing.iloc[np.argsort(-shares, kind="stable")[:_MAX_GROWTHS]]
            )
        ),
        baseline_note=f"A baseline needs {_BASELINE_JOBS} successes: {share} have it.",
    )


def _build_outlier(row: Row, links: Mapping[str, Link]) -> Outlier:
    value, typical = (
        Size(amount)
        if row["kind"] == "size"
        else pd.NaT
        if pd.isna(amount)
        else pd.Timedelta(seconds=amount)
        for amount in (row["value"], row["typical"])
    )
    return Outlier(
        appliance=links[row["appliance"]],
        start=row["start_time"],
        kind=_KINDS[row["kind"]],
        value=value,
        typical=typical,
        rule=sanitise(row["rule"], limit=200),
    )

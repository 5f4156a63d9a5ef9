"""Evaluation of a history, a snapshot or frames."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import pandas as pd

from backupkit import analysis
from backupkit.assessment.context import EvaluationContext, Period
from backupkit.assessment.partial import (
    PartialAssessment,
    assess_appliances,
    find_without_schedule_api,
)
from backupkit.assessment.result import Assessment
from backupkit.assessment.verdict import PeriodVerdict, Verdict, list_verdicts
from backupkit.causes import Catalogue
from backupkit.policy import Policy
from backupkit.settings import Instant, time_zone
from backupkit.tables import (
    APPLIANCES,
    COVERAGE,
    JOBS,
    POLLS,
    SCHEDULES,
    STATES_BY_SEVERITY,
    TOTALS,
    HistoryView,
)

__all__ = ["as_of", "evaluate", "evaluate_frames", "list_appliances", "merge_assessments"]


class _History(Protocol):
    """A source of the data known at an instant, such as `backupkit.History`.

    With a period, it may leave out what `backupkit.analysis.restrict_to_period` drops.
    """

    def view(
        self,
        *,
        at: Instant | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        now: Instant | None = None,
        hosts: Mapping[str, str] | None = None,
    ) -> HistoryView: ...


class _Snapshot(Protocol):
    """Frames of one collection, such as the result of `backupkit.collect`."""

    @property
    def jobs(self) -> pd.DataFrame: ...
    @property
    def polls(self) -> pd.DataFrame: ...
    @property
    def schedules(self) -> pd.DataFrame: ...


def evaluate(  # noqa: PLR0913 # one parameter per way to give a period
    source: _History | _Snapshot,
    policy: Policy,
    *,
    start: Instant | None = None,
    end: Instant | None = None,
    now: Instant | None = None,
    last: str | timedelta | None = None,
    month: str | None = None,
    quarter: str | None = None,
    timezone: str | None = None,
    as_if: bool = False,
) -> Assessment:
    """Evaluate a fleet over a period.

    Parameters
    ----------
    source : History or Snapshot
        The data. From a history, only what was known at `now`, if that is given.
    policy : Policy
        The policy and its appliances.
    start, end : datetime or str, optional
        The period, half-open: aware datetimes, or ISO 8601 text. The end is `now` by default and
        never later. By default, the start is 30 days before the end.
    now : datetime or str, optional
        The time of the assessment; by default the current time.
    last : str or timedelta, optional
        The length of the period, such as ``"7d"``, instead of `start`.
    month, quarter : str, optional
        A calendar period instead: ``"2026-03"``, ``"2026-Q1"``, or ``"last"``, the newest one that
        is over.
    timezone : str, optional
        IANA time zone of months, quarters and texts without a zone. Default: `report_timezone` of
        the policy.
    as_if : bool
        Apply the policy of `now` to all of the past. By default, the policy of its time applies
        to each moment.

    Returns
    -------
    Assessment
        All facts.

    Raises
    ------
    SettingsError
        If options exclude each other, a time cannot be parsed, or the period is empty.
    """
    zone = time_zone(timezone or policy.report_timezone, where="timezone").key
    period = Period.from_options(
        start=start, end=end, now=now, last=last, month=month, quarter=quarter, zone=zone
    )
    at = None if now is None else period.now
    if hasattr(source, "view"):
        times = {"start": period.start, "end": period.end, "now": period.now}
        data = source.view(at=at, **times, hosts=policy.hosts)
    elif isinstance(source, HistoryView):
        data = source
    else:
        data = HistoryView(source.jobs, source.polls, source.schedules)
    return _evaluate(data, policy, period, as_if=as_if)


def evaluate_frames(
    jobs: pd.DataFrame,
    polls: pd.DataFrame,
    schedules: pd.DataFrame,
    policy: Policy,
    *,
    start: Instant,
    end: Instant,
    now: Instant,
    as_if: bool = False,
) -> Assessment:
    """Evaluate a fleet from frames: the pure core of `evaluate`.

    Parameters
    ----------
    jobs, polls, schedules : DataFrame
        Of `backupkit.tables.JOBS`, ``POLLS`` and ``SCHEDULES``, in any order; not changed.
    policy : Policy
        The policy and its appliances.
    start, end : datetime or str
        The period, half-open; the end is cut to `now`.
    now : datetime or str
        The time of the assessment. Polls, schedules and jobs first seen later are ignored.
    as_if : bool
        As in `evaluate`.

    Returns
    -------
    Assessment
        All facts.

    Raises
    ------
    SettingsError
        If a time has no zone, or the period is empty or begins before 1980.
    TableError
        If a frame is not of its table.

    Notes
    -----
    States are those at the period's end. Slots are judged by everything known at `now`, so that
    the last night of the period is complete. Appliances excluded by a rule keep their jobs, but
    are in no ratio, no incident and no failure signature. During a dated exclusion, slots do not
    count and failures begin no incident. A success in that time is still a recovery point.

    References
    ----------
    .. [1] docs/sla.md, sections 3 to 6.
    """
    period = Period.from_times(start=start, end=end, now=now, zone=policy.report_timezone)
    return _evaluate(HistoryView(jobs, polls, schedules), policy, period, as_if=as_if)


def _evaluate(data: HistoryView, policy: Policy, period: Period, *, as_if: bool) -> Assessment:
    """Evaluate a period from the rows that its figures need."""
    data = as_of(data, period.now)
    version = analysis.data_fingerprint(data.polls) if data.version is None else data.version
    needed = analysis.restrict_to_period(
        data, start=period.start, end=period.end, now=period.now, hosts=policy.hosts
    )
    context = EvaluationContext.of(policy, list_appliances(needed), period, as_if=as_if)
    return merge_assessments([assess_appliances(needed, context)], context, version=version)


def list_appliances(data: HistoryView) -> set[str]:
    """Return the names of the appliances in the data."""
    frames = (data.jobs, data.polls, data.schedules)
    names = {str(name) for frame in frames for name in frame["appliance"].unique()}
    return names if data.totals is None else names.union(data.totals.index)


def as_of(data: HistoryView, moment: pd.Timestamp) -> HistoryView:
    """Return the data known at a moment, each job once.

    Totals, if present, must be those of the moment. Raises `TableError` if a frame is not of its
    table.
    """
    first_seen = JOBS.check(data.jobs)["first_seen_at"]
    seen_at = SCHEDULES.check(data.schedules)["seen_at"]
    if data.totals is not None:
        TOTALS.check(data.totals)
    return replace(
        data,
        jobs=analysis.deduplicate_jobs(data.jobs[first_seen.isna() | (first_seen <= moment)]),
        polls=data.polls[POLLS.check(data.polls)["polled_at"] <= moment],
        schedules=data.schedules[seen_at.isna() | (seen_at <= moment)],
    )


def merge_assessments(
    partials: Sequence[PartialAssessment], context: EvaluationContext, *, version: str
) -> Assessment:
    """Merge partial assessments, and add the figures that compare appliances.

    Each appliance of the context is in one of them. `version` is that of the data.
    """
    start, end = context.period.start, context.period.end
    resolved_policy = context.resolved_policy
    facts = _concat([partial.facts for partial in partials])
    ordered = facts.iloc[_sort_by_severity(facts)]
    in_scope = facts[facts["exclude"].isna()]
    fleet, groups = analysis.fleet_metrics(in_scope), analysis.group_metrics(in_scope)
    overlapping = _concat([partial.overlapping_jobs for partial in partials])
    scoped = overlapping[
        ~overlapping["appliance"].isin(resolved_policy.index[resolved_policy["exclude"].notna()])
    ]
    signatures = overlapping[["signature", "message_id", "text", "chain", "cause_name"]]
    jobs = scoped.drop(columns=signatures.columns)
    baselines = _concat([partial.baselines for partial in partials])
    schedules = _concat([partial.schedules for partial in partials])
    shared = analysis.find_shared_values(jobs, signatures, resolved_policy, start=start, end=end)
    return Assessment(
        start=start,
        end=end,
        now=context.period.now,
        timezone=context.period.zone,
        policy=context.policy,
        version=version,
        period_verdict=PeriodVerdict.of(fleet),
        verdict=Verdict.of(facts["state"]),
        verdicts=list_verdicts(facts, fleet, groups),
        fleet=fleet,
        groups=groups,
        appliances=APPLIANCES.conform(ordered),
        intervals=_concat([partial.intervals for partial in partials]),
        slots=_concat([partial.slots for partial in partials]),
        incidents=_concat([partial.incidents for partial in partials]),
        failures=analysis.failures(
            jobs, signatures, Catalogue(context.policy.causes), start=start, end=end
        ),
        failure_counts=analysis.failure_counts(jobs, signatures, start=start, end=end),
        clusters=shared.clusters,
        cluster_tests=shared.tests,
        baselines=baselines,
        anomalies=_concat([partial.anomalies for partial in partials]),
        loads=analysis.target_concurrency(
            overlapping,
            _concat([partial.period_slots for partial in partials]),
            baselines["typical_duration"],
            start=start,
            end=end,
        ),
        lint=analysis.lint(
            schedules,
            resolved_policy,
            baselines,
            zones=analysis.schedule_zones(schedules, fallback=resolved_policy["timezone"]),
            at=end,
            skew=facts["clock_skew"],
            local_runs=facts["local_runs"],
            schedule_unknown=_find_schedule_unknown(facts),
            schedules_error={
                str(name): str(text) for name, text in facts["schedules_error"].dropna().items()
            },
            drift=_concat([partial.drift for partial in partials]),
            duplicates=analysis.duplicate_appliances(
                _concat([partial.recent_jobs for partial in partials])
            ),
        ),
        coverage=_select_coverage(ordered),
        jobs=_concat([partial.jobs for partial in partials]),
        schedules=schedules,
        as_if=context.as_if,
    )


def _concat(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate frames, sorted by appliance; the rows of an appliance keep their order."""
    if len(frames) == 1:
        return frames[0]
    if frames[0].index.name == "appliance":
        return pd.concat(frames).sort_index(kind="stable")
    combined = pd.concat(frames, ignore_index=True)
    return combined.sort_values("appliance", kind="stable", ignore_index=True)


def _select_coverage(facts: pd.DataFrame) -> pd.DataFrame:
    """Return the data basis of each appliance."""
    renamed = facts.drop(columns="timezone").rename(
        columns={"zone": "timezone", "zone_source": "timezone_source"}
    )
    renamed["staleness"] = facts["staleness"].fillna(facts["cadence"])
    return COVERAGE.conform(renamed.join(analysis.coverage_ratio(facts)))


def _sort_by_severity(facts: pd.DataFrame) -> pd.Series:
    """Return the row positions by severity, the worst first."""
    rank = facts["state"].map({state: rank for rank, state in enumerate(STATES_BY_SEVERITY)})
    age = facts["exposure"].fillna(facts["exposure_at_least"]).fillna(pd.Timedelta(0))
    order = pd.DataFrame({"rank": rank, "age": -age}).reset_index()
    return order.sort_values(["rank", "age", "appliance"], kind="stable").index.to_series()


def _find_schedule_unknown(poll_summary: pd.DataFrame) -> pd.Index:
    """Return the appliances without a known schedule: no API for it (6.5), or never read."""
    return find_without_schedule_api(poll_summary).union(
        poll_summary.index[poll_summary["last_ok"].isna()]
    )

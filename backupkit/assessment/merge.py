"""Assessment of the fleet from partial assessments (the reduce step)."""

from collections.abc import Sequence

import pandas as pd

from backupkit import analysis
from backupkit.assessment.context import EvaluationContext
from backupkit.assessment.partial import PartialAssessment
from backupkit.assessment.result import Assessment, Verdict
from backupkit.assessment.states import by_severity, schedule_unknown
from backupkit.tables import APPLIANCES, COVERAGE

__all__ = ["merge_assessments"]


def merge_assessments(
    partials: Sequence[PartialAssessment], context: EvaluationContext, *, version: str
) -> Assessment:
    """Merge partial assessments, and add the figures that compare appliances.

    Parameters
    ----------
    partials : sequence of PartialAssessment
        The partial assessments; each appliance of the context is in one of them.
    context : EvaluationContext
        The context of the whole fleet.
    version : str
        The version of the data; see `backupkit.tables.HistoryView`.

    Returns
    -------
    Assessment
        All facts.
    """
    start, end = context.period.start, context.period.end
    resolved_policy = context.resolved_policy
    facts = _concat([partial.facts for partial in partials])
    ordered = facts.iloc[by_severity(facts)]
    in_scope = facts[facts["exclude"].isna()]
    overlapping = _concat([partial.overlapping_jobs for partial in partials])
    scoped = overlapping[
        ~overlapping["appliance"].isin(resolved_policy.index[resolved_policy["exclude"].notna()])
    ]
    signatures = overlapping[["signature", "message_id", "text"]]
    jobs = scoped.drop(columns=signatures.columns)
    baselines = _concat([partial.baselines for partial in partials])
    schedules = _concat([partial.schedules for partial in partials])
    return Assessment(
        start=start,
        end=end,
        now=context.period.now,
        policy=context.policy,
        version=version,
        verdict=Verdict.of(facts["state"]),
        fleet=analysis.fleet_metrics(in_scope),
        groups=analysis.group_metrics(in_scope),
        appliances=APPLIANCES.conform(ordered),
        intervals=_concat([partial.intervals for partial in partials]),
        slots=_concat([partial.slots for partial in partials]),
        incidents=_concat([partial.incidents for partial in partials]),
        failures=analysis.failures(jobs, signatures, start=start, end=end),
        failure_counts=analysis.failure_counts(jobs, signatures, start=start, end=end),
        clusters=analysis.clusters(jobs, signatures, resolved_policy, start=start, end=end),
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
            schedule_unknown=schedule_unknown(facts),
            duplicates=analysis.duplicate_appliances(
                _concat([partial.recent_jobs for partial in partials])
            ),
        ),
        coverage=_coverage(ordered),
        jobs=_concat([partial.jobs for partial in partials]),
        schedules=schedules,
    )


def _concat(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate frames, sorted by appliance; the rows of an appliance keep their order."""
    if len(frames) == 1:
        return frames[0]
    if frames[0].index.name == "appliance":
        return pd.concat(frames).sort_index(kind="stable")
    combined = pd.concat(frames, ignore_index=True)
    return combined.sort_values("appliance", kind="stable", ignore_index=True)


def _coverage(facts: pd.DataFrame) -> pd.DataFrame:
    """Return the data basis of each appliance."""
    renamed = facts.drop(columns="timezone").rename(
        columns={"zone": "timezone", "zone_source": "timezone_source"}
    )
    return COVERAGE.conform(renamed.join(analysis.coverage_ratio(facts)))

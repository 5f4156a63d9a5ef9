"""Assessment of the fleet from partial assessments (the reduce step)."""

from collections.abc import Sequence

import pandas as pd

from backupkit import analysis
from backupkit.assessment.part import Part
from backupkit.assessment.result import Assessment, Verdict
from backupkit.assessment.setting import Setting
from backupkit.assessment.standing import untold, worst_first
from backupkit.tables import APPLIANCES, COVERAGE, STATES

__all__ = ["assess"]


def assess(parts: Sequence[Part], setting: Setting, *, version: str) -> Assessment:
    """Merge partial assessments, and add the figures that compare appliances.

    Parameters
    ----------
    parts : sequence of Part
        The partial assessments; each appliance of the setting is in one of them.
    setting : Setting
        The setting of the whole fleet.
    version : str
        The version of the data; see `backupkit.tables.Known`.

    Returns
    -------
    Assessment
        All facts.
    """
    start, end = setting.times.start, setting.times.end
    rules = setting.rules
    facts = _joined([part.facts for part in parts])
    ordered = facts.iloc[worst_first(facts)]
    counts = facts["state"].value_counts()
    in_scope = facts[facts["exclude"].isna()]
    touching = _joined([part.touching for part in parts])
    scoped = touching[~touching["appliance"].isin(rules.index[rules["exclude"].notna()])]
    signatures = touching[["signature", "message_id", "text"]]
    jobs = scoped.drop(columns=signatures.columns)
    baselines = _joined([part.baselines for part in parts])
    schedules = _joined([part.schedules for part in parts])
    return Assessment(
        start=start,
        end=end,
        now=setting.times.now,
        policy=setting.policy,
        version=version,
        verdict=Verdict(**{state: int(counts.get(state, 0)) for state in STATES}),
        fleet=analysis.fleet_metrics(in_scope),
        groups=analysis.group_metrics(in_scope),
        appliances=APPLIANCES.conform(ordered),
        intervals=_joined([part.intervals for part in parts]),
        slots=_joined([part.slots for part in parts]),
        incidents=_joined([part.incidents for part in parts]),
        failures=analysis.failures(jobs, signatures, start=start, end=end),
        failure_counts=analysis.failure_counts(jobs, signatures, start=start, end=end),
        clusters=analysis.clusters(jobs, signatures, rules, start=start, end=end),
        baselines=baselines,
        anomalies=_joined([part.anomalies for part in parts]),
        loads=analysis.target_concurrency(
            touching,
            _joined([part.due for part in parts]),
            baselines["typical_duration"],
            start=start,
            end=end,
        ),
        lint=analysis.lint(
            schedules,
            rules,
            baselines,
            zones=analysis.schedule_zones(schedules, fallback=rules["timezone"]),
            at=end,
            skew=facts["clock_skew"],
            schedule_unknown=untold(facts),
            duplicates=analysis.duplicate_appliances(_joined([part.recent_jobs for part in parts])),
        ),
        coverage=_coverage(ordered),
        jobs=_joined([part.jobs for part in parts]),
        schedules=schedules,
    )


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate frames, sorted by appliance; the rows of an appliance keep their order."""
    if len(frames) == 1:
        return frames[0]
    if frames[0].index.name == "appliance":
        return pd.concat(frames).sort_index(kind="stable")
    whole = pd.concat(frames, ignore_index=True)
    return whole.sort_values("appliance", kind="stable", ignore_index=True)


def _coverage(facts: pd.DataFrame) -> pd.DataFrame:
    """Return the data basis of each appliance."""
    told = facts.drop(columns="timezone").rename(
        columns={"zone": "timezone", "zone_source": "timezone_source"}
    )
    return COVERAGE.conform(told.join(analysis.coverage_ratio(facts)))

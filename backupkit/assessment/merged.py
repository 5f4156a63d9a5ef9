"""Figures of a fleet, merged from those of its appliances (the reduce step)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pandas as pd

from backupkit import analysis
from backupkit.assessment.context import EvaluationContext
from backupkit.assessment.partial import PartialAssessment
from backupkit.assessment.prepared import find_without_schedule_api
from backupkit.assessment.verdict import list_verdicts
from backupkit.causes import Catalogue
from backupkit.tables import APPLIANCES, COVERAGE, STATES_BY_SEVERITY

__all__ = ["FRAMES", "MergedFigures"]

FRAMES: Final = (
    *("fleet", "groups", "verdicts", "appliances", "intervals", "slots", "incidents"),
    *("failures", "failure_counts", "clusters", "cluster_tests"),
    *(
        "baselines",
        "anomalies",
        "loads",
        "lint",
        "inventory",
        "coverage",
        "assessed_jobs",
        "schedules",
    ),
)
"""The frames of an assessment, from which all else follows."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MergedFigures:
    """The frames of a fleet, each computed when it is first asked for, and kept.

    Each appliance of the context is in one of the parts.
    """

    context: EvaluationContext
    parts: Sequence[PartialAssessment]
    version: str

    @cached_property
    def fleet(self) -> pd.DataFrame:
        """The ratios of the fleet, of `backupkit.tables.METRICS`."""
        return analysis.fleet_metrics(self._in_scope)

    @cached_property
    def groups(self) -> pd.DataFrame:
        """The ratios of each site and each group, of ``GROUPS``."""
        return analysis.group_metrics(self._in_scope)

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """Both verdicts on the fleet, each site and each group, of ``VERDICTS``."""
        return list_verdicts(self._facts, self.fleet, self.groups)

    @cached_property
    def appliances(self) -> pd.DataFrame:
        """The figures of each appliance, the worst first, of ``APPLIANCES``."""
        return APPLIANCES.conform(self._ordered_facts.join(self._merge("reasons")))

    @cached_property
    def figures(self) -> pd.DataFrame:
        """As `appliances`, without the column reason, for those who need no words."""
        return APPLIANCES.conform(self._ordered_facts.assign(reason=None)).drop(columns="reason")

    @cached_property
    def intervals(self) -> pd.DataFrame:
        """The times in each state, of ``INTERVALS``."""
        return self._merge("intervals")

    @cached_property
    def slots(self) -> pd.DataFrame:
        """The scheduled backups of the period, of ``SLOTS``."""
        return self._merge("slots")

    @cached_property
    def incidents(self) -> pd.DataFrame:
        """The incidents, of ``INCIDENTS``."""
        return self._merge("incidents")

    @cached_property
    def failures(self) -> pd.DataFrame:
        """The failed jobs by error pattern, of ``FAILURES``."""
        return analysis.failures(
            *self._scoped_jobs,
            Catalogue(self.context.policy.causes),
            start=self.context.period.start,
            end=self.context.period.end,
        )

    @cached_property
    def failure_counts(self) -> pd.DataFrame:
        """The failed jobs by all their properties, of ``FAILURE_COUNTS``."""
        period = self.context.period
        return analysis.failure_counts(*self._scoped_jobs, start=period.start, end=period.end)

    def failures_by(self, by: str = "appliance") -> pd.DataFrame:
        """Add up the failed jobs by error pattern and one more property; see `failures_by`."""
        return analysis.failure_parts(self.failure_counts, self.figures[["site", "group"]], by=by)

    @cached_property
    def clusters(self) -> pd.DataFrame:
        """Values that failing appliances share, of ``CLUSTERS``."""
        return self._shared_values.clusters

    @cached_property
    def cluster_tests(self) -> pd.DataFrame:
        """The tests behind `clusters`, of ``CLUSTER_TESTS``."""
        return self._shared_values.tests

    @cached_property
    def baselines(self) -> pd.DataFrame:
        """The usual values of each appliance, of ``BASELINES``."""
        return self._merge("baselines")

    @cached_property
    def anomalies(self) -> pd.DataFrame:
        """The unusual jobs of the period, of ``ANOMALIES``."""
        return self._merge("anomalies")

    @cached_property
    def loads(self) -> pd.DataFrame:
        """The load of each backup target, of ``LOADS``."""
        period = self.context.period
        return analysis.target_concurrency(
            self._merge("overlapping_jobs"),
            self._merge("period_slots"),
            self.baselines["typical_duration"],
            start=period.start,
            end=period.end,
        )

    @cached_property
    def lint(self) -> pd.DataFrame:
        """Findings of the schedule and policy checks, of ``LINT``."""
        facts, resolved_policy = self._facts, self.context.resolved_policy
        return analysis.lint(
            self.schedules,
            resolved_policy,
            self.baselines,
            zones=analysis.schedule_zones(self.schedules, fallback=resolved_policy["timezone"]),
            at=self.context.period.end,
            skew=facts["clock_skew"],
            local_runs=facts["local_runs"],
            schedule_unknown=_find_schedule_unknown(facts),
            schedules_error={
                str(name): str(text) for name, text in facts["schedules_error"].dropna().items()
            },
            drift=self._merge("drift"),
            duplicates=analysis.duplicate_appliances(self._merge("recent_jobs")),
        )

    @cached_property
    def coverage(self) -> pd.DataFrame:
        """The data basis of each appliance, of ``COVERAGE``."""
        return _select_coverage(self._ordered_facts)

    @cached_property
    def inventory(self) -> pd.DataFrame:
        """The nodes of the SSO domains compared with fleet.toml, of ``INVENTORY``."""
        context = self.context
        return analysis.compare_inventory(
            context.domain_nodes,
            context.fleet_hosts,
            at=context.period.now,
            only=context.resolved_policy.index if context.is_selection else None,
        )

    @cached_property
    def assessed_jobs(self) -> pd.DataFrame:
        """The jobs, of ``ASSESSED_JOBS``."""
        return self._merge("jobs")

    @cached_property
    def jobs(self) -> pd.DataFrame:
        """The jobs with what is known of their appliances and slots, of ``JOINED_JOBS``."""
        members = self.figures[["site", "group"]].join(self.coverage["version"])
        return analysis.join_jobs(self.assessed_jobs, self.slots, members)

    @cached_property
    def schedules(self) -> pd.DataFrame:
        """The schedules in force at the period's end, of ``SCHEDULES``."""
        return self._merge("schedules")

    @cached_property
    def _facts(self) -> pd.DataFrame:
        return self._merge("facts")

    @cached_property
    def _in_scope(self) -> pd.DataFrame:
        return self._facts[self._facts["exclude"].isna()]

    @cached_property
    def _ordered_facts(self) -> pd.DataFrame:
        return self._facts.iloc[_sort_by_severity(self._facts)]

    @cached_property
    def _scoped_jobs(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The jobs that overlap the period, of appliances in scope, and what they say."""
        jobs, resolved_policy = self._merge("explained_jobs"), self.context.resolved_policy
        excluded = resolved_policy.index[resolved_policy["exclude"].notna()]
        scoped = jobs[~jobs["appliance"].isin(excluded)]
        signatures = scoped[["signature", "message_id", "text", "chain", "cause_name"]]
        return scoped.drop(columns=signatures.columns), signatures

    @cached_property
    def _shared_values(self) -> analysis.SharedValues:
        period = self.context.period
        return analysis.find_shared_values(
            *self._scoped_jobs, self.context.resolved_policy, start=period.start, end=period.end
        )

    def _merge(self, name: str) -> pd.DataFrame:
        """Concatenate a frame of the parts."""
        return _concat([getattr(part, name) for part in self.parts])


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

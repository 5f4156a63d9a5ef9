"""The figures of an assessment, as pure functions on frames (`backupkit.tables`).

An appliance's row in the rules (`backupkit.policy.Policy.rules`) holds its policy. Each function
takes the frames it reads, the period as ``start`` and ``end``, and the moment as ``at`` or ``now``.
"""

from backupkit.analysis.attempts import attempt_counts, last_attempts, strikes
from backupkit.analysis.baselines import AnomalyLimits, anomalies, baselines
from backupkit.analysis.causes import Cause, cause_of
from backupkit.analysis.clusters import clusters, failure_counts, lately, twins
from backupkit.analysis.compliance import (
    coverage_ratio,
    fleet_metrics,
    group_metrics,
    ratio,
    ratios,
)
from backupkit.analysis.evidence import restrict_to_period
from backupkit.analysis.exposure import (
    exposure,
    exposure_at,
    recovery_points,
    segments,
    state_intervals,
    states_at,
    time_in_states,
    worst_exposure,
)
from backupkit.analysis.failures import failure_signatures, failures, message_of, signature_of
from backupkit.analysis.feasibility import feasibility
from backupkit.analysis.incidents import incident_figures, incidents
from backupkit.analysis.knowledge import (
    clock_corrections,
    distinct_jobs,
    job_times,
    knowledge,
    on_our_clock,
    visits,
)
from backupkit.analysis.lint import lint
from backupkit.analysis.loads import loads, target_of, touching
from backupkit.analysis.reasons import reasons
from backupkit.analysis.runs import backup_days, duration_runs, window_runs
from backupkit.analysis.schedules import current_schedules, expected_runs, schedule_zones
from backupkit.analysis.scope import NO_EXCLUSIONS, Exclusions, observed_between
from backupkit.analysis.slots import (
    infer_types,
    judge_slots,
    numbers_of,
    recent_slots,
    slot_counts,
)
from backupkit.analysis.totals import totals_of
from backupkit.analysis.trend import trend
from backupkit.analysis.version import data_version

__all__ = [
    "NO_EXCLUSIONS",
    "AnomalyLimits",
    "Cause",
    "Exclusions",
    "anomalies",
    "attempt_counts",
    "backup_days",
    "baselines",
    "cause_of",
    "clock_corrections",
    "clusters",
    "coverage_ratio",
    "current_schedules",
    "data_version",
    "distinct_jobs",
    "duration_runs",
    "expected_runs",
    "exposure",
    "exposure_at",
    "failure_counts",
    "failure_signatures",
    "failures",
    "feasibility",
    "fleet_metrics",
    "group_metrics",
    "incident_figures",
    "incidents",
    "infer_types",
    "job_times",
    "judge_slots",
    "knowledge",
    "last_attempts",
    "lately",
    "lint",
    "loads",
    "message_of",
    "numbers_of",
    "observed_between",
    "on_our_clock",
    "ratio",
    "ratios",
    "reasons",
    "recent_slots",
    "recovery_points",
    "restrict_to_period",
    "schedule_zones",
    "segments",
    "signature_of",
    "slot_counts",
    "state_intervals",
    "states_at",
    "strikes",
    "target_of",
    "time_in_states",
    "totals_of",
    "touching",
    "trend",
    "twins",
    "visits",
    "window_runs",
    "worst_exposure",
]

"""The figures of an assessment, as pure functions on frames (`backupkit.tables`).

An appliance's row in the rules (`backupkit.policy.Policy.rules`) holds its policy. Each function
takes the frames it reads, the period as ``start`` and ``end``, and the moment as ``at`` or ``now``.
"""

from backupkit.analysis.anomalies import AnomalyLimits, anomalies
from backupkit.analysis.baselines import baselines, typical_durations
from backupkit.analysis.breach import breach_since
from backupkit.analysis.clocks import Clocks, skew_corrections
from backupkit.analysis.clusters import SharedValues, clusters, find_shared_values
from backupkit.analysis.coming_breach import coming_breach
from backupkit.analysis.compliance import (
    coverage_ratio,
    fleet_metrics,
    group_metrics,
    ratio,
    ratios,
    target_state,
)
from backupkit.analysis.coverage import (
    NO_EXCLUSIONS,
    Exclusions,
    coverage,
    data_fingerprint,
    poll_summary,
)
from backupkit.analysis.drift import describe_schedule_change, schedule_drift
from backupkit.analysis.duplicates import duplicate_appliances, recent_jobs
from backupkit.analysis.early_warnings import (
    WARNING_RESULTS,
    score_warnings,
    warn_at_risk,
    warn_slower,
)
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
from backupkit.analysis.failure_parts import failure_parts
from backupkit.analysis.failures import (
    failure_counts,
    failure_signatures,
    failures,
)
from backupkit.analysis.feasibility import feasibility
from backupkit.analysis.forecast import Forecasts, forecast_breach
from backupkit.analysis.incidents import (
    cut_incidents,
    incident_figures,
    incidents,
    mean_restore_time,
    observed_time,
)
from backupkit.analysis.inventory import compare_inventory
from backupkit.analysis.jobs import (
    attempt_counts,
    correct_clock_skew,
    deduplicate_jobs,
    drop_implausible_times,
    job_times,
    last_attempts,
    strikes,
    totals_of,
)
from backupkit.analysis.joined_jobs import join_jobs
from backupkit.analysis.lint import lint
from backupkit.analysis.local_backups import local_backups, newest_local
from backupkit.analysis.mean_exposure import mean_exposure
from backupkit.analysis.messages import message_of
from backupkit.analysis.period import restrict_to_period
from backupkit.analysis.polls_at_end import polls_at_end
from backupkit.analysis.reasons import reasons
from backupkit.analysis.remarks import describe_jobs
from backupkit.analysis.schedules import (
    complete_schedules,
    current_schedules,
    expected_slots,
    schedule_zones,
)
from backupkit.analysis.signatures import signature_of
from backupkit.analysis.slots import (
    infer_types,
    judge_slots,
    recent_slots,
    slot_counts,
    slot_parameters,
)
from backupkit.analysis.target_load import overlapping_jobs, target_concurrency, target_of
from backupkit.analysis.targets import allowed_time
from backupkit.analysis.throughput import throughput, typical_throughput
from backupkit.analysis.trend import TrendStep, choose_trend_steps, trend
from backupkit.analysis.undecided import (
    describe_undecided,
    estimate_starts,
    possible_recovery_points,
)
from backupkit.analysis.windows import (
    RuleSpan,
    backup_days,
    check_runs,
    duration_runs,
    window_runs,
)
from backupkit.causes import Catalogue, Cause, cause_of, known_causes

__all__ = [
    "NO_EXCLUSIONS",
    "WARNING_RESULTS",
    "AnomalyLimits",
    "Catalogue",
    "Cause",
    "Clocks",
    "Exclusions",
    "Forecasts",
    "RuleSpan",
    "SharedValues",
    "TrendStep",
    "allowed_time",
    "anomalies",
    "attempt_counts",
    "backup_days",
    "baselines",
    "breach_since",
    "cause_of",
    "check_runs",
    "choose_trend_steps",
    "clusters",
    "coming_breach",
    "compare_inventory",
    "complete_schedules",
    "correct_clock_skew",
    "coverage",
    "coverage_ratio",
    "current_schedules",
    "cut_incidents",
    "data_fingerprint",
    "deduplicate_jobs",
    "describe_jobs",
    "describe_schedule_change",
    "describe_undecided",
    "drop_implausible_times",
    "duplicate_appliances",
    "duration_runs",
    "estimate_starts",
    "expected_slots",
    "exposure",
    "exposure_at",
    "failure_counts",
    "failure_parts",
    "failure_signatures",
    "failures",
    "feasibility",
    "find_shared_values",
    "fleet_metrics",
    "forecast_breach",
    "group_metrics",
    "incident_figures",
    "incidents",
    "infer_types",
    "job_times",
    "join_jobs",
    "judge_slots",
    "known_causes",
    "last_attempts",
    "lint",
    "local_backups",
    "mean_exposure",
    "mean_restore_time",
    "message_of",
    "newest_local",
    "observed_time",
    "overlapping_jobs",
    "poll_summary",
    "polls_at_end",
    "possible_recovery_points",
    "ratio",
    "ratios",
    "reasons",
    "recent_jobs",
    "recent_slots",
    "recovery_points",
    "restrict_to_period",
    "schedule_drift",
    "schedule_zones",
    "score_warnings",
    "segments",
    "signature_of",
    "skew_corrections",
    "slot_counts",
    "slot_parameters",
    "state_intervals",
    "states_at",
    "strikes",
    "target_concurrency",
    "target_of",
    "target_state",
    "throughput",
    "time_in_states",
    "totals_of",
    "trend",
    "typical_durations",
    "typical_throughput",
    "warn_at_risk",
    "warn_slower",
    "window_runs",
    "worst_exposure",
]

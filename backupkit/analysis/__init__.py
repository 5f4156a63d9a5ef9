"""The judgement, as pure functions on frames (`backupkit.tables`): nothing is read or changed.

An appliance's row in the rules (`backupkit.policy.Policy.rules`) holds its numbers; every function
takes the frames it reads, the period as ``start`` and ``end``, and the moment as ``at`` or ``now``.
"""

from backupkit.analysis.attempts import attempt_counts, last_attempts, strikes
from backupkit.analysis.compliance import coverage_ratio, fleet_metrics, ratio, ratios
from backupkit.analysis.exposure import (
    exposure,
    recovery_points,
    segments,
    state_intervals,
    states_at,
    time_in_states,
    worst_exposure,
)
from backupkit.analysis.failures import failure_signatures, failures, message_of, signature_of
from backupkit.analysis.incidents import incident_figures, incidents
from backupkit.analysis.knowledge import (
    clock_corrections,
    distinct_jobs,
    job_times,
    knowledge,
    on_our_clock,
    visits,
)
from backupkit.analysis.reasons import reasons
from backupkit.analysis.schedules import current_schedules, expected_runs, schedule_zones
from backupkit.analysis.slots import infer_types, judge_slots, slot_counts

__all__ = [
    "attempt_counts",
    "clock_corrections",
    "coverage_ratio",
    "current_schedules",
    "distinct_jobs",
    "expected_runs",
    "exposure",
    "failure_signatures",
    "failures",
    "fleet_metrics",
    "incident_figures",
    "incidents",
    "infer_types",
    "job_times",
    "judge_slots",
    "knowledge",
    "last_attempts",
    "message_of",
    "on_our_clock",
    "ratio",
    "ratios",
    "reasons",
    "recovery_points",
    "schedule_zones",
    "segments",
    "signature_of",
    "slot_counts",
    "state_intervals",
    "states_at",
    "strikes",
    "time_in_states",
    "visits",
    "worst_exposure",
]

"""The column contracts: name, dtype, unit and meaning of every frame of backupkit.

All times are UTC, ``datetime64[us, UTC]``; durations ``timedelta64[us]``; text is pandas' ``str``;
what is missing is ``NA`` or ``NaT``, never 0 and never an empty text.
"""

from backupkit.tables.contract import Column, Table
from backupkit.tables.diagnosis import (
    ANOMALIES,
    BASELINES,
    CHANGES,
    CLUSTERS,
    FAILURE_COUNTS,
    GROUPS,
    LINT,
    LOADS,
    TREND,
)
from backupkit.tables.frames import (
    APPLIANCES,
    ASSESSED_JOBS,
    CHECKS,
    CONFLICTS,
    COVERAGE,
    ERRORS,
    FAILURES,
    INCIDENTS,
    INTERVALS,
    JOBS,
    METRICS,
    OBSERVATIONS,
    OUTCOMES,
    POLLS,
    RUNNING,
    SCHEDULES,
    SLOT_STATES,
    SLOTS,
    STATES,
)
from backupkit.tables.jobs import (
    ENDED,
    LISTED,
    TERMINAL,
    changed_observations,
    changed_schedules,
    conflicts_in,
    has_ended,
    outcome_of,
)
from backupkit.tables.known import Known
from backupkit.tables.memory import MEMORY, Remembered, remembered_from
from backupkit.tables.newest import jobs_from, newest_of

__all__ = [
    "ANOMALIES",
    "APPLIANCES",
    "ASSESSED_JOBS",
    "BASELINES",
    "CHANGES",
    "CHECKS",
    "CLUSTERS",
    "CONFLICTS",
    "COVERAGE",
    "ENDED",
    "ERRORS",
    "FAILURES",
    "FAILURE_COUNTS",
    "GROUPS",
    "INCIDENTS",
    "INTERVALS",
    "JOBS",
    "LINT",
    "LISTED",
    "LOADS",
    "MEMORY",
    "METRICS",
    "OBSERVATIONS",
    "OUTCOMES",
    "POLLS",
    "RUNNING",
    "SCHEDULES",
    "SLOTS",
    "SLOT_STATES",
    "STATES",
    "TERMINAL",
    "TREND",
    "Column",
    "Known",
    "Remembered",
    "Table",
    "changed_observations",
    "changed_schedules",
    "conflicts_in",
    "has_ended",
    "jobs_from",
    "newest_of",
    "outcome_of",
    "remembered_from",
]

"""The column contracts: name, dtype, unit and meaning of every frame of backupkit.

All times are UTC, ``datetime64[us, UTC]``; durations ``timedelta64[us]``; text is pandas' ``str``;
what is missing is ``NA`` or ``NaT``, never 0 and never an empty text.
"""

from backupkit.tables.contract import Column, Table
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
    jobs_from,
    outcome_of,
)
from backupkit.tables.memory import MEMORY, Remembered, remembered_from

__all__ = [
    "APPLIANCES",
    "ASSESSED_JOBS",
    "CHECKS",
    "CONFLICTS",
    "COVERAGE",
    "ENDED",
    "ERRORS",
    "FAILURES",
    "INCIDENTS",
    "INTERVALS",
    "JOBS",
    "LISTED",
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
    "Column",
    "Remembered",
    "Table",
    "changed_observations",
    "changed_schedules",
    "conflicts_in",
    "has_ended",
    "jobs_from",
    "outcome_of",
    "remembered_from",
]

"""Contracts of all frames: name, dtype, unit and meaning of each column.

Times are UTC (``datetime64[us, UTC]``), durations ``timedelta64[us]``, texts pandas' ``str``.
Missing values are ``NA`` or ``NaT``, never 0 and never an empty text.

The contracts need no pandas. Functions on frames are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from backupkit.tables.constants import (
    COMPLETED_SLOTS,
    EARLIEST_TIME,
    ENDED,
    IN_SCOPE_STATES,
    LISTED,
    MISSED_SLOTS,
    OBSERVED_STATES,
    ON_TIME_SLOTS,
    OUTCOMES,
    RESOLVED_SLOTS,
    SLOT_STATES,
    STATES,
    STATES_BY_SEVERITY,
    TARGET_STATES,
    TARGETS,
    TERMINAL,
    TOLERATED_SKEW,
    UNCOUNTED_SLOTS,
    WEEKDAYS,
)
from backupkit.tables.contract import Column, Table
from backupkit.tables.diagnosis import (
    ANOMALIES,
    BASELINES,
    CHANGES,
    CLUSTER_TESTS,
    CLUSTERS,
    FAILURE_COUNTS,
    FAILURE_PARTS,
    FORECAST,
    GROUPS,
    LINT,
    LOADS,
    RELIABILITY,
    TREND,
    VERDICTS,
    WARNING_SCORES,
    WARNINGS,
)
from backupkit.tables.domain_nodes import INVENTORY, INVENTORY_RESULTS, SeenNode
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
    JOINED_JOBS,
    METRICS,
    OBSERVATIONS,
    POLLS,
    RUNNING,
    SCHEDULES,
    SLOTS,
    TOTALS,
)
from backupkit.tables.records import Records
from backupkit.tables.sync import SyncState

if TYPE_CHECKING:
    from backupkit.tables.clocks import find_set_clocks, list_measured_skews
    from backupkit.tables.jobs import (
        conflicts_in,
        drop_repeated_schedules,
        find_implausible_times,
        has_ended,
        jobs_from,
        list_was_read,
        measure_durations,
        outcome_of,
    )
    from backupkit.tables.local import is_local, mark_local_jobs
    from backupkit.tables.views import (
        HistoryView,
        newest_api_facts,
        schedule_names,
        sync_state_from,
    )

__all__ = [
    "ANOMALIES",
    "APPLIANCES",
    "ASSESSED_JOBS",
    "BASELINES",
    "CHANGES",
    "CHECKS",
    "CLUSTERS",
    "CLUSTER_TESTS",
    "COMPLETED_SLOTS",
    "CONFLICTS",
    "COVERAGE",
    "EARLIEST_TIME",
    "ENDED",
    "ERRORS",
    "FAILURES",
    "FAILURE_COUNTS",
    "FAILURE_PARTS",
    "FORECAST",
    "GROUPS",
    "INCIDENTS",
    "INTERVALS",
    "INVENTORY",
    "INVENTORY_RESULTS",
    "IN_SCOPE_STATES",
    "JOBS",
    "JOINED_JOBS",
    "LINT",
    "LISTED",
    "LOADS",
    "METRICS",
    "MISSED_SLOTS",
    "OBSERVATIONS",
    "OBSERVED_STATES",
    "ON_TIME_SLOTS",
    "OUTCOMES",
    "POLLS",
    "RELIABILITY",
    "RESOLVED_SLOTS",
    "RUNNING",
    "SCHEDULES",
    "SLOTS",
    "SLOT_STATES",
    "STATES",
    "STATES_BY_SEVERITY",
    "TARGETS",
    "TARGET_STATES",
    "TERMINAL",
    "TOLERATED_SKEW",
    "TOTALS",
    "TREND",
    "UNCOUNTED_SLOTS",
    "VERDICTS",
    "WARNINGS",
    "WARNING_SCORES",
    "WEEKDAYS",
    "Column",
    "HistoryView",
    "Records",
    "SeenNode",
    "SyncState",
    "Table",
    "conflicts_in",
    "drop_repeated_schedules",
    "find_implausible_times",
    "find_set_clocks",
    "has_ended",
    "is_local",
    "jobs_from",
    "list_measured_skews",
    "list_was_read",
    "mark_local_jobs",
    "measure_durations",
    "newest_api_facts",
    "outcome_of",
    "schedule_names",
    "sync_state_from",
]

_FUNCTIONS: Final = {
    "clocks": (
        "find_set_clocks",
        "list_measured_skews",
    ),
    "jobs": (
        "conflicts_in",
        "drop_repeated_schedules",
        "find_implausible_times",
        "has_ended",
        "jobs_from",
        "list_was_read",
        "measure_durations",
        "outcome_of",
    ),
    "local": (
        "is_local",
        "mark_local_jobs",
    ),
    "views": (
        "HistoryView",
        "newest_api_facts",
        "schedule_names",
        "sync_state_from",
    ),
}
_HOME: Final = {name: module for module, names in _FUNCTIONS.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 # any of the functions above
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value

"""States, outcomes and limits that several packages share: each is declared here alone.

`backupkit.analysis` restricts its input to the limits of how far back a figure looks, and
`backupkit.history` selects rows by them, so that both agree on what an assessment reads.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = [
    "BASELINE_RUNS",
    "CADENCE_FLOOR",
    "CADENCE_GAPS",
    "CADENCE_MIN_GAPS",
    "COMPLETED_SLOTS",
    "DUPLICATE_JOBS",
    "EARLIEST_START",
    "EARLIEST_TIME",
    "ENDED",
    "FOLDER_PATTERN",
    "GROWTH_SIZES",
    "IN_SCOPE_STATES",
    "LARGEST_LEAD",
    "LARGEST_SUM",
    "LATEST_START",
    "LATEST_TIME",
    "LISTED",
    "MAX_LOCATION_LENGTH",
    "MISSED_SLOTS",
    "OBSERVED_STATES",
    "ON_TIME_SLOTS",
    "OUTCOMES",
    "OUTCOME_BY_STATUS",
    "RECENT",
    "RESOLVED_SLOTS",
    "SLOT_MARGIN",
    "SLOT_STATES",
    "SPREAD_RUNS",
    "STATES",
    "STATES_BY_SEVERITY",
    "TARGETS",
    "TARGET_STATES",
    "TERMINAL",
    "TOLERATED_SKEW",
    "UNCOUNTED_SLOTS",
    "WEEKDAYS",
]

# --- states of an appliance (docs/sla.md, section 3, "States") ------------------------------------
OBSERVED_STATES: Final = ("compliant", "breach")
"""States of an appliance that could be judged."""

IN_SCOPE_STATES: Final = (*OBSERVED_STATES, "unknown")
"""States that count in a strict ratio."""

STATES: Final = (*IN_SCOPE_STATES, "excluded", "unobserved")
"""States of an appliance at an instant."""

STATES_BY_SEVERITY: Final = ("breach", "unknown", "unobserved", "compliant", "excluded")
"""The same, the most serious first."""

# --- targets of a period (docs/sla.md, section 3, "Period and targets") ---------------------------
TARGETS: Final[Mapping[str, str]] = {
    "rpo_strict": "rpo_target",
    "slot_strict": "runs_target",
    "window": "window_target",
    "duration": "duration_target",
}
"""Parameter of the policy that has the target of a figure."""

TARGET_STATES: Final = ("missed", "unknown", "met")
"""States of a target, the most serious first; unknown if what could not be read decides."""

# --- states of a slot (docs/sla.md, section 3, "Slot states") -------------------------------------
ON_TIME_SLOTS: Final = ("met", "rescued")
"""States of a slot that was completed by its deadline."""

COMPLETED_SLOTS: Final = (*ON_TIME_SLOTS, "late")
"""States of a slot that was completed."""

MISSED_SLOTS: Final = ("missed_failed", "missed_norun", "missed_overrun")
"""States of a slot that was not completed."""

RESOLVED_SLOTS: Final = (*COMPLETED_SLOTS, *MISSED_SLOTS)
"""States of a slot that is decided: the denominator of an observed ratio."""

UNCOUNTED_SLOTS: Final = ("pending", "excluded")
"""States of a slot that is in no ratio; an unknown slot counts in strict ratios only."""

SLOT_STATES: Final = (*RESOLVED_SLOTS, "pending", "unknown", "excluded")
"""States of a slot."""

# --- jobs (docs/sla.md, section 3, "outcome class") -----------------------------------------------
OUTCOMES: Final = ("success", "failure", "open", "void", "other")
"""Outcome classes of a job."""

TERMINAL: Final = ("success", "failure")
"""The outcomes of jobs that have ended."""

OUTCOME_BY_STATUS: Final[Mapping[str, str]] = {
    "SUCCEEDED": "success",
    "FAILED": "failure",
    "INPROGRESS": "open",
    "RUNNING": "open",
    "PENDING": "open",
    "BLOCKED": "open",
    "NONE": "void",
}
"""Outcome class of each raw status; an unknown status is ``other``."""

ENDED: Final = frozenset(word for word, outcome in OUTCOME_BY_STATUS.items() if outcome in TERMINAL)
"""The raw statuses of jobs that have ended."""

LISTED: Final = "list"
"""The `source` of observations that report the removal of a job from the appliance's list."""

# --- locations of backups -------------------------------------------------------------------------
MAX_LOCATION_LENGTH: Final = 4_000
"""Characters of a location that are read."""

FOLDER_PATTERN: Final = r"\A([^@/]*/[^@/]*/[^@/]*)/[^@]*\z"
"""A location with a folder that cannot be the rest of a password; jobs differ in the folder."""

# --- schedules and clocks -------------------------------------------------------------------------
WEEKDAYS: Final = (
    "MONDAY",
    "TUESDAY",
    "WEDNESDAY",
    "THURSDAY",
    "FRIDAY",
    "SATURDAY",
    "SUNDAY",
)
"""The days of a schedule, as the API writes them."""

TOLERATED_SKEW: Final = timedelta(minutes=5)
"""Largest clock skew that is not corrected, and that no check reports."""

EARLIEST_TIME: Final = datetime(2016, 11, 15, tzinfo=UTC)
"""Earlier times of jobs are not plausible: vSphere 6.5, the first with backups, is newer."""

LARGEST_LEAD: Final = timedelta(days=1)
"""A time of a job that is later than its observation by more than this is not plausible."""

LATEST_TIME: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Later times are not plausible, also where the time of the observation is not known."""

# --- how far back the figures of a period look ----------------------------------------------------
BASELINE_RUNS: Final = 10
"""Number of newest successes in a baseline."""

SPREAD_RUNS: Final = 100
"""Number of successes before a job whose deviations make the usual spread."""

GROWTH_SIZES: Final = 100
"""Number of newest sizes in a growth rate; 100 sizes make 4,950 pairs."""

DUPLICATE_JOBS: Final = 100
"""Number of newest jobs per appliance that are compared to find duplicate appliances."""

CADENCE_GAPS: Final = 20
"""Number of newest gaps between good polls whose median is the cadence."""

CADENCE_MIN_GAPS: Final = 9
"""Number of gaps, those of ten polls, below which the cadence is not derived, but is 24 h."""

CADENCE_FLOOR: Final = timedelta(hours=1)
"""Minimum length of a gap of the cadence."""

RECENT: Final = timedelta(days=7)
"""Time before the period's end that the burn rate covers."""

EARLIEST_START: Final = timedelta(days=3, hours=12)
"""Maximum time that a job may start before its slot: half of a weekly schedule's gap."""

LATEST_START: Final = timedelta(days=7)
"""Longest `late` of a policy for which slots before the last success are listed."""

SLOT_MARGIN: Final = timedelta(days=14)
"""Time before the last success, or before the recent days, in which jobs can belong to a slot.

Longer than the sum of a day, `LATEST_START`, `EARLIEST_START` and the largest clock change.
"""

LARGEST_SUM: Final = 9_200_000_000_000_000_000
"""Sums of sizes from here on count as missing: they are near the int64 limit [bytes]."""

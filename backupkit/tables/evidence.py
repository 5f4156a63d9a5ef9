"""Limits of how far back the figures of a period look.

`backupkit.analysis` restricts its input to these limits, and `backupkit.history` selects rows by
them, so that both agree on what an assessment reads.
"""

from datetime import timedelta
from typing import Final

__all__ = [
    "BASELINE_RUNS",
    "CADENCE_FLOOR",
    "CADENCE_GAPS",
    "DUPLICATE_JOBS",
    "EARLIEST_START",
    "GROWTH_SIZES",
    "LARGEST_SUM",
    "LATEST_START",
    "RECENT",
    "SLOT_MARGIN",
    "TOLERATED_SKEW",
]

BASELINE_RUNS: Final = 10
"""Number of newest successes in a baseline."""

GROWTH_SIZES: Final = 100
"""Number of newest sizes in a growth rate; 100 sizes make 4,950 pairs."""

DUPLICATE_JOBS: Final = 100
"""Number of newest jobs per appliance that are compared to find duplicate appliances."""

CADENCE_GAPS: Final = 20
"""Number of newest gaps between good polls whose median is the cadence."""

CADENCE_FLOOR: Final = timedelta(hours=1)
"""Minimum length of a gap of the cadence."""

TOLERATED_SKEW: Final = timedelta(minutes=5)
"""Largest clock skew for which an appliance's times are not corrected."""

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

"""How far back the figures of a period look.

`backupkit.analysis` restricts what is known to these bounds, and `backupkit.history` selects by
them, so that both agree on what a judgement reads.
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
"""Newest successes that make a baseline."""

GROWTH_SIZES: Final = 100
"""Newest sizes that make a growth; 100 have 4,950 pairs."""

DUPLICATE_JOBS: Final = 100
"""Newest jobs of each appliance that are compared to find one appliance with two names."""

CADENCE_GAPS: Final = 20
"""Newest gaps between good visits whose median is the cadence."""

CADENCE_FLOOR: Final = timedelta(hours=1)
"""Least time between two good visits that make a gap of the cadence."""

TOLERATED_SKEW: Final = timedelta(minutes=5)
"""Up to this an appliance's clock counts as right, and its times are not corrected."""

RECENT: Final = timedelta(days=7)
"""How far the burn rate looks back from the period's end."""

EARLIEST_START: Final = timedelta(days=3, hours=12)
"""The most that a job may start before its expected run: half of a weekly schedule's gap."""

LATEST_START: Final = timedelta(days=7)
"""The longest `late` of a policy for which expected runs before the last success are listed."""

SLOT_MARGIN: Final = timedelta(days=14)
"""How long before the last success, or the recent days, jobs can belong to an expected run.

More than a day, `LATEST_START`, `EARLIEST_START` and the largest change of a zone's clocks.
"""

LARGEST_SUM: Final = 9_200_000_000_000_000_000
"""A sum of sizes from here on is none: it is more than any disk holds [bytes]."""

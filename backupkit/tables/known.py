"""What is known of a fleet at one moment, as three frames that belong together."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

__all__ = ["Known"]


@dataclass(frozen=True, slots=True)
class Known:
    """Some visits, and what they brought.

    Attributes
    ----------
    jobs, polls, schedules : DataFrame
        Of `backupkit.tables.JOBS` (each job once), ``POLLS`` and ``SCHEDULES``.
    """

    jobs: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame

    def only(self, appliances: Collection[str]) -> "Known":
        """Give the rows of some appliances."""
        frames = (self.jobs, self.polls, self.schedules)
        return Known(*(frame[frame["appliance"].isin(appliances)] for frame in frames))

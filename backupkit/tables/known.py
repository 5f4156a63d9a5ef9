"""What is known of a fleet at one moment, as frames that belong together."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

__all__ = ["Known"]


@dataclass(frozen=True, slots=True)
class Known:
    """Some polls, and what they brought.

    Attributes
    ----------
    jobs, polls, schedules : DataFrame
        Of `backupkit.tables.JOBS` (each job once), ``POLLS`` and ``SCHEDULES``.
    totals : DataFrame, optional
        Of ``TOTALS``: the counts over all jobs and polls, where the frames hold only those that a
        period needs. None if the frames hold everything.
    version : str, optional
        The name of all polls, as `backupkit.analysis.data_version` gives it. None if `polls` holds
        all of them.
    """

    jobs: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame
    totals: pd.DataFrame | None = None
    version: str | None = None

    def only(self, appliances: Collection[str]) -> "Known":
        """Return the rows of some appliances."""
        frames = (self.jobs, self.polls, self.schedules)
        jobs, polls, schedules = (frame[frame["appliance"].isin(appliances)] for frame in frames)
        totals = self.totals
        if totals is not None:
            totals = totals[totals.index.isin(appliances)]
        return Known(jobs, polls, schedules, totals, self.version)

"""Jobs, polls and schedules of a fleet, as known at one moment."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

__all__ = ["HistoryView"]


@dataclass(frozen=True, slots=True)
class HistoryView:
    """Jobs, polls and schedules that belong together.

    Attributes
    ----------
    jobs, polls, schedules : DataFrame
        Of `backupkit.tables.JOBS` (each job once), ``POLLS`` and ``SCHEDULES``.
    totals : DataFrame, optional
        Of ``TOTALS``: the counts over all jobs and polls, if the frames hold only those that a
        period needs. None if the frames are complete.
    version : str, optional
        The version of the data, such as the head digest of a history. If None,
        `backupkit.analysis.data_fingerprint` computes it from `polls`.
    """

    jobs: pd.DataFrame
    polls: pd.DataFrame
    schedules: pd.DataFrame
    totals: pd.DataFrame | None = None
    version: str | None = None

    def only(self, appliances: Collection[str]) -> "HistoryView":
        """Return the rows of some appliances."""
        frames = (self.jobs, self.polls, self.schedules)
        jobs, polls, schedules = (frame[frame["appliance"].isin(appliances)] for frame in frames)
        totals = self.totals
        if totals is not None:
            totals = totals[totals.index.isin(appliances)]
        return HistoryView(jobs, polls, schedules, totals, self.version)

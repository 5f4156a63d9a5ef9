"""Counts over all jobs and polls of each appliance."""

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import NAT, group_first, to_codes, utc
from backupkit.analysis.coverage import counted_polls, job_times
from backupkit.analysis.target_load import sums_of
from backupkit.tables import TOTALS

__all__ = ["totals_of"]


def totals_of(jobs: pd.DataFrame, polls: pd.DataFrame) -> pd.DataFrame:
    """Count the jobs and polls of each appliance.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once; all known jobs.
    polls : DataFrame
        Of ``POLLS``, in any order; all known polls.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.TOTALS`, one row per appliance with a job or a poll.

    Notes
    -----
    A poll that Ctrl-C stopped, or that only followed a running job, is ignored. A size counts if it
    is not below 0, and its job is a success with a known end or last_seen_at.

    Examples
    --------
    >>> from backupkit.tables import JOBS, POLLS
    >>> day = pd.Timestamp("2026-11-02", tz="UTC")
    >>> columns = {"appliance": ["a"], "outcome": ["success"], "end_time": [day], "size": [7]}
    >>> result = totals_of(JOBS.frame(columns), POLLS.empty())
    >>> result[["polls", "jobs", "sized_jobs", "sized_bytes"]].loc["a"].to_list()
    [0, 1, 1, 7]
    """
    names = pd.Index(jobs["appliance"].unique()).union(pd.Index(polls["appliance"].unique()))
    number = len(names)
    codes = to_codes(jobs["appliance"], names)
    began, done = job_times(jobs)
    started = np.flatnonzero(~np.isnat(began))
    groups, first = group_first(codes[started], began[started])
    oldest = np.full(number, NAT)
    oldest[groups] = began[started[first]]
    size = jobs["size"].to_numpy("int64", na_value=-1)
    sized = jobs["outcome"].eq("success").to_numpy() & ~np.isnat(done) & (size >= 0)
    counted = counted_polls(polls)
    read = polls["ok"].to_numpy(dtype=bool, na_value=False)[counted]
    poll_codes = to_codes(polls["appliance"], names)[counted]
    return TOTALS.frame(
        {
            "appliance": names.to_series(),
            "polls": pd.Series(np.bincount(poll_codes, minlength=number)),
            "polls_ok": pd.Series(np.bincount(poll_codes[read], minlength=number)),
            "jobs": pd.Series(np.bincount(codes, minlength=number)),
            "oldest_start": utc(oldest),
            "sized_jobs": pd.Series(np.bincount(codes[sized], minlength=number)),
            "sized_bytes": sums_of(np.where(sized, codes, -1), jobs["size"], number=number),
        }
    )

"""Throughput: how fast successful backups were written."""

from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import Codes, to_codes, to_instant, to_times
from backupkit.analysis.jobs import job_times

__all__ = ["find_typical_throughput", "throughput", "typical_throughput"]

_SECOND: Final = np.timedelta64(1, "s")


def throughput(jobs: pd.DataFrame) -> pd.Series:
    """Compute the throughput of each successful job.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`; reads outcome, size, start_time and end_time.

    Returns
    -------
    Series of Float64
        size / duration [bytes/s]; NA unless the job succeeded with a size, a start and an end
        after its start.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 37.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> times = pd.to_datetime(["2026-11-08T01:00Z", "2026-11-08T01:20Z"])
    >>> jobs = JOBS.frame(
    ...     {
    ...         "appliance": ["vc-1"],
    ...         "outcome": ["success"],
    ...         "size": [6_000_000_000],
    ...         "start_time": times[:1],
    ...         "end_time": times[1:],
    ...     }
    ... )
    >>> throughput(jobs).to_list()
    [5000000.0]
    """
    spent = to_times(jobs["end_time"]) - to_times(jobs["start_time"])
    seconds = spent / _SECOND
    size = jobs["size"].to_numpy("float64", na_value=np.nan)
    is_known = (
        jobs["outcome"].eq("success").to_numpy(dtype=bool, na_value=False)
        & (seconds > 0)
        & (size >= 0)
    )
    rate = np.full(len(jobs), np.nan)
    rate[is_known] = size[is_known] / seconds[is_known]
    return pd.Series(rate, index=jobs.index, name="throughput").astype("Float64")


def typical_throughput(
    jobs: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp, appliances: pd.Index
) -> pd.Series:
    """Return the median throughput of each appliance's successes.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    start, end : Timestamp
        The period, half-open; a job counts if it ended in it.
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    Series of Float64
        By appliance [bytes/s]; NA without a success whose size and times are known.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 37.
    """
    _, ended_at = job_times(jobs)
    inside = (ended_at >= to_instant(start)) & (ended_at < to_instant(end))
    codes = np.where(inside, to_codes(jobs["appliance"], appliances), -1)
    typical = find_typical_throughput(jobs, codes, number=len(appliances))
    return typical.set_axis(appliances)


def find_typical_throughput(jobs: pd.DataFrame, codes: Codes, *, number: int) -> pd.Series:
    """Return the median throughput of `number` groups of jobs.

    `codes` are the groups of the jobs, -1 for a job that does not count.
    """
    rates = throughput(jobs).to_numpy("float64", na_value=np.nan)
    chosen = codes >= 0
    medians = pd.Series(rates[chosen]).groupby(codes[chosen]).median()
    return medians.reindex(range(number)).astype("Float64").rename("throughput")

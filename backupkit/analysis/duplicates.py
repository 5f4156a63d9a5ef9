"""Appliances with two names, found by the jobs that both list."""

from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import find_sort_order, to_codes, to_times
from backupkit.tables.constants import DUPLICATE_JOBS

__all__ = ["duplicate_appliances", "recent_jobs"]

_MIN_SHARED_JOBS: Final = 3  # fewest jobs that two names share


def duplicate_appliances(jobs: pd.DataFrame) -> pd.DataFrame:
    """Find pairs of names that list the same jobs: one appliance, configured twice.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once; or the result of `recent_jobs`.

    Returns
    -------
    DataFrame
        appliance, duplicate (str) and jobs (int64, number of shared jobs), sorted by name.

    Notes
    -----
    The newest 100 jobs of each name are compared. Equal jobs have the same id, start and end; the
    id alone is not enough, because it is made of the start. At least 3 jobs, and half of the jobs
    of the smaller name, must be equal.
    Of three names of one appliance, the first is paired with each of the others.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 32; section 5, "duplicate records"; section 7, L.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> days = [pd.Timestamp(f"2026-11-0{day}", tz="UTC") for day in (1, 2, 3)]
    >>> ids = {"job_id": ["1", "2", "3"] * 2, "start_time": days * 2, "end_time": days * 2}
    >>> duplicate_appliances(
    ...     JOBS.frame({"appliance": ["a"] * 3 + ["b"] * 3} | ids)
    ... ).to_numpy().tolist()
    [['a', 'b', 3]]
    """
    key = ["job_id", "start_time", "end_time"]
    listed = recent_jobs(jobs)
    size = listed["appliance"].value_counts()
    listed = listed[listed.duplicated(["start_time", "end_time"], keep=False)]  # cheap filter first
    shared = listed[listed.duplicated(key, keep=False)].sort_values([*key, "appliance"])
    first = shared.groupby(key)["appliance"].transform("first")
    pairs = shared.assign(duplicate=shared["appliance"], appliance=first)
    pairs = pairs[pairs["appliance"] != pairs["duplicate"]]
    pair_counts = pairs.groupby(["appliance", "duplicate"]).size().rename("jobs").reset_index()
    smaller = np.minimum(
        *(size.reindex(pair_counts[name]).to_numpy() for name in ("appliance", "duplicate"))
    )
    duplicates: pd.DataFrame = pair_counts[
        (pair_counts["jobs"] >= _MIN_SHARED_JOBS) & (2 * pair_counts["jobs"] >= smaller)
    ]
    return duplicates.reset_index(drop=True)


def recent_jobs(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return the newest jobs of each appliance, which `duplicate_appliances` compares.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once. Of two with the same start, the last is newer.

    Returns
    -------
    DataFrame
        appliance, job_id, start_time and end_time, none missing: the newest 100 per appliance.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> day = pd.Timestamp("2026-11-01", tz="UTC")
    >>> ids = {"appliance": ["a"], "job_id": ["1"], "start_time": [day], "end_time": [day]}
    >>> len(recent_jobs(JOBS.frame(ids)))
    1
    """
    listed = jobs[["appliance", "job_id", "start_time", "end_time"]].dropna()
    names = pd.Index(listed["appliance"].unique())
    codes = to_codes(listed["appliance"], names)
    order = find_sort_order(codes, to_times(listed["start_time"]))
    ends = np.searchsorted(codes[order], codes[order], side="right")
    return listed.iloc[order[ends - np.arange(len(order)) <= DUPLICATE_JOBS]]

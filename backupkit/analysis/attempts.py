"""Counts of attempts, successes and failures in a row."""

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    asof_index,
    instant,
    sort_order,
    tie_break_after,
    times_of,
    to_codes,
)
from backupkit.analysis.coverage import job_times

__all__ = ["attempt_counts", "last_attempts", "strikes"]


def attempt_counts(
    jobs: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp, appliances: pd.Index
) -> pd.DataFrame:
    """Count the jobs that finished in the period, and the successes among them.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    start, end : Timestamp
        The period, half-open; a job counts by its end.
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    DataFrame
        By appliance: attempts and attempts_ok, Int64.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 8.
    """
    _, done = job_times(jobs)
    inside = (done >= instant(start)) & (done < instant(end))
    good = inside & jobs["outcome"].eq("success").to_numpy()
    codes = to_codes(jobs["appliance"], appliances)
    counts = {
        name: np.bincount(codes[chosen & (codes >= 0)], minlength=len(appliances))
        for name, chosen in (("attempts", inside), ("attempts_ok", good))
    }
    return pd.DataFrame(counts, index=appliances).astype("Int64")


def strikes(
    jobs: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp, appliances: pd.Index
) -> pd.DataFrame:
    """Count failures in a row.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    start, end : Timestamp
        The period.
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    DataFrame
        By appliance, Int64: strikes (failures since the last success, at the period's end) and
        strikes_worst (the longest series of failures that reaches into the period, including its
        failures before the period).

    Notes
    -----
    Jobs are ordered by their ends. At the same instant, a failure comes before a success.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 11.
    """
    _, done = job_times(jobs)
    rows = np.flatnonzero(done <= instant(end))
    codes = to_codes(jobs["appliance"], appliances)[rows]
    success = jobs["outcome"].eq("success").to_numpy()[rows]
    order = sort_order(codes, tie_break_after(success, done[rows]))
    codes, success, done = codes[order], success[order], done[rows][order]
    failed = np.cumsum(~success)
    begins = np.ones(len(codes), dtype=bool)
    begins[1:] = codes[1:] != codes[:-1]
    # failures before the series: at a success all so far, at a new appliance all of the others
    base = np.where(success, failed, np.where(begins, failed - ~success, 0))
    streak = failed - np.maximum.accumulate(base) if len(base) else failed
    last = np.ones(len(codes), dtype=bool)
    last[:-1] = codes[1:] != codes[:-1]
    now = np.zeros(len(appliances), dtype=np.int64)
    now[codes[last]] = streak[last]
    worst = np.zeros(len(appliances), dtype=np.int64)
    inside = done >= instant(start)
    np.maximum.at(worst, codes[inside], streak[inside])
    counts = {"strikes": now, "strikes_worst": worst}
    return pd.DataFrame(counts, index=appliances).astype("Int64")


def last_attempts(jobs: pd.DataFrame, *, at: pd.Timestamp, appliances: pd.Index) -> pd.DataFrame:
    """Find the newest job of each appliance that has started.

    Parameters
    ----------
    jobs : DataFrame
        Result of `deduplicate_jobs`; of two jobs with the same start, the last counts.
    at : Timestamp
        Jobs that start later are ignored.
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    DataFrame
        By appliance: last_attempt [UTC] and last_outcome.
    """
    started = (jobs["outcome"] != "void").to_numpy() & (times_of(jobs["start_time"]) <= instant(at))
    rows = np.flatnonzero(started)
    row = asof_index(
        to_codes(jobs["appliance"], appliances)[rows],
        times_of(jobs["start_time"])[rows],
        np.arange(len(appliances), dtype=np.intp),
        np.full(len(appliances), instant(at)),
    )
    newest = np.append(rows, -1)[row]
    columns = {
        name: jobs[column].array.take(newest, allow_fill=True)
        for name, column in (("last_attempt", "start_time"), ("last_outcome", "outcome"))
    }
    return pd.DataFrame(columns, index=appliances)

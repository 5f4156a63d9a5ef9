"""Backups on the appliance itself, which are lost together with it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    NAT,
    Flags,
    to_codes,
    to_instant,
    to_times,
)
from backupkit.analysis.jobs import job_times
from backupkit.tables import mark_local_jobs

__all__ = ["local_backups", "newest_local"]


def local_backups(
    jobs: pd.DataFrame, revisions: Sequence[tuple[pd.Timestamp | None, pd.DataFrame]]
) -> Flags:
    """Return which jobs are no recovery points because they are on the appliance itself.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    revisions : sequence of (Timestamp or None, DataFrame)
        Results of `backupkit.policy.Policy.rules` with the same index, each with its effective
        date; the first also covers all earlier time. Reads ``count_local`` and ``host``.

    Returns
    -------
    array of bool
        The jobs that succeeded, or may have, on their own appliance, where the policy in force when
        they ended does not count that. Without an end, the start decides.

    References
    ----------
    .. [1] docs/sla.md, section 3, "Recovery point".

    Examples
    --------
    >>> from backupkit.policy import Policy
    >>> from backupkit.tables import JOBS
    >>> columns = {"appliance": ["a"], "outcome": ["success"], "location": ["file:///storage"]}
    >>> jobs = JOBS.frame(columns)
    >>> [
    ...     local_backups(jobs, [(None, policy.rules(["a"]))]).tolist()
    ...     for policy in (Policy(), Policy(count_local=True))
    ... ]
    [[True], [False]]
    """
    first = revisions[0][1]
    found: Flags = jobs["outcome"].isin(("success", "other")).to_numpy(dtype=bool, copy=True)
    hosts = {str(name): str(host) for name, host in first["host"].dropna().items()}
    found[found] = mark_local_jobs(jobs[found], hosts)
    rows = np.flatnonzero(found)
    if len(rows):
        started_at, ended_at = (times[rows] for times in job_times(jobs))
        begins = np.array([to_instant(date) for date, _ in revisions if date is not None], "M8[us]")
        at = np.where(np.isnat(ended_at), started_at, ended_at)
        counted = pd.concat([rules["count_local"] for _, rules in revisions], ignore_index=True)
        codes = to_codes(jobs["appliance"].iloc[rows], first.index)
        revision = np.searchsorted(begins, at, side="right")
        found[rows] = ~counted.to_numpy(dtype=bool)[revision * len(first) + codes]
    return found


def newest_local(
    jobs: pd.DataFrame, local: Flags, last_success_end: pd.Series, *, end: pd.Timestamp
) -> pd.Index:
    """Return the appliances whose newest success is on the appliance itself.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    local : array of bool
        Result of `local_backups`.
    last_success_end : Series of datetime64
        The end of the newest success that is a recovery point [UTC], by appliance.
    end : Timestamp
        Later successes are left out.

    Returns
    -------
    Index of str
        Names of appliances.
    """
    _, ended_at = job_times(jobs)
    chosen = local & jobs["outcome"].eq("success").to_numpy() & (ended_at <= to_instant(end))
    rows = np.flatnonzero(chosen)
    names = last_success_end.index
    newest = np.full(len(names), NAT)
    np.fmax.at(newest, to_codes(jobs["appliance"].iloc[rows], names), ended_at[rows])
    return names[
        (newest > to_times(last_success_end)) | ~np.isnat(newest) & last_success_end.isna()
    ]

"""Conversion of observations to jobs, with one row per job."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.tables.constants import LISTED
from backupkit.tables.frames import JOBS, OBSERVATIONS
from backupkit.tables.jobs import DETAILS_ONLY, has_ended, outcome_of

__all__ = ["fold_observations", "jobs_from", "observations_from"]

_Rows = npt.NDArray[np.int64]

_KEY: Final = ["appliance", "job_id"]


def jobs_from(observations: pd.DataFrame) -> pd.DataFrame:
    """Return the newest observation of each job.

    Parameters
    ----------
    observations : DataFrame
        Of `backupkit.tables.OBSERVATIONS`, in any order; duplicates are allowed.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.JOBS`, one row per (appliance, job_id), sorted by appliance and start.

    Notes
    -----
    A finished state takes precedence over an open one, in any order of arrival. Of two finished
    states the later observation counts. Type, size, location and build come from the newest
    observation that has them, because job/{id} never returns them.

    Examples
    --------
    >>> times = pd.to_datetime(["2026-11-09T20:00Z", "2026-11-09T21:00Z"])
    >>> seen = OBSERVATIONS.frame(
    ...     {
    ...         "appliance": ["vc-1", "vc-1"],
    ...         "job_id": ["1", "1"],
    ...         "observed_at": times,
    ...         "status": ["INPROGRESS", "SUCCEEDED"],
    ...     }
    ... )
    >>> jobs_from(seen)[["job_id", "outcome"]].values.tolist()
    [['1', 'success']]
    """
    # integers sort and compare much faster than texts
    names, ids = (pd.factorize(observations[name], sort=True)[0] for name in _KEY)
    observed = observations["observed_at"].astype("int64").to_numpy()
    order = np.lexsort((observed, ids, names))
    ordered = observations.take(order).reset_index(drop=True)
    names, ids, observed = names[order], ids[order], observed[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (names[1:] != names[:-1]) | (ids[1:] != ids[:-1])
    job = np.cumsum(begins) - 1
    gone = ordered["source"].eq(LISTED).to_numpy(dtype=bool)
    seen = np.flatnonzero(~gone)
    count = int(job[-1]) + 1 if len(job) else 0
    first, newest = _first_and_last(job, seen, count)
    ended = seen[has_ended(ordered["status"]).to_numpy(dtype=bool)[seen]]
    _, finished = _first_and_last(job, ended, count)
    known = np.flatnonzero(newest >= 0)
    chosen = np.where(finished >= 0, finished, newest)[known]
    columns = {
        name: ordered[name].take(chosen).reset_index(drop=True) for name in OBSERVATIONS.names
    }
    for name in DETAILS_ONLY:
        told = seen[ordered[name].notna().to_numpy()[seen]]
        _, teller = _first_and_last(job, told, count)
        row = np.where(teller >= 0, teller, newest)[known]
        columns[name] = ordered[name].take(row).reset_index(drop=True)
    moments = ordered["observed_at"]
    columns["first_seen_at"] = moments.take(first[known]).reset_index(drop=True)
    columns["last_seen_at"] = moments.take(newest[known]).reset_index(drop=True)
    removed = np.flatnonzero(gone)
    removed = removed[observed[removed] > observed[newest[job[removed]]]]
    vanished, _ = _first_and_last(job, removed, count)
    columns["vanished_at"] = moments.reindex(vanished[known]).reset_index(drop=True)
    columns["duration"] = columns["end_time"] - columns["start_time"]
    columns["outcome"] = outcome_of(columns["status"])
    del columns["observed_at"]
    jobs = JOBS.conform(pd.DataFrame(columns, index=pd.RangeIndex(len(known))))
    begun = jobs["start_time"].astype("int64").to_numpy()
    begun = np.where(jobs["start_time"].isna(), np.iinfo(np.int64).max, begun)
    by_start = np.lexsort((ids[chosen], begun, names[chosen]))
    return jobs.take(by_start).reset_index(drop=True)


def _first_and_last(job: _Rows, rows: _Rows, count: int) -> tuple[_Rows, _Rows]:
    """Return the first and the last of some rows of each job, -1 if there is none."""
    first, last = np.full(count, -1), np.full(count, -1)
    first[job[rows[::-1]]] = rows[::-1]
    last[job[rows]] = rows
    return first, last


def observations_from(jobs: pd.DataFrame) -> pd.DataFrame:
    """Convert jobs to observations from which `jobs_from` makes the same jobs.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.OBSERVATIONS`: one row per job, observed at its last_seen_at, and one
        more per job that its appliance no longer lists.
    """
    seen = OBSERVATIONS.conform(jobs.assign(observed_at=jobs["last_seen_at"]))
    gone = jobs[jobs["vanished_at"].notna()]
    if gone.empty:
        return seen
    rows = {"appliance": gone["appliance"], "job_id": gone["job_id"]}
    listed = OBSERVATIONS.frame(
        rows | {"observed_at": gone["vanished_at"], "source": [LISTED] * len(gone)}
    )
    return pd.concat([seen, listed], ignore_index=True)


def fold_observations(jobs: pd.DataFrame, observations: pd.DataFrame) -> pd.DataFrame:
    """Update jobs with later observations.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`: some of the observed jobs, as known so far.
    observations : DataFrame
        Of `backupkit.tables.OBSERVATIONS`, each later than the earlier ones of its job. A job that
        has ended is not open again in them.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.JOBS`: all jobs of both, as `jobs_from` returns them for all
        observations.
    """
    if jobs.empty:
        return jobs_from(observations)
    folded = jobs_from(pd.concat([observations_from(jobs), observations], ignore_index=True))
    first = jobs.set_index(_KEY)["first_seen_at"]
    before = first.reindex(pd.MultiIndex.from_frame(folded[_KEY])).reset_index(drop=True)
    return folded.assign(first_seen_at=before.fillna(folded["first_seen_at"]))

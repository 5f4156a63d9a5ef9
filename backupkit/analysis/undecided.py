"""Jobs whose success is not known: those that could not be read, or ended in an unknown state."""

from collections.abc import Hashable
from typing import Any, Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    Codes,
    Flags,
    Times,
    compute_group_cummax,
    find_sort_order,
    from_codes,
    to_codes,
    to_times,
    to_utc_column,
)
from backupkit.errors import one_line
from backupkit.tables import ENDED, OUTCOMES
from backupkit.tables.constants import EARLIEST_TIME, LATEST_TIME

__all__ = [
    "attempt_starts",
    "describe_undecided",
    "estimate_starts",
    "find_unplaced_until",
    "is_undecided",
    "possible_recovery_points",
]

_UNKNOWN: Final = OUTCOMES[-1]
_ID_TIME: Final = r"^(\d{8}-\d{6})-"


def is_undecided(jobs: pd.DataFrame) -> Flags:
    """Return which jobs may or may not have succeeded in time.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.

    Returns
    -------
    array of bool
        The jobs of which no known state could be read, and successes without a known start.
    """
    without_start = jobs["outcome"].eq("success") & jobs["start_time"].isna()
    undecided: Flags = (jobs["outcome"].eq(_UNKNOWN) | without_start).to_numpy(dtype=bool)
    return undecided


def estimate_starts(jobs: pd.DataFrame) -> pd.DataFrame:
    """Estimate the starts that could not be read, so that each job belongs to a slot.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.

    Returns
    -------
    DataFrame
        A copy in which jobs that started have the time in their ids as their start, where it could
        not be read. A success keeps none: an estimate is no recovery point.

    References
    ----------
    .. [1] docs/sla.md, section 5, "unread jobs". vCenter makes ids of the start in UTC.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> columns = {"appliance": ["a"], "job_id": ["20261109-010005-24322831"], "outcome": ["other"]}
    >>> str(estimate_starts(JOBS.frame(columns))["start_time"][0])
    '2026-11-09 01:00:05+00:00'
    """
    running = jobs["outcome"].eq("open") & jobs["status"].isin(("RUNNING", "INPROGRESS"))
    started = jobs["outcome"].isin(("failure", _UNKNOWN)) | running
    lacking = started & jobs["start_time"].isna()
    if not lacking.any():
        return jobs
    start = jobs["start_time"].copy()
    start[lacking] = _times_of_ids(jobs["job_id"][lacking])
    return jobs.assign(start_time=start)


def _times_of_ids(ids: pd.Series) -> pd.Series:
    """Return the times in job ids [UTC]; NaT where there is none."""
    texts = ids.astype("str").str.extract(_ID_TIME, expand=False)
    times = pd.to_datetime(texts, format="%Y%m%d-%H%M%S", errors="coerce", utc=True)
    times = times.astype("datetime64[us, UTC]")
    return times.where(times.between(EARLIEST_TIME, LATEST_TIME))


def attempt_starts(jobs: pd.DataFrame) -> Times:
    """Return when each job started, as far as is known: by its id, if its start is not known."""
    start = to_times(jobs["start_time"]).copy()
    lacking = np.flatnonzero(is_undecided(jobs) & np.isnat(start))
    start[lacking] = to_times(_times_of_ids(jobs["job_id"].iloc[lacking]))
    return start


def possible_recovery_points(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return the recovery points that there are if each job succeeded whose state is unread.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.

    Returns
    -------
    DataFrame
        The columns of `backupkit.analysis.recovery_points`, of these jobs alone. A job without any
        start may have started when it was first seen. A job in a state that is read and not known
        is none of them: it never counts as a success.
    """
    is_state_read = jobs["status"].notna() | jobs["state"].notna()
    in_known_word = jobs["outcome"].eq(_UNKNOWN) & is_state_read
    rows = np.flatnonzero(is_undecided(jobs) & ~in_known_word.to_numpy(dtype=bool))
    start, seen = attempt_starts(jobs)[rows], to_times(jobs["first_seen_at"])[rows]
    point = np.where(np.isnat(start), seen, start)
    end = to_times(jobs["end_time"])[rows]
    available = np.where(np.isnat(end), point, np.fmax(end, point))
    is_placed = ~np.isnat(point)
    rows, point, available = rows[is_placed], point[is_placed], available[is_placed]
    names = pd.Index(np.sort(jobs["appliance"].unique()), dtype="str")
    codes = to_codes(jobs["appliance"], names)[rows]
    order = find_sort_order(codes, available)
    codes, available, point = codes[order], available[order], point[order]
    return pd.DataFrame(
        {
            "appliance": from_codes(codes, names),
            "available": to_utc_column(available),
            "point": to_utc_column(compute_group_cummax(codes, point)),
        }
    )


def find_unplaced_until(jobs: pd.DataFrame, appliances: pd.Index) -> Times:
    """Return until when an undecided job without any start may have started, by appliance.

    NaT where there is none.
    """
    rows = np.flatnonzero(is_undecided(jobs) & np.isnat(attempt_starts(jobs)))
    until = np.full(len(appliances), np.datetime64("NaT", "us"))
    codes: Codes = to_codes(jobs["appliance"], appliances)[rows]
    np.fmax.at(until, codes, to_times(jobs["first_seen_at"])[rows])
    return until


def describe_undecided(jobs: pd.DataFrame, *, since: pd.Series, end: pd.Timestamp) -> pd.Series:
    """Describe the newest undecided job of each appliance.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    since : Series of datetime64
        Time from which jobs count [UTC], by appliance.
    end : Timestamp
        End of that time.

    Returns
    -------
    Series of str
        A sentence by appliance, with the number of further such jobs; missing without one.
    """
    undecided = is_undecided(jobs)
    chosen = jobs[undecided]
    at = to_utc_column(attempt_starts(jobs)[undecided]).set_axis(chosen.index)
    at = at.fillna(chosen["first_seen_at"])
    first = since.reindex(chosen["appliance"]).set_axis(chosen.index)
    inside = chosen.assign(at=at)[(at >= first) & (at <= end)].sort_values("at", kind="stable")
    newest = inside.drop_duplicates("appliance", keep="last").set_index("appliance")
    more = inside["appliance"].value_counts()
    texts = {
        name: _describe_job(row) + (f" (and {more[name] - 1} more)" if more[name] > 1 else "")
        for name, row in zip(newest.index, newest.to_dict("records"), strict=True)
    }
    return pd.Series(texts, dtype="str").reindex(since.index)


def _describe_job(row: dict[Hashable, Any]) -> str:
    """Describe an undecided job: what could not be read, or its unknown state."""
    job = f"job {one_line(str(row['job_id']))}"
    if isinstance(row["read_error"], str):
        return f"{job} could not be read: {one_line(row['read_error'])}"
    if not isinstance(row["status"], str) or row["status"] in ENDED:
        return f"{job} has no start that is known"
    ended = "is" if pd.isna(row["end_time"]) else "ended"
    return f"{job} {ended} in a state not known: {one_line(row['status'], limit=40)}"

"""Jobs from observations, and detection of changed observations and schedules."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.tables.constants import (
    EARLIEST_TIME,
    ENDED,
    LARGEST_LEAD,
    LATEST_TIME,
    LISTED,
    OUTCOME_BY_STATUS,
)
from backupkit.tables.frames import CONFLICTS, JOBS, OBSERVATIONS

__all__ = [
    "conflicts_in",
    "drop_repeated_schedules",
    "find_implausible_times",
    "has_ended",
    "jobs_from",
    "list_was_read",
    "measure_durations",
    "outcome_of",
]

_DETAILS_ONLY: Final = ("type", "size", "location", "build")
"""The columns that job/{id} never returns."""

_Rows = npt.NDArray[np.int64]
_Times = npt.NDArray[np.datetime64]
_Flags = npt.NDArray[np.bool_]

_EARLIEST: Final = np.datetime64(EARLIEST_TIME.replace(tzinfo=None), "us")
_LATEST: Final = np.datetime64(LATEST_TIME.replace(tzinfo=None), "us")
_LEAD: Final = np.timedelta64(LARGEST_LEAD).astype("timedelta64[us]")
_NO_SKEW: Final = np.timedelta64(0, "us")

_JOB_KEY: Final = ["appliance", "job_id"]
_SCHEDULE_KEY: Final = ["appliance", "schedule"]


def outcome_of(status: pd.Series) -> pd.Series:
    """Return the outcome class of each raw status; an unknown status is ``other``.

    Examples
    --------
    >>> outcome_of(pd.Series(["SUCCEEDED", "BLOCKED", "NONE", "EXPLODED"])).to_list()
    ['success', 'open', 'void', 'other']
    """
    return status.map(OUTCOME_BY_STATUS).fillna("other").astype("str")


def has_ended(status: pd.Series) -> pd.Series:
    """Return which jobs have ended, from their raw statuses."""
    return status.isin(ENDED)


def find_implausible_times(
    times: _Times, seen: _Times, skew: np.timedelta64 | npt.NDArray[np.timedelta64] = _NO_SKEW
) -> _Flags:
    """Return which times of jobs cannot be right.

    Parameters
    ----------
    times : array of datetime64[us]
        Starts or ends of jobs, by the clock of the appliance [naive UTC].
    seen : array of datetime64[us]
        When each job was last observed, by the clock of the collector.
    skew : timedelta64[us], or an array of them
        The appliance's clock minus the collector's.

    Returns
    -------
    array of bool
        True for a time before the first version with backups, or more than a day after its
        observation, both with and without the correction of the clock. False without a time.

    Examples
    --------
    >>> times = np.array(["1970-01-01", "2026-11-09", "9999-12-31"], dtype="datetime64[us]")
    >>> find_implausible_times(times, np.repeat(np.datetime64("2026-11-09T06:00", "us"), 3))
    array([ True, False,  True])
    """
    latest = np.where(np.isnat(seen), _LATEST, np.fmin(seen, _LATEST - _LEAD) + _LEAD)
    implausible: _Flags = (times < _EARLIEST + np.minimum(skew, _NO_SKEW)) | (
        times > latest + np.maximum(skew, _NO_SKEW)
    )
    return implausible


def measure_durations(start: _Times, end: _Times, seen: _Times) -> npt.NDArray[np.timedelta64]:
    """Return the durations of jobs: NaT without both times, or if they cannot be right."""
    is_known = ~(
        np.isnat(start)
        | np.isnat(end)
        | (end < start)
        | find_implausible_times(start, seen)
        | find_implausible_times(end, seen)
    )
    durations = np.full(len(start), np.timedelta64("NaT", "us"))
    durations[is_known] = end[is_known] - start[is_known]
    return durations


def _to_naive(column: pd.Series) -> _Times:
    naive: _Times = column.dt.tz_localize(None).to_numpy("datetime64[us]")
    return naive


def list_was_read(polls: pd.DataFrame) -> pd.Series:
    """Return whether each poll read the job list; missing for a poll that does not count.

    A poll that read the list and only some of its jobs did read the list.

    Examples
    --------
    >>> from backupkit.tables import POLLS
    >>> polls = {"appliance": ["a"] * 3, "ok": [False, None, None], "jobs_unread": [None, 2, None]}
    >>> list_was_read(POLLS.frame(polls)).to_list()
    [False, True, <NA>]
    """
    ok, unread = polls["ok"].astype("boolean"), polls["jobs_unread"]
    was_partial = ok.isna().to_numpy() & unread.gt(0).to_numpy(dtype=bool, na_value=False)
    return ok.mask(was_partial, other=True)


def jobs_from(observations: pd.DataFrame) -> pd.DataFrame:
    """Return the newest observation of each job, sorted by appliance and start.

    An observation that repeats the one before it, as it arrived late, counts for nothing.
    A finished state takes precedence over an open one, in any order of arrival. Of two finished
    states the later observation counts. Type, size, location and build come from the newest
    observation that has them, because job/{id} never returns them. A start that could not be read
    comes from the newest earlier observation that has it.

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
    names, ids = (pd.factorize(observations[name], sort=True)[0] for name in _JOB_KEY)
    observed = observations["observed_at"].astype("int64").to_numpy()
    order = np.lexsort((observed, ids, names))
    order = order[
        ~_find_repeats(
            _mark_listed(observations.take(order)),
            key=_JOB_KEY,
            time="observed_at",
            optional=_DETAILS_ONLY,
        )
    ]
    ordered = observations.take(order).reset_index(drop=True)
    names, ids, observed = names[order], ids[order], observed[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (names[1:] != names[:-1]) | (ids[1:] != ids[:-1])
    job = np.cumsum(begins) - 1
    gone = ordered["source"].eq(LISTED).to_numpy(dtype=bool)
    seen = np.flatnonzero(~gone)
    count = int(job[-1]) + 1 if len(job) else 0
    first, newest = _find_first_and_last(job, seen, count)
    ended = seen[has_ended(ordered["status"]).to_numpy(dtype=bool)[seen]]
    _, finished = _find_first_and_last(job, ended, count)
    known = np.flatnonzero(newest >= 0)
    chosen = np.where(finished >= 0, finished, newest)[known]
    columns = {
        name: ordered[name].take(chosen).reset_index(drop=True) for name in OBSERVATIONS.names
    }
    for name in _DETAILS_ONLY:
        known_rows = seen[ordered[name].notna().to_numpy()[seen]]
        _, newest_known = _find_first_and_last(job, known_rows, count)
        row = np.where(newest_known >= 0, newest_known, newest)[known]
        columns[name] = ordered[name].take(row).reset_index(drop=True)
    started = seen[ordered["start_time"].notna().to_numpy()[seen]]
    _, newest_started = _find_first_and_last(job, started, count)
    columns["start_time"] = columns["start_time"].fillna(
        ordered["start_time"].reindex(newest_started[known]).reset_index(drop=True)
    )
    moments = ordered["observed_at"]
    columns["first_seen_at"] = moments.take(first[known]).reset_index(drop=True)
    columns["last_seen_at"] = moments.take(newest[known]).reset_index(drop=True)
    removed = np.flatnonzero(gone)
    removed = removed[observed[removed] > observed[newest[job[removed]]]]
    vanished, _ = _find_first_and_last(job, removed, count)
    columns["vanished_at"] = moments.reindex(vanished[known]).reset_index(drop=True)
    columns["duration"] = pd.Series(
        measure_durations(
            *(_to_naive(columns[name]) for name in ("start_time", "end_time", "last_seen_at"))
        )
    )
    columns["outcome"] = outcome_of(columns["status"])
    del columns["observed_at"]
    jobs = JOBS.conform(pd.DataFrame(columns, index=pd.RangeIndex(len(known))))
    begun = jobs["start_time"].astype("int64").to_numpy()
    begun = np.where(jobs["start_time"].isna(), np.iinfo(np.int64).max, begun)
    by_start = np.lexsort((ids[chosen], begun, names[chosen]))
    return jobs.take(by_start).reset_index(drop=True)


def _find_first_and_last(job: _Rows, rows: _Rows, count: int) -> tuple[_Rows, _Rows]:
    """Return the first and the last of some rows of each job, -1 if there is none."""
    first, last = np.full(count, -1), np.full(count, -1)
    first[job[rows[::-1]]] = rows[::-1]
    last[job[rows]] = rows
    return first, last


def _mark_listed(observations: pd.DataFrame) -> pd.DataFrame:
    """Replace the source by whether the job was missing from its appliance's list."""
    return observations[OBSERVATIONS.names].assign(source=observations["source"].eq(LISTED))


def conflicts_in(observations: pd.DataFrame) -> pd.DataFrame:
    """Find ended jobs for which an appliance later reported another start or end.

    The observations may be in any order. The result has one row of `CONFLICTS` per change.
    """
    ended = observations[has_ended(observations["status"])]
    ended = ended[ended.duplicated(_JOB_KEY, keep=False)]
    ended = ended.sort_values([*_JOB_KEY, "observed_at"], kind="stable")
    before = ended.groupby(_JOB_KEY, sort=False)[["start_time", "end_time"]].shift()
    differs = pd.Series(data=False, index=ended.index)
    for name in ("start_time", "end_time"):
        differs |= ended[name].notna() & before[name].notna() & (ended[name] != before[name])
    changed = ended.assign(known_start_time=before["start_time"], known_end_time=before["end_time"])
    return CONFLICTS.conform(changed[differs])


def drop_repeated_schedules(schedules: pd.DataFrame) -> pd.DataFrame:
    """Return schedules without rows that equal the row before them, which arrived late.

    Examples
    --------
    >>> times = pd.to_datetime(["2026-11-02T00:00Z", "2026-11-03T00:00Z"])
    >>> columns = {"appliance": ["a", "a"], "schedule": ["s", "s"], "seen_at": times}
    >>> from backupkit.tables import SCHEDULES
    >>> len(drop_repeated_schedules(SCHEDULES.frame(columns)))
    1
    """
    order = _find_order(schedules, _SCHEDULE_KEY, "seen_at")
    repeats = np.zeros(len(schedules), dtype=bool)
    repeats[order] = _find_repeats(schedules.take(order), key=_SCHEDULE_KEY, time="seen_at")
    return schedules[~repeats].reset_index(drop=True)


def _find_order(frame: pd.DataFrame, key: list[str], time: str) -> _Rows:
    """Return the order of rows by key and time."""
    codes = [pd.factorize(frame[name], sort=True)[0] for name in key]
    times = frame[time].astype("int64").to_numpy()
    return np.lexsort((times, *reversed(codes)))


def _find_repeats(
    ordered: pd.DataFrame, *, key: list[str], time: str, optional: tuple[str, ...] = ()
) -> _Flags:
    """Return which rows equal the row before them of the same key; rows are sorted by key and time.

    An optional value that is missing is no difference.
    """
    repeats = np.zeros(len(ordered), dtype=bool)
    keys = ordered[key]
    same = np.flatnonzero((keys == keys.shift()).all(axis="columns").to_numpy())
    if not len(same):
        return repeats
    equal = np.ones(len(same), dtype=bool)
    for name in ordered.columns.difference([*key, time], sort=False):
        values = ordered[name]
        before = values
        if name in optional:
            before = values.groupby([ordered[one] for one in key], sort=False).ffill()
        left = same[equal]
        unequal = _find_unequal_rows(values.take(left), before.take(left - 1)).to_numpy()
        if name in optional:
            unequal = unequal & values.take(left).notna().to_numpy()
        equal[equal] = ~unequal
    repeats[same[equal]] = True
    return repeats


def _find_unequal_rows(new: pd.Series, old: pd.Series) -> pd.Series:
    """Return where values differ, by position; missing equals missing."""
    if isinstance(new.dtype, pd.ArrowDtype):  # lists have no vectorised comparison
        pairs = zip(new.array, old.array, strict=True)
        unequal = [_missing_to_none(left) != _missing_to_none(right) for left, right in pairs]
        return pd.Series(unequal, index=new.index, dtype="bool")
    left, right = new.reset_index(drop=True), old.reset_index(drop=True)
    equal = (left == right).fillna(value=False).astype("bool") | (left.isna() & right.isna())
    return pd.Series(~equal.to_numpy(), index=new.index)


def _missing_to_none(value: object) -> object:
    """Return a list cell, None if it is missing."""
    return value if isinstance(value, list) else None

"""Jobs: one record of each, their times, and counts of them."""

from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from backupkit.analysis.arrays import (
    NAT,
    Codes,
    Flags,
    Spans,
    Times,
    build_tie_break_keys,
    find_asof_index,
    find_group_first,
    find_sort_order,
    mark_group_starts,
    sum_sizes,
    to_codes,
    to_instant,
    to_times,
    to_utc_column,
)
from backupkit.analysis.clocks import Clocks
from backupkit.analysis.coverage import find_counted_polls
from backupkit.tables import (
    EARLIEST_TIME,
    TERMINAL,
    TOTALS,
    find_implausible_times,
    list_was_read,
)

__all__ = [
    "attempt_counts",
    "correct_clock_skew",
    "deduplicate_jobs",
    "drop_implausible_times",
    "job_times",
    "last_attempts",
    "mark_implausible_times",
    "strikes",
    "totals_of",
]

_LATEST: Final = np.datetime64("2200-01-01", "us")
_NO_SKEW: Final = np.timedelta64(0, "us")


def deduplicate_jobs(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return one record of each job.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, in any order.

    Returns
    -------
    DataFrame
        One row per (appliance, job_id), sorted by appliance, start and id, on a new range index.

    Notes
    -----
    A finished record takes precedence over an open one; of two finished ones, the last seen.

    References
    ----------
    .. [1] docs/sla.md, section 5, "duplicate records".
    """
    names = pd.Index(np.sort(jobs["appliance"].unique()), dtype="str")
    codes = to_codes(jobs["appliance"], names)
    if _has_duplicates(codes, jobs["job_id"]):
        jobs = _keep_newest_records(jobs)
        codes = to_codes(jobs["appliance"], names)
    start = to_times(jobs["start_time"])
    order = find_sort_order(codes, start)
    codes, start = codes[order], start[order]
    if np.any((codes[1:] == codes[:-1]) & ~(start[1:] > start[:-1])):  # equal or missing starts
        by = ["appliance", "start_time", "job_id"]
        return jobs.sort_values(by, kind="stable", ignore_index=True)
    is_sorted = np.all(order[1:] > order[:-1])
    return (jobs if is_sorted else jobs.iloc[order]).reset_index(drop=True)


def _has_duplicates(codes: Codes, job_ids: pd.Series) -> bool:
    """Return whether an appliance has two records of a job."""
    ids = pa.chunked_array(pa.array(job_ids.array, type=pa.large_string())).combine_chunks()
    is_later = pc.less(ids[:-1], ids[1:]).fill_null(False)
    ascending = is_later.to_numpy(zero_copy_only=False)
    if np.all((codes[1:] > codes[:-1]) | ((codes[1:] == codes[:-1]) & ascending)):
        return False  # the usual case: ids begin with a time
    positions, distinct = pd.factorize(job_ids)
    return bool(pd.Series(codes * (len(distinct) + 1) + positions).duplicated().any())


def _keep_newest_records(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return the record of each job that takes precedence."""
    ranked = jobs.assign(_finished=jobs["outcome"].isin(TERMINAL)).sort_values(
        ["appliance", "job_id", "_finished", "last_seen_at", "end_time", "state"],
        kind="stable",
        na_position="first",
    )
    kept = ranked.drop_duplicates(["appliance", "job_id"], keep="last")
    return kept.drop(columns="_finished")


def job_times(jobs: pd.DataFrame) -> tuple[Times, Times]:
    """Return when each job started, and when its result was available.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`; reads ``outcome``, ``start_time``, ``end_time`` [UTC] and
        ``last_seen_at`` [UTC].

    Returns
    -------
    start, end : array of datetime64[us]
        NaT where unknown. A job that has not finished has no end.

    Notes
    -----
    If the end is before the start, the clock was set back, and the start is used. A finished job
    without an end ended when it was last seen.
    """
    start, end = to_times(jobs["start_time"]), to_times(jobs["end_time"])
    finished = to_codes(jobs["outcome"], pd.Index(TERMINAL)) >= 0
    ended = np.where(np.isnat(end), to_times(jobs["last_seen_at"]), end)
    return start, np.where(finished, np.fmax(ended, np.where(np.isnat(ended), NAT, start)), NAT)


def drop_implausible_times(jobs: pd.DataFrame, clocks: Clocks | pd.Series) -> pd.DataFrame:
    """Take times of jobs that cannot be right as not known.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.
    clocks : Clocks or Series of timedelta64
        The clocks of every appliance in `jobs`, or the result of `skew_corrections`.

    Returns
    -------
    DataFrame
        A copy in which such a ``start_time`` or ``end_time`` is missing.

    References
    ----------
    .. [1] docs/sla.md, section 3, "Job times".
    """
    marks = mark_implausible_times(jobs, clocks)
    return jobs.assign(
        **{name: jobs[name].mask(flags) for name, flags in marks.items() if flags.any()}
    )


def mark_implausible_times(jobs: pd.DataFrame, clocks: Clocks | pd.Series) -> dict[str, Flags]:
    """Return which times `drop_implausible_times` drops, by column."""
    return _mark_by_skew(jobs, _find_skews(jobs, clocks))


def _mark_by_skew(jobs: pd.DataFrame, skews: dict[str, Spans]) -> dict[str, Flags]:
    seen = to_times(jobs["last_seen_at"])
    return {
        name: find_implausible_times(to_times(jobs[name]), seen, skew)
        for name, skew in skews.items()
    }


def _find_skews(jobs: pd.DataFrame, clocks: Clocks | pd.Series) -> dict[str, Spans]:
    """Return the clock correction of each start and each end, by column.

    The start has that of the poll that saw the job first, the end that of the poll that last saw it
    change. Without that poll, the time itself decides.
    """
    if isinstance(clocks, pd.Series):
        clocks = Clocks.constant(clocks)
    codes = to_codes(jobs["appliance"], clocks.index)
    if not clocks.was_set:
        skew = clocks.find_corrections(codes, np.full(len(jobs), _LATEST))
        return {"start_time": skew, "end_time": skew}
    skews = {}
    for name, seen_name in (("start_time", "first_seen_at"), ("end_time", "last_seen_at")):
        seen, times = to_times(jobs[seen_name]), to_times(jobs[name])
        own = times - clocks.correct(codes, times)
        skew = np.where(np.isnat(seen), own, clocks.find_corrections(codes, seen))
        skews[name] = np.where(np.isnat(skew), _NO_SKEW, skew)
    return skews


def correct_clock_skew(jobs: pd.DataFrame, clocks: Clocks | pd.Series) -> pd.DataFrame:
    """Correct job times for the clock skew of their appliances.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`.
    clocks : Clocks or Series of timedelta64
        The clocks of every appliance in `jobs`, or the result of `skew_corrections`.

    Returns
    -------
    DataFrame
        A copy with ``start_time`` and ``end_time`` shifted. A time that cannot be right is missing,
        as in the result of `drop_implausible_times`.
    """
    skews = _find_skews(jobs, clocks)
    marks = _mark_by_skew(jobs, skews)
    corrected = {
        name: np.where(marks[name], NAT, to_times(jobs[name]) - skew)
        for name, skew in skews.items()
    }
    return jobs.assign(
        **{name: to_utc_column(times).set_axis(jobs.index) for name, times in corrected.items()}
    )


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
    _, ended_at = job_times(jobs)
    inside = (ended_at >= to_instant(start)) & (ended_at < to_instant(end))
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
        By appliance, Int64: `strikes` (failures since the last success, at the period's end) and
        `strikes_worst` (the longest series of failures that reaches into the period, including its
        failures before the period; one that no success ended before the start reaches into it).

    Notes
    -----
    Jobs are ordered by their ends. At the same instant, a failure comes before a success.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 11.
    """
    _, ended_at = job_times(jobs)
    rows = np.flatnonzero(ended_at <= to_instant(end))
    codes = to_codes(jobs["appliance"], appliances)[rows]
    success = jobs["outcome"].eq("success").to_numpy()[rows]
    order = find_sort_order(codes, build_tie_break_keys(success, ended_at[rows]))
    codes, success, ended_at = codes[order], success[order], ended_at[rows][order]
    failed = np.cumsum(~success)
    begins = mark_group_starts(codes)
    # failures before the series: at a success all so far, at a new appliance all of the others
    base = np.where(success, failed, np.where(begins, failed - ~success, 0))
    streak = failed - np.maximum.accumulate(base) if len(base) else failed
    last = np.append(begins[1:], np.True_)[: len(codes)]
    now = np.zeros(len(appliances), dtype=np.int64)
    now[codes[last]] = streak[last]
    worst = np.zeros(len(appliances), dtype=np.int64)
    # the row of failures that is not broken when the period starts counts, too
    started = ended_at <= to_instant(start)
    carried = started & (last | ~np.append(started[1:], np.False_)[: len(codes)])
    inside = carried | (ended_at >= to_instant(start))
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
        By appliance: last_attempt and last_attempt_end [UTC], and last_outcome.
    """
    started = (jobs["outcome"] != "void").to_numpy() & (
        to_times(jobs["start_time"]) <= to_instant(at)
    )
    rows = np.flatnonzero(started)
    row = find_asof_index(
        to_codes(jobs["appliance"], appliances)[rows],
        to_times(jobs["start_time"])[rows],
        np.arange(len(appliances), dtype=np.intp),
        np.full(len(appliances), to_instant(at)),
    )
    newest = np.append(rows, -1)[row]
    names = {
        "start_time": "last_attempt",
        "end_time": "last_attempt_end",
        "outcome": "last_outcome",
    }
    columns = {
        name: jobs[column].array.take(newest, allow_fill=True) for column, name in names.items()
    }
    return pd.DataFrame(columns, index=appliances)


def totals_of(
    jobs: pd.DataFrame, polls: pd.DataFrame, *, counted: Codes | None = None
) -> pd.DataFrame:
    """Count the jobs and polls of each appliance.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once; all known jobs.
    polls : DataFrame
        Of ``POLLS``, in any order; all known polls.
    counted : array of int, optional
        The result of `find_counted_polls` for `polls`, if it is known.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.TOTALS`, one row per appliance with a job or a poll.

    Notes
    -----
    A poll that Ctrl-C stopped, or that only followed a running job, is ignored. So is a start that
    is too early to be right. A size counts if it is not below 0, and its job is a success with a
    known end or last_seen_at.

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
    started_at, ended_at = job_times(jobs)
    started = np.flatnonzero(started_at >= to_instant(pd.Timestamp(EARLIEST_TIME)))
    groups, first = find_group_first(codes[started], started_at[started])
    oldest = np.full(number, NAT)
    oldest[groups] = started_at[started[first]]
    size = jobs["size"].to_numpy("int64", na_value=-1)
    sized = jobs["outcome"].eq("success").to_numpy() & ~np.isnat(ended_at) & (size >= 0)
    if counted is None:
        counted = find_counted_polls(polls)
    read = list_was_read(polls).to_numpy(dtype=bool, na_value=False)[counted]
    poll_codes = to_codes(polls["appliance"], names)[counted]
    return TOTALS.frame(
        {
            "appliance": names.to_series(),
            "polls": pd.Series(np.bincount(poll_codes, minlength=number)),
            "polls_ok": pd.Series(np.bincount(poll_codes[read], minlength=number)),
            "jobs": pd.Series(np.bincount(codes, minlength=number)),
            "oldest_start": to_utc_column(oldest),
            "sized_jobs": pd.Series(np.bincount(codes[sized], minlength=number)),
            "sized_bytes": sum_sizes(np.where(sized, codes, -1), jobs["size"], number=number),
        }
    )

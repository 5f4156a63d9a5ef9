"""Load of each backup target: concurrent jobs, actual and planned."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.analysis.arrays import (
    NAT,
    Codes,
    Flags,
    Spans,
    Times,
    build_tie_break_keys,
    find_sort_order,
    sum_sizes,
    to_codes,
    to_instant,
    to_spans,
    to_times,
    to_utc_column,
)
from backupkit.analysis.jobs import job_times
from backupkit.analysis.throughput import find_typical_throughput
from backupkit.tables import LOADS
from backupkit.tables.constants import FOLDER_PATTERN
from backupkit.tables.locations import target_of

__all__ = ["encode_targets", "overlapping_jobs", "target_concurrency", "target_of"]

_DEFAULT_DURATION: Final = np.timedelta64(1, "h")


def target_concurrency(
    jobs: pd.DataFrame,
    expected: pd.DataFrame,
    typical: pd.Series,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
) -> pd.DataFrame:
    """Compute the concurrent jobs of each backup target, actual and planned.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once, corrected for clock skew.
    expected : DataFrame
        The slots: appliance, slot [UTC] and location (of the schedule, a URI).
    typical : Series of timedelta64
        The typical duration of a job, by appliance; NaT where unknown.
    start, end : Timestamp
        The period, half-open; the end is not later than the newest data.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.LOADS`, the most jobs at once first, then by target.

    Notes
    -----
    A job counts from its start to its end, cut to the period. A job that ends when another begins
    does not overlap it. A running job counts to the period's end, or to its removal from the
    appliance's list. A job without a known end has no length and overlaps no other, like one that
    failed at once. Busy time is the union of the jobs.
    A slot in the period counts from its instant for the appliance's typical duration. If that is
    unknown, it counts for the median of the other appliances, or for 1 h if there is none. Without
    it, the planned load would be too low. Data and throughput count for jobs that ended in the
    period.

    References
    ----------
    .. [1] docs/sla.md, section 4, numbers 24 and 37; section 5, "overlapping jobs".

    Examples
    --------
    >>> from backupkit.tables import JOBS, SLOTS
    >>> night = pd.Timestamp("2026-11-08T00:00Z")
    >>> hours = [night + pd.Timedelta(hours=hour) for hour in (1.0, 3.5, 2.0, 2.25)]
    >>> jobs = JOBS.frame(
    ...     {
    ...         "appliance": ["vc-1", "vc-1"],
    ...         "outcome": ["success", "success"],
    ...         "start_time": hours[0::2],
    ...         "end_time": hours[1::2],
    ...         "location": ["sftp://nas/vc-1", "sftp://nas/vc-1"],
    ...     }
    ... )
    >>> none = SLOTS.empty().assign(location="")
    >>> usual = pd.Series([], dtype="timedelta64[us]")
    >>> result = target_concurrency(
    ...     jobs, none, usual, start=night, end=night + pd.Timedelta(days=1)
    ... )
    >>> result[["jobs", "peak", "busy_time"]].values.tolist()
    [[2, 2, Timedelta('0 days 02:30:00')]]
    """
    first, last = to_instant(start), to_instant(end)
    started_at, until, ended_at = _find_write_times(jobs, last)
    ran, ended = _mark_jobs_in_period(started_at, until, ended_at, first, last)
    rows = np.flatnonzero(ran | ended)
    period_slots = expected[(expected["slot"] >= start) & (expected["slot"] < end)]
    codes, targets = encode_targets(jobs["location"].iloc[rows], period_slots["location"])
    number, planned_codes = len(targets), codes[len(rows) :]
    codes = codes[: len(rows)]
    writing = ran[rows] & (codes >= 0)
    begins, ends = np.fmax(started_at[rows], first), np.fmin(until[rows], last)
    peak, peak_at, busy_time = _find_peak_concurrency(
        codes[writing], begins[writing], ends[writing], number
    )
    slots = to_times(period_slots["slot"])
    # a duration beyond the period's length changes nothing
    finish = slots + np.minimum(_assume_durations(typical, period_slots["appliance"]), last - first)
    has_target = planned_codes >= 0
    planned_peak, planned_peak_at, _ = _find_peak_concurrency(
        planned_codes[has_target], slots[has_target], finish[has_target], number
    )
    writers = jobs["appliance"].iloc[rows[writing]].reset_index(drop=True)
    distinct = writers.groupby(codes[writing]).nunique().reindex(range(number), fill_value=0)
    sent = np.full(len(jobs), -1)
    sent[rows] = np.where(ended[rows], codes, -1)
    columns = {
        "target": pd.Series(targets, dtype="str"),
        "appliances": distinct,
        "jobs": pd.Series(np.bincount(codes[writing], minlength=number)),
        "peak": pd.Series(peak),
        "peak_at": to_utc_column(peak_at),
        "planned_peak": pd.Series(planned_peak),
        "planned_peak_at": to_utc_column(planned_peak_at),
        "busy_time": pd.Series(busy_time),
        "bytes_sent": sum_sizes(sent, jobs["size"], number=number),
        "throughput": find_typical_throughput(jobs, sent, number=number),
    }
    return LOADS.frame(columns).sort_values("peak", ascending=False, kind="stable")


def overlapping_jobs(jobs: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp) -> Flags:
    """Return a mask of the jobs that overlap a period.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, corrected for clock skew.
    start, end : Timestamp
        The period, half-open.

    Returns
    -------
    array of bool
        One for each job.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> days = [pd.Timestamp(f"2026-11-0{day}", tz="UTC") for day in (1, 2, 3)]
    >>> jobs = JOBS.frame(
    ...     {
    ...         "appliance": ["vc-1"] * 2,
    ...         "outcome": ["success"] * 2,
    ...         "start_time": days[:2],
    ...         "end_time": days[:2],
    ...     }
    ... )
    >>> overlapping_jobs(jobs, start=days[1], end=days[2])
    array([False,  True])
    """
    first, last = to_instant(start), to_instant(end)
    ran, ended = _mark_jobs_in_period(*_find_write_times(jobs, last), first, last)
    return ran | ended


def _mark_jobs_in_period(
    started_at: Times, until: Times, ended_at: Times, first: np.datetime64, last: np.datetime64
) -> tuple[Flags, Flags]:
    """Return which jobs ran in the period, and which ended in it."""
    ran = (started_at < last) & ((until > first) | (started_at >= first))
    return ran, (ended_at >= first) & (ended_at < last)


def _find_write_times(jobs: pd.DataFrame, last: np.datetime64) -> tuple[Times, Times, Times]:
    """Return when each job began, until when it wrote, and when its result was available."""
    started_at, ended_at = job_times(jobs)
    outcome = jobs["outcome"]
    started_at = np.where(outcome.eq("void"), NAT, started_at)
    listed_until = np.fmin(to_times(jobs["vanished_at"]), last)
    ended = np.where(np.isnat(ended_at), to_times(jobs["end_time"]), ended_at)
    return (
        started_at,
        np.fmax(np.where(outcome.eq("open"), listed_until, ended), started_at),
        ended_at,
    )


def encode_targets(*columns: pd.Series) -> tuple[Codes, pd.Index]:
    """Return the position of each location's target, -1 if none, and the sorted targets."""
    combined = pd.concat([column.astype("str") for column in columns], ignore_index=True)
    which, locations = pd.factorize(combined.str.replace(FOLDER_PATTERN, r"\1", regex=True))
    named = pd.Series([target_of(location) for location in locations], dtype="str")
    code, targets = pd.factorize(named, sort=True)
    # missing locations have position -1, the appended last element
    return np.append(code, -1).astype(np.intp)[which], targets


def _assume_durations(typical: pd.Series, appliances: pd.Series) -> Spans:
    """Return the assumed duration of each appliance's next job."""
    durations = typical.dropna()
    codes = to_codes(appliances, durations.index)
    spans = to_spans(durations)
    assumed = (
        np.median(spans.astype(np.int64)).astype(spans.dtype) if len(spans) else _DEFAULT_DURATION
    )
    return np.append(spans, assumed)[codes]


def _find_peak_concurrency(
    codes: Codes, begins: Times, ends: Times, number: int
) -> tuple[Codes, Times, npt.NDArray[np.timedelta64]]:
    """Return the peak of concurrent spans, its first time and the union's length per target."""
    long = np.flatnonzero(begins < ends)
    change = np.repeat([1, -1], len(long))
    codes = np.tile(codes[long], 2)
    times = np.concatenate([begins[long], ends[long]])
    order = find_sort_order(codes, build_tie_break_keys(change > 0, times))  # ends before starts
    codes, times = codes[order], times[order]
    at_once = np.cumsum(change[order])
    peak = np.zeros(number, dtype=np.intp)
    np.maximum.at(peak, codes, at_once)
    peaks = np.flatnonzero(at_once == peak[codes])
    reached, position = np.unique(codes[peaks], return_index=True)
    when = np.full(number, NAT)
    when[reached] = times[peaks[position]]
    # nothing runs after a target's last end, so no step crosses to the next target
    steps = np.flatnonzero(at_once[:-1] > 0)
    busy = np.zeros(number, dtype=np.int64)
    np.add.at(busy, codes[steps], (times[steps + 1] - times[steps]).astype(np.int64))
    return peak, when, busy.astype("timedelta64[us]")

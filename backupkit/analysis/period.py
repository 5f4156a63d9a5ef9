"""Selection of the jobs and polls that the figures of a period need.

A history covers years. An assessment needs the period, the time right before it, and the newest
jobs for the baselines. The selection changes no figure, and additional rows change none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.analysis.arrays import (
    NAT,
    Codes,
    Flags,
    Times,
    find_sort_order,
    to_codes,
    to_instant,
    to_times,
)
from backupkit.analysis.baselines import count_retained_backups
from backupkit.analysis.clocks import Clocks
from backupkit.analysis.coverage import find_cadence_polls, find_counted_polls
from backupkit.analysis.jobs import correct_clock_skew, job_times, totals_of
from backupkit.analysis.schedules import current_schedules, mark_schedule_reads
from backupkit.tables import HistoryView, find_set_clocks, list_was_read, mark_local_jobs
from backupkit.tables.constants import (
    BASELINE_RUNS,
    DUPLICATE_JOBS,
    GROWTH_SIZES,
    RECENT,
    SLOT_MARGIN,
    SPREAD_RUNS,
)

__all__ = ["restrict_to_period"]

_MIN_INSTANT: Final = np.datetime64(np.iinfo(np.int64).min + 1, "us")  # the smallest instant
_PAST_RUNS: Final = SPREAD_RUNS + BASELINE_RUNS
_NEEDED_COLUMNS: Final = (
    "appliance",
    "job_id",
    "outcome",
    "start_time",
    "end_time",
    "first_seen_at",
    "last_seen_at",
    "vanished_at",
    "size",
    "type",
    "location",
)


def restrict_to_period(
    data: HistoryView,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    now: pd.Timestamp,
    hosts: Mapping[str, str] | None = None,
) -> HistoryView:
    """Drop the jobs and polls that no figure of a period needs.

    Parameters
    ----------
    data : HistoryView
        The data known at `now`, each job once: complete, or at least what this function keeps.
    start, end : Timestamp
        The period, half-open.
    now : Timestamp
        The time of the assessment.
    hosts : mapping of str to str, optional
        The host of each appliance, to find the backups on the appliance itself.

    Returns
    -------
    HistoryView
        Fewer jobs and polls, the same schedules, and the totals over all jobs and polls.

    Notes
    -----
    An appliance's job is kept if it is open, or if its newest time is not before a cutoff. The
    newest time is the later of start and end; without an end, last_seen_at is used. All times are
    corrected for clock skew. The cutoff is the earliest of

    * 14 days before the earliest of: a week before the period, the end of the newest success that
      ended before the period, and the latest start of these successes, each without the backups on
      the appliance itself;
    * the newest start, up to the period's end, of a job that is not void;
    * the 10th newest end of the successes up to the period's end;
    * the earliest start of the jobs that are checked for anomalies: the successes of the period,
      and the running jobs;
    * the 110th newest end of the successes that ended before that and have a duration, and of those
      that ended before that and have a size: 100 runs, the oldest with ten before it;
    * the 100th newest end of the successes up to the period's end that have a start and a size;
    * the end of the oldest backup that the schedules in force keep, if they do not keep all;
    * the 100th newest start of all jobs that have a start and an end.

    If there are fewer, the oldest of them counts. If no success ended before the period, or all of
    these are on the appliance itself, all jobs are kept.

    These polls of an appliance are kept: the first, the newest, the first good one, the newest
    good one, the newest and the newest good one up to the period's end, the first after each of
    the two newest good ones, the first that read the schedules, and those of the cadence. Of the
    good ones that measured the clock: the first, the newest, the newest ones up to the period's
    start and end, and all where these show that the clock was set.
    """
    counted = find_counted_polls(data.polls)
    totals = data.totals
    if totals is None:
        totals = totals_of(data.jobs, data.polls, counted=counted)
    needed = _find_needed_polls(data.polls, counted, start, end)
    polls = data.polls.iloc[needed].reset_index(drop=True)
    fewer = replace(data, polls=polls)
    kept = _mark_needed_jobs(fewer, totals, start=start, end=end, now=now, hosts=hosts or {})
    jobs = data.jobs if kept.all() else data.jobs[kept].reset_index(drop=True)
    return replace(fewer, jobs=jobs, totals=totals)


def _find_needed_polls(
    polls: pd.DataFrame, rows: Codes, start: pd.Timestamp, end: pd.Timestamp
) -> Codes:
    """Return the positions of the polls to keep; `rows` are those that count, sorted."""
    names = pd.Index(polls["appliance"].unique()).sort_values()
    number = len(names)
    codes = to_codes(polls["appliance"], names)[rows]
    times = to_times(polls["polled_at"])[rows]
    ok = list_was_read(polls).to_numpy(dtype=bool, na_value=False)[rows]
    has_schedules = mark_schedule_reads(polls)[rows]
    read = np.flatnonzero(ok)
    is_by_end = times <= to_instant(end)
    newest_good = _find_last_rows(codes, read, number)
    newest_good_by_end = _find_last_rows(codes, read[is_by_end[read]], number)
    measured = read[polls["clock_skew"].notna().to_numpy()[rows[read]]]
    samples = [
        _find_first_rows(codes, measured, number),
        _find_last_rows(codes, measured, number),
        _find_last_rows(codes, measured[times[measured] <= to_instant(start)], number),
        _find_last_rows(codes, measured[times[measured] <= to_instant(end)], number),
    ]
    sampled = polls.iloc[rows[np.unique(np.concatenate(samples))]]
    was_set = names.isin(find_set_clocks(sampled, start=start, end=end))
    cadence = find_cadence_polls(codes[read], times[read], number)
    chosen = [
        *samples,
        _find_first_rows(codes, np.arange(len(rows)), number),
        _find_last_rows(codes, np.arange(len(rows)), number),
        _find_first_rows(codes, read, number),
        newest_good,
        newest_good_by_end,
        _find_last_rows(codes, np.flatnonzero(is_by_end), number),
        newest_good[newest_good < len(rows) - 1] + 1,
        newest_good_by_end[newest_good_by_end < len(rows) - 1] + 1,
        read[cadence[cadence >= 0]],
        _find_first_rows(codes, read[has_schedules[read]], number),
        measured[was_set[codes[measured]]],
    ]
    needed: Codes = rows[np.unique(np.concatenate(chosen))]
    return needed


def _find_first_rows(codes: Codes, among: Codes, number: int) -> Codes:
    """Return each appliance's first row in `among`; rows are sorted by appliance."""
    row_codes = codes[among]
    begins = np.searchsorted(row_codes, np.arange(number))
    has_row = np.append(row_codes, -1)[begins] == np.arange(number)
    first: Codes = among[begins[has_row]]
    return first


def _find_last_rows(codes: Codes, among: Codes, number: int) -> Codes:
    """Return each appliance's last row in `among`; rows are sorted by appliance."""
    row_codes = codes[among]
    ends = np.searchsorted(row_codes, np.arange(number), side="right") - 1
    has_row = np.append(row_codes, -1)[ends] == np.arange(number)
    last: Codes = among[ends[has_row]]
    return last


@dataclass(frozen=True, slots=True)
class _SortedTimes:
    """One time of each job, sorted by appliance and time; jobs without it are left out."""

    rows: Codes
    codes: Codes
    times: Times
    number: int

    @classmethod
    def sort(cls, codes: Codes, times: Times, number: int) -> "_SortedTimes":
        """Sort the jobs of `number` appliances."""
        rows = np.flatnonzero(~np.isnat(times))
        rows = rows[find_sort_order(codes[rows], times[rows])]
        return cls(rows, codes[rows], times[rows], number)

    def find_nth_newest(self, chosen: Flags, ranks: int | npt.NDArray[np.intp]) -> Times:
        """Return the time of each appliance's n-th newest chosen job, or of its oldest."""
        is_chosen = chosen[self.rows]
        codes, times = self.codes[is_chosen], np.append(self.times[is_chosen], NAT)
        after = np.searchsorted(codes, np.arange(self.number), side="right")
        before = np.searchsorted(codes, np.arange(self.number), side="left")
        positions = np.maximum(after - ranks, before)
        return times[np.where(positions < after, positions, -1)]

    def find_newest_rows(self, chosen: Flags) -> Codes:
        """Return the position of each appliance's newest chosen job."""
        is_chosen = chosen[self.rows]
        codes = self.codes[is_chosen]
        is_last = np.append(codes[1:] != codes[:-1], np.True_)[: len(codes)]
        newest: Codes = self.rows[is_chosen][is_last]
        return newest

    def find_oldest(self, chosen: Flags) -> Times:
        """Return the earliest time of each appliance's chosen jobs."""
        return self.find_nth_newest(chosen, len(self.rows))


def _mark_needed_jobs(
    data: HistoryView,
    totals: pd.DataFrame,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    now: pd.Timestamp,
    hosts: Mapping[str, str],
) -> Flags:
    """Return which jobs to keep; see the notes of `restrict_to_period`."""
    names = pd.Index(data.jobs["appliance"].unique()).sort_values()
    number = len(names)
    clocks = Clocks.of(data.polls, names, start=start, end=end)
    jobs = correct_clock_skew(data.jobs[list(_NEEDED_COLUMNS)], clocks)
    codes, outcome = to_codes(jobs["appliance"], names), jobs["outcome"]
    success, still_open = outcome.eq("success").to_numpy(), outcome.eq("open").to_numpy()
    started_at, ended_at = job_times(jobs)
    end_times = to_times(jobs["end_time"])
    sized = success & (jobs["size"].to_numpy("int64", na_value=-1) >= 0)
    first, last = to_instant(start), to_instant(end)
    by_end = _SortedTimes.sort(codes, np.where(success, ended_at, NAT), number)
    by_start = _SortedTimes.sort(codes, started_at, number)
    ended_by_end = ended_at <= last

    before = success & (ended_at < first)
    newest = [order.find_newest_rows(before) for order in (by_end, by_start)]
    # only the newest ones count: mostly none of them is local
    if mark_local_jobs(jobs.iloc[np.concatenate(newest)], hosts).any():
        before[before] = ~mark_local_jobs(jobs[before], hosts)
    success_before = by_end.find_nth_newest(before, 1)
    slots = np.fmin(success_before, by_start.find_nth_newest(before, 1))
    slots = np.fmin(slots, first - np.timedelta64(RECENT)) - np.timedelta64(SLOT_MARGIN)

    running = still_open & jobs["vanished_at"].isna().to_numpy() & (started_at <= to_instant(now))
    judged = by_start.find_oldest(running | (success & (ended_at >= first) & (ended_at < last)))
    earlier = ended_at < judged[codes]

    later = np.bincount(codes[sized & (ended_at > last)], minlength=number)
    sized_total = totals["sized_jobs"].reindex(names).fillna(0).to_numpy("int64") - later
    kept_counts = count_retained_backups(current_schedules(data.schedules, at=end), names)
    kept_sizes = np.where(kept_counts < sized_total, kept_counts, 0).astype(np.intp)

    listed = ~np.isnat(end_times) & jobs["job_id"].notna().to_numpy()
    needs = (
        np.where(np.isnat(success_before), _MIN_INSTANT, slots),
        by_start.find_nth_newest(~outcome.eq("void").to_numpy() & (started_at <= last), 1),
        by_end.find_nth_newest(ended_by_end, BASELINE_RUNS),
        judged,
        by_end.find_nth_newest(earlier & (end_times >= started_at), _PAST_RUNS),
        by_end.find_nth_newest(earlier & sized, _PAST_RUNS),
        by_end.find_nth_newest(sized & ended_by_end & ~np.isnat(started_at), GROWTH_SIZES),
        by_end.find_nth_newest(sized & ended_by_end, kept_sizes),
        by_start.find_nth_newest(listed, DUPLICATE_JOBS),
    )
    cutoff = np.fmin.reduce(needs)
    seen = np.where(np.isnat(end_times), to_times(jobs["last_seen_at"]), end_times)
    kept: Flags = (np.fmax(started_at, seen) >= cutoff[codes]) | still_open
    return kept

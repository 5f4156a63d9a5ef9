"""Checks of the backup window, the duration limit and the backup days."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    NAT,
    Codes,
    Flags,
    Spans,
    Times,
    to_codes,
    to_instant,
    to_spans,
    to_times,
)
from backupkit.analysis.jobs import job_times
from backupkit.analysis.targets import allowed_runs
from backupkit.analysis.wall_times import to_utc, to_wall_times

__all__ = ["RuleSpan", "backup_days", "check_runs", "duration_runs", "window_runs"]

_DAY: Final = np.timedelta64(1, "D").astype("timedelta64[us]")
_ZERO: Final = np.timedelta64(0, "us")
_NO_START: Final = np.datetime64("1900-01-01", "us")


def window_runs(
    jobs: pd.DataFrame,
    resolved_policy: pd.DataFrame,
    zones: pd.Series,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
) -> pd.DataFrame:
    """Check scheduled jobs against the backup window.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once, corrected for clock skew, with its type.
    resolved_policy : DataFrame
        Result of `Policy.rules`.
    zones : Series of str
        The zone of each appliance's schedule, on the index of `resolved_policy`.
    start, end : Timestamp
        The period, half-open; a finished job counts by its end.

    Returns
    -------
    DataFrame
        By appliance: window_runs (finished scheduled jobs), window_ok (those inside the window),
        window_running (jobs that still run past the window's end at the period's end; Int64) and
        window_overrun (timedelta64, total time that the finished ones ran past it). Missing
        where the policy has no window.

    Notes
    -----
    A job is inside the window if it starts no more than the tolerance before it opens, and ends by
    the time it closes. A job belongs to the nearest window: each extends by half of the closed
    time to both sides. Windows open and close at wall times; what lies between is elapsed time,
    also across a clock change. A repeated wall time is its first one, a skipped one is at the old
    offset.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 13; section 7, O.
    """
    started_at, ended_at, running, rows = _select_scheduled_jobs(jobs, start, end)
    codes = to_codes(jobs["appliance"].iloc[rows], resolved_policy.index)
    windowed = resolved_policy["window_start"].notna().to_numpy()[codes]
    rows, codes = rows[windowed], codes[windowed]
    opens, length = (
        to_spans(resolved_policy["window_start"])[codes],
        to_spans(resolved_policy["window_length"])[codes],
    )
    opened, closed = _find_nearest_window(
        started_at[rows], opens, length, pd.Series(zones.array.take(codes))
    )
    overrun = np.where(running[rows], to_instant(end), ended_at[rows]) - closed
    in_time = started_at[rows] >= opened - to_spans(resolved_policy["window_tolerance"])[codes]
    kept = in_time & (overrun <= _ZERO) & ~running[rows]
    over = np.where((overrun > _ZERO) & ~running[rows], overrun, _ZERO)
    size = len(resolved_policy)
    lost = np.zeros(size, dtype="timedelta64[us]")
    np.add.at(lost, codes, over)
    late = running[rows] & (overrun > _ZERO)
    counts = {
        "window_runs": np.bincount(codes[~running[rows]], minlength=size),
        "window_ok": np.bincount(codes[kept], minlength=size),
        "window_running": np.bincount(codes[late], minlength=size),
    }
    frame = pd.DataFrame(counts, index=resolved_policy.index).astype("Int64")
    frame["window_overrun"] = pd.Series(lost, index=resolved_policy.index)
    return frame[resolved_policy["window_start"].notna()].reindex(resolved_policy.index)


def duration_runs(
    jobs: pd.DataFrame, resolved_policy: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """Check scheduled jobs against the duration limit.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once, with its type.
    resolved_policy : DataFrame
        Result of `Policy.rules`.
    start, end : Timestamp
        The period, half-open: jobs that end in it, and jobs that run at its end.

    Returns
    -------
    DataFrame
        By appliance, Int64: duration_runs and duration_ok (those no longer than the limit; running
        ones are measured up to `end`). Missing where the policy has no limit.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 14.
    """
    started_at, ended_at, running, rows = _select_scheduled_jobs(jobs, start, end)
    codes = to_codes(jobs["appliance"].iloc[rows], resolved_policy.index)
    took = np.where(running[rows], to_instant(end), ended_at[rows]) - started_at[rows]
    kept = took <= to_spans(resolved_policy["duration_limit"])[codes]
    counts = {
        "duration_runs": np.bincount(codes, minlength=len(resolved_policy)),
        "duration_ok": np.bincount(codes[kept], minlength=len(resolved_policy)),
    }
    frame = pd.DataFrame(counts, index=resolved_policy.index).astype("Int64")
    return frame[resolved_policy["duration_limit"].notna()].reindex(resolved_policy.index)


RuleSpan = tuple[pd.DataFrame, pd.Timestamp, pd.Timestamp]
"""Rules (`Policy.rules`), and the start and the end of the part of the period they apply to."""


def check_runs(jobs: pd.DataFrame, spans: Sequence[RuleSpan], zones: pd.Series) -> pd.DataFrame:
    """Check jobs against the backup window and the duration limit in force when they ended.

    Parameters
    ----------
    jobs, zones
        As for `window_runs`.
    spans : sequence of RuleSpan
        The parts of the period, in order.

    Returns
    -------
    DataFrame
        By appliance: the columns of `window_runs` and `duration_runs`, and how many of the runs
        the targets allow to fail (window_allowed, duration_allowed; Float64).
    """
    _, ended_at = job_times(jobs)
    results = []
    for resolved_policy, start, end in spans:
        # running jobs count once, at the period's end
        chosen = jobs if end == spans[-1][2] else jobs[ended_at < to_instant(end)]
        checked = (
            window_runs(chosen, resolved_policy, zones, start=start, end=end),
            duration_runs(chosen, resolved_policy, start=start, end=end),
        )
        columns = pd.concat(checked, axis="columns")
        for name in ("window", "duration"):
            columns[f"{name}_allowed"] = allowed_runs(
                columns[f"{name}_runs"], resolved_policy[f"{name}_target"]
            )
        results.append(columns)
    total = results[0]
    for result in results[1:]:
        # a part without a window, or without a limit, adds nothing
        total = (total + result).fillna(total).fillna(result)
    return total


def _select_scheduled_jobs(
    jobs: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp
) -> tuple[Times, Times, Flags, Codes]:
    """Return starts, ends, a mask of running jobs, and the rows of the period's jobs."""
    started_at, ended_at = job_times(jobs)
    last = to_instant(end)
    vanished = to_times(jobs["vanished_at"]) <= last  # its end stays unknown
    open_now = (jobs["outcome"].eq("open").to_numpy() & ~vanished) | (ended_at >= last)
    running = open_now & (started_at < last)
    wanted = running | ((ended_at >= to_instant(start)) & (ended_at < last))
    wanted &= jobs["type"].eq("SCHEDULED").to_numpy() & ~np.isnat(started_at)
    return started_at, ended_at, running, np.flatnonzero(wanted)


def _find_nearest_window(
    started_at: Times, opens: Spans, length: Spans, zone: pd.Series
) -> tuple[Times, Times]:
    """Return when the nearest window of each start opened and closed."""
    day = to_wall_times(started_at, zone).astype("datetime64[D]").astype("datetime64[us]")
    nights = pd.DataFrame({"day": day, "opens": opens, "length": length, "zone": zone})
    number = nights.groupby(list(nights), sort=False).ngroup().to_numpy()  # few differ
    nights = nights.drop_duplicates()
    days = np.array([-2, -1, 0, 1, 2])[:, np.newaxis] * _DAY
    zones = pd.concat([nights["zone"]] * len(days), ignore_index=True)
    first, span = (to_spans(nights[name]) for name in ("opens", "length"))
    opened, closed = (
        to_utc((nights["day"].to_numpy() + days + clock).ravel(), zones)[0].reshape(len(days), -1)
        for clock in (first, first + span)
    )
    closed_time = np.maximum(opened[1:] - closed[:-1], _ZERO)
    # the last window of which the half of the closed time before it has begun
    begins = opened[1:] - closed_time // 2
    chosen = np.count_nonzero(started_at >= begins[:, number], axis=0)
    return opened[chosen, number], closed[chosen, number]


def backup_days(
    jobs: pd.DataFrame,
    segments: pd.DataFrame,
    revisions: Sequence[tuple[pd.Timestamp | None, pd.DataFrame]],
    zones: pd.Series,
) -> pd.DataFrame:
    """Count the backup days, and those without a backup.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once, corrected for clock skew.
    segments : DataFrame
        Result of `segments`.
    revisions : sequence of (Timestamp or None, DataFrame)
        Results of `Policy.rules` with the same index, each with its effective date; the first also
        covers all earlier time.
    zones : Series of str
        The zone of each appliance's schedule, on the index of the rules.

    Returns
    -------
    DataFrame
        By appliance, Int64: days (backup days that were observed completely) and days_missed
        (those in which no success ended).

    Notes
    -----
    A backup day begins at the policy's hour in the appliance's own zone, and lasts until the next
    one: 23 or 25 hours on days with a clock change. The policy in force when the day begins
    applies. Days never overlap: after a change of the hour, the first new day begins no earlier
    than the end of the last old day.

    References
    ----------
    .. [1] docs/sla.md, section 3, "backup day", and section 4, number 12.
    """
    index = revisions[0][1].index
    size = len(index)
    counts = {"days": np.zeros(size, dtype=np.int64), "days_missed": np.zeros(size, dtype=np.int64)}
    if len(segments):
        first, last = to_instant(segments["start"].min()), to_instant(segments["end"].max())
        unobserved = segments[
            segments["state"].isin(["unknown", "unobserved"]) | segments["excluded_by_rule"]
        ]
        gap_codes, gap_starts = (
            to_codes(unobserved["appliance"], index),
            to_times(unobserved["start"]),
        )
        gap_ends = to_times(unobserved["end"])
        _, ended_at = job_times(jobs)
        good = jobs["outcome"].eq("success").to_numpy() & (ended_at >= first) & (ended_at < last)
        owners, ended_at = to_codes(jobs["appliance"][good], index), ended_at[good]
        hours = np.stack(
            [to_spans(resolved_policy["backup_day"]) for _, resolved_policy in revisions], axis=1
        )
        begins = [_NO_START, *(to_instant(date) for date, _ in revisions[1:] if date is not None)]
        keys = pd.DataFrame(hours).assign(zone=zones.to_numpy())
        for members in keys.groupby(list(keys)).indices.values():
            member = members[0]
            opens, closes = _list_full_days(
                str(zones.iloc[member]), hours[member], begins, first, last
            )
            # +1 where unobserved time begins, -1 after the day in which it ends
            change = np.zeros((size, len(opens) + 1), dtype=np.int64)
            np.add.at(change, (gap_codes, np.searchsorted(closes, gap_starts, "right")), 1)
            np.add.at(change, (gap_codes, np.searchsorted(opens, gap_ends, "left")), -1)
            complete = np.cumsum(change, axis=1)[members, :-1] == 0
            day = np.searchsorted(opens, ended_at, "right") - 1
            inside = (day >= 0) & (ended_at < np.append(closes, NAT)[day])
            saved = np.zeros((size, len(opens)), dtype=bool)
            saved[owners[inside], day[inside]] = True
            counts["days"][members] = complete.sum(axis=1)
            counts["days_missed"][members] = (complete & ~saved[members]).sum(axis=1)
    return pd.DataFrame(counts, index=index).astype("Int64")


def _list_full_days(
    zone: str,
    hours: Spans,
    begins: Sequence[np.datetime64],
    first: np.datetime64,
    last: np.datetime64,
) -> tuple[Times, Times]:
    """Return start and end of the period's complete days, by the hour in force at the start."""
    opens, closes, free = [], [], _NO_START
    for hour, begin, until in zip(hours, begins, [*begins[1:], last], strict=True):
        bounds = _list_day_starts(zone, hour, first, last)
        # a day that began before the period delays the first day of another hour, too
        kept = np.flatnonzero((bounds[:-1] >= np.maximum(begin, free)) & (bounds[:-1] < until))
        opens.append(bounds[kept])
        closes.append(bounds[kept + 1])
        free = np.append(free, closes[-1])[-1]
    opened, closed = np.concatenate(opens), np.concatenate(closes)
    complete = (opened >= first) & (closed <= last)
    return opened[complete], closed[complete]


def _list_day_starts(
    zone: str, hour: np.timedelta64, first: np.datetime64, last: np.datetime64
) -> Times:
    """Return the start times of backup days, from before `first` to after `last`."""
    days = np.arange(first.astype("datetime64[D]") - 2, last.astype("datetime64[D]") + 3)
    local = np.add(days.astype("datetime64[us]"), hour).astype("datetime64[us]")
    bounds, _ = to_utc(local, pd.Series(zone, index=range(len(local)), dtype="str"))
    return np.unique(bounds)  # a day that the zone skips has no length

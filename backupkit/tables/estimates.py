"""Estimates for running jobs: typical duration, time left and stalls."""

from collections.abc import Sequence
from datetime import timedelta
from statistics import median, quantiles
from typing import Final

from backupkit.tables.constants import BASELINE_RUNS, SPREAD_RUNS

__all__ = [
    "MIN_STALL",
    "STALL_SHARE",
    "is_stalled",
    "stall_limit",
    "time_left",
    "typical_duration",
    "usual_durations",
]

MIN_PROGRESS: Final = 5.0
"""Minimum progress for an estimate without earlier jobs [%]."""

MIN_STALL: Final = timedelta(minutes=10)
"""Minimum time without progress before a job counts as stalled."""

STALL_SHARE: Final = 0.1
"""Minimum time without progress, as a share of the typical duration."""


def typical_duration(earlier: Sequence[timedelta]) -> timedelta | None:
    """Return the median duration of the newest successes, given oldest first; None without any.

    Examples
    --------
    >>> typical_duration([timedelta(minutes=m) for m in (20, 60, 24)])
    datetime.timedelta(seconds=1440)
    """
    newest = [duration.total_seconds() for duration in earlier[-BASELINE_RUNS:]]
    return timedelta(seconds=median(newest)) if newest else None


def usual_durations(earlier: Sequence[timedelta]) -> tuple[timedelta, timedelta] | None:
    """Return the 10 % and the 90 % quantile of the newest 100 successes, given oldest first.

    Without ten successes, as in a baseline, there is no basis for it: None.

    Examples
    --------
    >>> low, high = usual_durations([timedelta(minutes=m) for m in range(20, 31)])
    >>> low.seconds / 60, high.seconds / 60
    (21.0, 29.0)
    """
    if len(earlier) < BASELINE_RUNS:
        return None
    seconds = [duration.total_seconds() for duration in earlier[-SPREAD_RUNS:]]
    deciles = quantiles(seconds, n=10, method="inclusive")
    return timedelta(seconds=deciles[0]), timedelta(seconds=deciles[-1])


def time_left(
    elapsed: timedelta, progress: float | None, typical: timedelta | None
) -> timedelta | None:
    """Estimate the time left of a running job; return None if there is no basis for it.

    The result is a weighted mean of two estimates: the time left of the typical duration, and the
    time left at the job's own pace. The weight of the latter is the progress [%].

    Examples
    --------
    A job took 12 minutes for its first half; the typical duration is 20 minutes. The estimates are
    12 minutes at its own pace and 8 minutes by the typical duration.

    >>> time_left(timedelta(minutes=12), 50, timedelta(minutes=20))
    datetime.timedelta(seconds=600)
    """
    share = 0.0 if progress is None else min(max(progress, 0.0), 100.0) / 100
    by_typical = None if typical is None else max(typical - elapsed, timedelta(0))
    by_progress = elapsed / share - elapsed if share else None
    if by_typical is None:
        return by_progress if share * 100 >= MIN_PROGRESS else None
    if by_progress is None:
        return by_typical
    return share * by_progress + (1 - share) * by_typical


def stall_limit(typical: timedelta | None) -> timedelta:
    """Return the time without progress above which a running job is stalled.

    Examples
    --------
    >>> stall_limit(timedelta(hours=3))
    datetime.timedelta(seconds=1080)
    """
    return MIN_STALL if typical is None else max(MIN_STALL, STALL_SHARE * typical)


def is_stalled(unchanged: timedelta, typical: timedelta | None) -> bool:
    """Return whether a job has stalled, by the time since its progress last changed."""
    return unchanged > stall_limit(typical)

"""Estimates for running jobs: time left and stalls."""

from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from typing import Final

__all__ = ["is_stalled", "time_left", "typical_duration"]

EARLIER_RUNS: Final = 10
"""Number of newest successes that define the typical duration of an appliance."""

MIN_PROGRESS: Final = 5.0
"""Minimum progress for an estimate without earlier jobs [%]."""

MIN_STALL: Final = timedelta(minutes=10)
"""Minimum time without progress before a job counts as stalled."""

STALL_SHARE: Final = 10
"""Minimum time without progress, as a share of the typical duration [%]."""


def typical_duration(earlier: Sequence[timedelta]) -> timedelta | None:
    """Return the median duration of the newest successes.

    Parameters
    ----------
    earlier : sequence of timedelta
        Durations of the appliance's successes, oldest first.

    Returns
    -------
    timedelta or None
        Median of at most 10 durations; None without any.

    Examples
    --------
    >>> typical_duration([timedelta(minutes=m) for m in (20, 60, 24)])
    datetime.timedelta(seconds=1440)
    """
    newest = [run.total_seconds() for run in earlier[-EARLIER_RUNS:]]
    return timedelta(seconds=median(newest)) if newest else None


def time_left(
    elapsed: timedelta, progress: float | None, typical: timedelta | None
) -> timedelta | None:
    """Estimate the time left of a running job.

    Parameters
    ----------
    elapsed : timedelta
        Time since its start.
    progress : float or None
        Progress [%].
    typical : timedelta or None
        Typical duration of the appliance's jobs.

    Returns
    -------
    timedelta or None
        None if neither progress nor typical duration allows an estimate.

    Notes
    -----
    The result is a weighted mean of two estimates: the time left of the typical duration, and the
    time left at the job's own pace. The weight of the latter is the progress.

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


def is_stalled(unchanged: timedelta, typical: timedelta | None) -> bool:
    """Return whether a running job has stalled.

    Parameters
    ----------
    unchanged : timedelta
        Time since its progress last changed.
    typical : timedelta or None
        Typical duration of the appliance's jobs.

    Returns
    -------
    bool
        Whether that is longer than 10 minutes and than 10 % of the typical duration.

    Examples
    --------
    >>> is_stalled(timedelta(minutes=12), timedelta(minutes=20))
    True
    >>> is_stalled(timedelta(minutes=12), timedelta(hours=3))
    False
    """
    share = (typical or timedelta(0)) * STALL_SHARE / 100
    return unchanged > max(MIN_STALL, share)

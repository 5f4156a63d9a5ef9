"""How long a running job will still take, and whether it has come to a halt."""

from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from typing import Final

__all__ = ["is_stalled", "time_left", "typical_duration"]

EARLIER_RUNS: Final = 10
"""How many of an appliance's newest successes make its typical duration."""

TELLING: Final = 5.0
"""Without earlier runs, progress below this tells nothing about the pace [%]."""

PATIENCE: Final = timedelta(minutes=10)
"""No halt is called a stall before so long."""

STALL_SHARE: Final = 10
"""A stall lasts at least as long as so many percent of a typical run."""


def typical_duration(earlier: Sequence[timedelta]) -> timedelta | None:
    """Give the median duration of the newest runs.

    Parameters
    ----------
    earlier : sequence of timedelta
        How long the appliance's successes took, oldest first.

    Returns
    -------
    timedelta or None
        None without any.

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
    """Estimate how long a running job will still take.

    Parameters
    ----------
    elapsed : timedelta
        How long it has run.
    progress : float or None
        How far it is [%].
    typical : timedelta or None
        How long the appliance's earlier runs took.

    Returns
    -------
    timedelta or None
        None where neither progress nor earlier runs tell anything.

    Notes
    -----
    Two guesses are mixed: what is left of a typical run, and what this run still needs if it goes
    on at its pace so far. The further the job is, the more its own pace counts: its weight is the
    progress.

    Examples
    --------
    A job that needed 12 minutes for its first half, on an appliance that usually needs 20 in all:
    12 minutes more at its pace, 8 as usual.

    >>> time_left(timedelta(minutes=12), 50, timedelta(minutes=20))
    datetime.timedelta(seconds=600)
    """
    done = 0.0 if progress is None else min(max(progress, 0.0), 100.0) / 100
    as_usual = None if typical is None else max(typical - elapsed, timedelta(0))
    at_its_pace = elapsed / done - elapsed if done else None
    if as_usual is None:
        return at_its_pace if done * 100 >= TELLING else None
    if at_its_pace is None:
        return as_usual
    return done * at_its_pace + (1 - done) * as_usual


def is_stalled(unchanged: timedelta, typical: timedelta | None) -> bool:
    """Tell whether a job has not moved for suspiciously long.

    Parameters
    ----------
    unchanged : timedelta
        For how long its progress has been the same.
    typical : timedelta or None
        How long the appliance's earlier runs took.

    Returns
    -------
    bool
        Whether that is longer than 10 minutes, and than 10 % of a typical run.

    Examples
    --------
    >>> is_stalled(timedelta(minutes=12), timedelta(minutes=20))
    True
    >>> is_stalled(timedelta(minutes=12), timedelta(hours=3))
    False
    """
    share = (typical or timedelta(0)) * STALL_SHARE / 100
    return unchanged > max(PATIENCE, share)

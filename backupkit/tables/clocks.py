"""Clocks of appliances that were set: polls whose clock differences are not all the same."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.tables.constants import TOLERATED_SKEW
from backupkit.tables.jobs import list_was_read

__all__ = ["find_set_clocks", "list_measured_skews"]


def list_measured_skews(polls: pd.DataFrame) -> pd.DataFrame:
    """Return the good polls that measured the clock, sorted by appliance and time.

    Of polls of one appliance at the same instant, one stays.
    """
    read = list_was_read(polls).fillna(value=False).astype("bool") & polls["clock_skew"].notna()
    measured = polls.loc[read, ["appliance", "polled_at", "clock_skew"]]
    # numbers sort many times faster than names
    codes, _ = pd.factorize(measured["appliance"], sort=True)
    times = measured["polled_at"].astype("int64").to_numpy()
    skews = measured["clock_skew"].to_numpy()
    order = np.lexsort((skews, times, codes))
    codes, times = codes[order], times[order]
    is_last = np.append((codes[1:] != codes[:-1]) | (times[1:] != times[:-1]), np.True_)
    kept: pd.DataFrame = measured.iloc[order[is_last[: len(order)]]].reset_index(drop=True)
    return kept


def find_set_clocks(
    polls: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp
) -> frozenset[str]:
    """Return the appliances whose clock was set, as far as a few polls show it.

    Parameters
    ----------
    polls : DataFrame
        Of `backupkit.tables.POLLS`; of each appliance at least, of the good polls with a
        ``clock_skew``: the first, the newest, and the newest ones up to `start` and up to `end`.
    start, end : Timestamp
        The period.

    Returns
    -------
    frozenset of str
        The appliances of which two of these four polls, one after the other, differ by more than 5
        minutes.

    Examples
    --------
    >>> from backupkit.tables import POLLS
    >>> days = pd.to_datetime(["2026-11-02", "2026-11-03"], utc=True)
    >>> skews = pd.to_timedelta(["2h", "0h"])
    >>> columns = {"appliance": ["a", "a"], "polled_at": days, "ok": [True] * 2}
    >>> polls = POLLS.frame(columns | {"clock_skew": skews})
    >>> find_set_clocks(polls, start=days[0], end=days[1])
    frozenset({'a'})
    """
    measured = list_measured_skews(polls)
    if measured.empty:
        return frozenset()
    codes, names = pd.factorize(measured["appliance"])
    skews = measured["clock_skew"].to_numpy()
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    last = np.append(first[1:], len(codes)) - 1

    def find_newest(until: pd.Timestamp) -> npt.NDArray[np.intp]:
        """Return the newest row of each appliance up to a time, the first one if none is."""
        is_before = (measured["polled_at"] <= until).to_numpy()
        rows: npt.NDArray[np.intp] = first + np.add.reduceat(is_before, first, dtype=np.intp) - 1
        return np.maximum(rows, first)

    rows = np.stack([first, find_newest(start), find_newest(end), last])
    jumps = np.abs(np.diff(skews[rows], axis=0)) > np.timedelta64(TOLERATED_SKEW)
    return frozenset(map(str, names[jumps.any(axis=0)]))

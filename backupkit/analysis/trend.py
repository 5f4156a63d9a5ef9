"""States and slots of the fleet per day."""

from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import Times, instant, times_of, to_codes, utc
from backupkit.analysis.compliance import ratio
from backupkit.tables import SLOT_STATES, STATES, TREND

__all__ = ["trend"]

_DAY: Final = np.timedelta64(1, "D")


def trend(
    intervals: pd.DataFrame, slots: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """Sum the states and the slots of each UTC day.

    Parameters
    ----------
    intervals : DataFrame
        Of `backupkit.tables.INTERVALS`: states over time.
    slots : DataFrame
        Of `backupkit.tables.SLOTS`; a slot counts on the day of its instant.
    start, end : Timestamp
        The period, half-open.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.TREND`, by ``day``: one row per UTC day of the period. The times and
        the slots of all days add up to those of the period.

    References
    ----------
    .. [1] docs/sla.md, section 4, numbers 2, 7 and 27.

    Examples
    --------
    >>> from backupkit.tables import INTERVALS, SLOTS
    >>> monday, end = pd.Timestamp("2026-11-02", tz="UTC"), pd.Timestamp("2026-11-04", tz="UTC")
    >>> noon = end - pd.Timedelta(hours=12)
    >>> intervals = INTERVALS.frame(
    ...     {
    ...         "appliance": ["a", "a"],
    ...         "state": ["compliant", "breach"],
    ...         "start": [monday, noon],
    ...         "end": [noon, end],
    ...     }
    ... )
    >>> trend(intervals, SLOTS.empty(), start=monday, end=end)["rpo_strict"].to_list()
    [1.0, 0.5]
    """
    first = instant(start).astype("datetime64[D]")
    last = (instant(end) - np.timedelta64(1, "us")).astype("datetime64[D]")
    days = np.arange(first, last + _DAY, _DAY)
    begins = days.astype("datetime64[us]")
    columns: dict[str, object] = {"day": utc(begins)}
    started, ended = times_of(intervals["start"]), times_of(intervals["end"])
    spent = {}
    for state in STATES:
        rows = intervals["state"].eq(state).to_numpy()
        spent[state] = pd.Series(_time_per_day(started[rows], ended[rows], begins))
    columns |= spent
    seconds = {state: spans.dt.total_seconds() for state, spans in spent.items()}
    read = seconds["compliant"] + seconds["breach"]
    columns["rpo_strict"] = ratio(seconds["compliant"], read + seconds["unknown"])
    columns["rpo_observed"] = ratio(seconds["compliant"], read)
    position = (times_of(slots["slot"]).astype("datetime64[D]") - first).astype(np.int64)
    codes = to_codes(slots["state"], pd.Index(SLOT_STATES))
    each = np.bincount(position * len(SLOT_STATES) + codes, minlength=len(days) * len(SLOT_STATES))
    for number, state in enumerate(SLOT_STATES):
        columns[f"slots_{state}"] = pd.Series(each.reshape(len(days), -1)[:, number])
    return TREND.conform(pd.DataFrame(columns).set_index("day"))


def _time_per_day(begun: Times, ended: Times, days: Times) -> Times:
    """Return the time that falls into each day."""
    total = np.zeros(len(days), dtype="timedelta64[us]")
    for number, day in enumerate(days):
        inside = np.minimum(ended, day + _DAY) - np.maximum(begun, day)
        total[number] = inside[inside > np.timedelta64(0)].sum()
    return total

"""States and slots of the fleet by day, ISO week or month."""

from typing import Final, Literal

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import Times, to_codes, to_instant, to_times, to_utc_column
from backupkit.analysis.compliance import ratio
from backupkit.tables import SLOT_STATES, STATES, TREND

__all__ = ["TrendStep", "choose_trend_steps", "trend"]

TrendStep = Literal["day", "week", "month"]
"""Length of a row of a trend."""

_DAY: Final = np.timedelta64(1, "D")
_MONDAY: Final = 4  # 1970-01-01 was a Thursday
_WEEKS_FROM: Final = pd.Timedelta(weeks=5)
_MONTHS_FROM: Final = pd.Timedelta(days=100)


def choose_trend_steps(start: pd.Timestamp, end: pd.Timestamp) -> tuple[TrendStep, ...]:
    """Return the steps of a trend that suit the length of a period, the shortest first.

    Examples
    --------
    >>> first = pd.Timestamp("2026-01-01", tz="UTC")
    >>> [choose_trend_steps(first, first + pd.Timedelta(days=n))[-1] for n in (35, 36, 101)]
    ['day', 'week', 'month']
    """
    if end - start > _MONTHS_FROM:
        return "day", "week", "month"
    return ("day", "week") if end - start > _WEEKS_FROM else ("day",)


def trend(
    intervals: pd.DataFrame,
    slots: pd.DataFrame,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    by: TrendStep = "day",
) -> pd.DataFrame:
    """Sum the states and the slots of each UTC day, ISO week or month.

    Parameters
    ----------
    intervals : DataFrame
        Of `backupkit.tables.INTERVALS`: states over time.
    slots : DataFrame
        Of `backupkit.tables.SLOTS`; a slot counts on the day of its instant.
    start, end : Timestamp
        The period, half-open.
    by : {"day", "week", "month"}
        What a row is: a day, a week from Monday to Sunday, or a calendar month.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.TREND`, by ``day``: one row per day, week or month of the period, with
        its first day. The times and the slots of all rows add up to those of the period.

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
    >>> trend(intervals, SLOTS.empty(), start=monday, end=end, by="week")["rpo_strict"].to_list()
    [0.75]
    """
    edges = _list_edges(to_instant(start), to_instant(end), by)
    number = len(edges) - 1
    columns: dict[str, object] = {"day": to_utc_column(edges[:-1])}
    started, ended = to_times(intervals["start"]), to_times(intervals["end"])
    spent = {}
    for state in STATES:
        rows = intervals["state"].eq(state).to_numpy()
        spent[state] = pd.Series(_sum_time_per_step(started[rows], ended[rows], edges))
    columns |= spent
    seconds = {state: spans.dt.total_seconds() for state, spans in spent.items()}
    read = seconds["compliant"] + seconds["breach"]
    columns["rpo_strict"] = ratio(seconds["compliant"], read + seconds["unknown"])
    columns["rpo_observed"] = ratio(seconds["compliant"], read)
    dated = slots[slots["slot"].notna()]
    position = np.searchsorted(edges, to_times(dated["slot"]), side="right") - 1
    codes = to_codes(dated["state"], pd.Index(SLOT_STATES))
    counts = np.bincount(position * len(SLOT_STATES) + codes, minlength=number * len(SLOT_STATES))
    for place, state in enumerate(SLOT_STATES):
        columns[f"slots_{state}"] = pd.Series(counts.reshape(number, -1)[:, place])
    return TREND.conform(pd.DataFrame(columns).set_index("day"))


def _list_edges(first: np.datetime64, end: np.datetime64, by: TrendStep) -> Times:
    """Return the starts of the steps that a period touches, and the end of the last one."""
    begin = first.astype("datetime64[D]")
    last = (end - np.timedelta64(1, "us")).astype("datetime64[D]")
    if by == "month":
        months = np.arange(begin.astype("datetime64[M]"), last.astype("datetime64[M]") + 2)
        return months.astype("datetime64[us]")
    step = 1
    if by == "week":
        step = 7
        begin -= (begin.astype(np.int64) - _MONDAY) % 7
    days = np.arange(begin, last + (step + 1) * _DAY, step * _DAY)
    return days[: np.searchsorted(days, last, side="right") + 1].astype("datetime64[us]")


def _sum_time_per_step(starts: Times, ends: Times, edges: Times) -> Times:
    """Return the time that falls into each step; the edges enclose all starts and ends."""
    number = len(edges) - 1
    total = np.zeros(number, dtype=np.int64)
    first = np.searchsorted(edges, starts, side="right") - 1
    last = np.searchsorted(edges, ends, side="left") - 1
    is_within = first == last
    across = ~is_within
    for steps, spans in (
        (first[is_within], (ends - starts)[is_within]),
        (first[across], edges[first[across] + 1] - starts[across]),
        (last[across], ends[across] - edges[last[across]]),
    ):
        np.add.at(total, steps, spans.astype(np.int64))
    # the steps between the first and the last one count in full
    change = np.bincount(first[across] + 1, minlength=number + 1)
    change -= np.bincount(last[across], minlength=number + 1)
    lengths = (edges[1:] - edges[:-1]).astype(np.int64)
    return (total + np.cumsum(change)[:number] * lengths).astype("timedelta64[us]")

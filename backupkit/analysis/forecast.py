"""Probability of a breach within a day, and how reliable it was in the past."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    Codes,
    Flags,
    Times,
    compute_group_cummax,
    find_asof_index,
    find_sort_order,
    to_codes,
    to_instant,
    to_spans,
    to_times,
    to_utc_column,
)
from backupkit.analysis.jobs import job_times
from backupkit.analysis.measured_jobs import Numbers
from backupkit.tables import FORECAST, RELIABILITY
from backupkit.tables.constants import MISSED_SLOTS, RESOLVED_SLOTS

__all__ = ["Forecasts", "forecast_breach"]

_MIN_SLOTS: Final = 10  # resolved slots of an appliance, for a forecast
_SHARED_SLOTS: Final = 5.0  # slots of the fleet that each appliance's rates start from
_MAX_DAYS: Final = 90
_BINS: Final = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)
_DAY: Final = np.timedelta64(1, "D")
_HOUR: Final = np.timedelta64(1, "h")


class Forecasts(NamedTuple):
    """Forecasts of today, and the reliability of those of the past.

    Attributes
    ----------
    forecast : DataFrame
        Of `backupkit.tables.FORECAST`.
    reliability : DataFrame
        Of `backupkit.tables.RELIABILITY`.
    """

    forecast: pd.DataFrame
    reliability: pd.DataFrame


@dataclass(frozen=True, slots=True)
class _Runs:
    """Slots, sorted by appliance and time, and when the result of each is known."""

    codes: Codes
    slots: Times
    done: Times
    missed: Flags
    resolved: Flags
    after_miss: Flags

    def rate(self, until: np.datetime64, number: int) -> "_Rates":
        """Return the miss rates of each appliance as known at a time."""
        known = self.resolved & (self.done <= until)
        rates = []
        for is_after in (known & ~self.after_miss, known & self.after_miss):
            total = np.bincount(self.codes[is_after], minlength=number)
            missed = np.bincount(self.codes[is_after & self.missed], minlength=number)
            fleet = (missed.sum() + 0.5) / (total.sum() + 1)
            rates.append((missed + _SHARED_SLOTS * fleet) / (total + _SHARED_SLOTS))
        last = np.full(number, -1)
        last[self.codes[known]] = np.flatnonzero(known)  # the last assignment counts
        is_missed = (last >= 0) & np.append(self.missed, False)[last]  # a value
        return _Rates(
            after_success=rates[0],
            after_miss=rates[1],
            known=np.bincount(self.codes[known], minlength=number),
            missed=np.bincount(self.codes[known & self.missed], minlength=number),
            is_missed=is_missed,
        )


class _States(NamedTuple):
    """Intervals of the appliances, and whether each is compliant or in breach."""

    codes: Codes
    begins: Times
    ends: Times
    is_compliant: Flags
    is_breach: Flags

    def follow(self, at: np.datetime64, number: int) -> tuple[Flags, Flags, Flags]:
        """Return who is compliant at a time, of whom the next day is known, and has a breach."""

        def mark(chosen: Flags) -> Flags:
            marked = np.zeros(number, dtype=np.bool_)
            marked[self.codes[chosen]] = True
            return marked

        now = (self.begins < at) & (self.ends >= at)  # right before it, also at the period's end
        within = (self.begins < at + _DAY) & (self.ends > at)
        is_breach = mark(within & self.is_breach)
        is_unknown = mark(within & ~self.is_breach & ~self.is_compliant)
        return mark(now & self.is_compliant), is_breach | ~is_unknown, is_breach


class _Rates(NamedTuple):
    """Miss rates, resolved and missed slots, and whether the last one was missed."""

    after_success: Numbers
    after_miss: Numbers
    known: Codes
    missed: Codes
    is_missed: Flags


def forecast_breach(
    appliances: pd.DataFrame,
    jobs: pd.DataFrame,
    slots: pd.DataFrame,
    intervals: pd.DataFrame,
    *,
    upcoming: pd.DataFrame,
    rules: pd.DataFrame,
    start: pd.Timestamp,
    end: pd.Timestamp,
) -> Forecasts:
    """Forecast which compliant appliances are in breach within a day.

    Parameters
    ----------
    appliances, jobs, slots, intervals : DataFrame
        Of `backupkit.tables.APPLIANCES`, ``JOBS``, ``SLOTS`` and ``INTERVALS``, of one assessment.
    upcoming : DataFrame
        appliance and slot [UTC] of the slots of the next day.
    rules : DataFrame
        By appliance: ``threshold`` and ``typical_duration`` (missing: 1 h).
    start, end : Timestamp
        The period of the assessment.

    Returns
    -------
    Forecasts
        One forecast for each compliant appliance with 10 resolved slots, and the reliability of the
        forecasts that were made in the same way at the same time of each earlier day, up to 90.

    Notes
    -----
    Without a further success, the breach begins at the newest recovery point + threshold. If that
    is not within a day, the probability is 0. Otherwise it is the probability that all slots that
    can be done until then are missed: the first one by the miss rate after the appliance's last
    result, each further one by the rate after a miss. A rate is that of the appliance, pooled with
    5 slots of the fleet. Without any slot in time, it is 1.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 35.
    """
    names = appliances.index.sort_values()
    number = len(names)
    started_at, ended_at = job_times(jobs)
    good = jobs["outcome"].eq("success").to_numpy() & ~np.isnat(started_at)
    codes = to_codes(jobs["appliance"], names)
    good &= (codes >= 0) & ~np.isnat(ended_at)
    order = np.flatnonzero(good)[find_sort_order(codes[good], ended_at[good])]
    points = compute_group_cummax(codes[order], started_at[order])
    took = to_spans(rules["typical_duration"].reindex(names).fillna(pd.Timedelta(hours=1)))
    runs = _list_runs(slots, upcoming, names, took)
    threshold = to_spans(rules["threshold"].reindex(names))
    states = _list_states(intervals, names)
    everyone = np.arange(number)
    now = FORECAST.empty()
    past = [(np.empty(0), np.empty(0, dtype=np.bool_))]
    days = min(_MAX_DAYS, int((end - start) / pd.Timedelta(days=1)))
    for day in range(days + 1):
        at = to_instant(end) - day * _DAY
        newest = find_asof_index(codes[order], ended_at[order], everyone, np.full(number, at))
        breach_at = np.append(points, np.datetime64("NaT", "us"))[newest] + threshold
        rates = runs.rate(at, number)
        coming = (runs.slots < at + _DAY) & (runs.done > at)
        coming &= runs.slots + took[runs.codes] <= breach_at[runs.codes]
        left = np.bincount(runs.codes[coming], minlength=number)
        first = np.where(rates.is_missed, rates.after_miss, rates.after_success)
        chance = np.where(left > 0, first * rates.after_miss ** np.maximum(left - 1, 0), 1.0)
        chance = np.where(breach_at >= at + _DAY, 0.0, chance)
        is_compliant, is_known, is_breach = states.follow(at, number)
        usable = is_compliant & (rates.known >= _MIN_SLOTS) & ~np.isnat(breach_at)
        if day:
            usable &= is_known
            past.append((chance[usable], is_breach[usable]))
            continue
        now = pd.DataFrame(
            {
                "appliance": names,
                "breach_at": to_utc_column(breach_at),
                "runs_left": left,
                "known_slots": rates.known,
                "missed_slots": rates.missed,
                "probability": chance,
            }
        )[usable]
    now = now.sort_values("probability", ascending=False, kind="stable")
    is_next = upcoming["slot"] >= end
    following = upcoming[is_next].groupby("appliance")["slot"].min().rename("next_slot")
    now = now.merge(following, how="left", left_on="appliance", right_index=True)
    chances, outcomes = map(np.concatenate, zip(*past, strict=True))
    return Forecasts(FORECAST.conform(now), _measure_reliability(chances, outcomes))


def _list_runs(
    slots: pd.DataFrame, upcoming: pd.DataFrame, names: pd.Index, took: np.ndarray
) -> _Runs:
    """Return past and coming slots; a result is known an hour after a typical run has ended."""
    columns = ["appliance", "slot", "state"]
    later = upcoming.assign(state="pending")[columns]
    every = pd.concat([slots[columns], later], ignore_index=True).drop_duplicates(columns[:2])
    codes, times = to_codes(every["appliance"], names), to_times(every["slot"])
    order = find_sort_order(codes, times)
    codes, times, states = codes[order], times[order], every["state"].iloc[order]
    missed = states.isin(MISSED_SLOTS).to_numpy()
    resolved = states.isin(RESOLVED_SLOTS).to_numpy()
    rows = np.flatnonzero(resolved)
    after_miss = np.zeros(len(codes), dtype=bool)
    same = codes[rows[1:]] == codes[rows[:-1]]
    after_miss[rows[1:]] = same & missed[rows[:-1]]
    return _Runs(codes, times, times + took[codes] + _HOUR, missed, resolved, after_miss)


def _list_states(intervals: pd.DataFrame, names: pd.Index) -> _States:
    """Return the states of the appliances over time."""
    states = intervals["state"]
    return _States(
        to_codes(intervals["appliance"], names),
        to_times(intervals["start"]),
        to_times(intervals["end"]),
        states.eq("compliant").to_numpy(dtype=np.bool_),
        states.eq("breach").to_numpy(dtype=np.bool_),
    )


def _measure_reliability(probability: Numbers, is_breach: Flags) -> pd.DataFrame:
    """Compare the mean probability with the share of breaches, by range of probability."""
    place = np.searchsorted(_BINS[1:], probability, side="left")
    place = np.where(probability == 0, -1, np.minimum(place, len(_BINS) - 2))
    past = pd.DataFrame({"probability": probability, "observed": is_breach})
    table = past.groupby(place).agg(
        forecasts=("probability", "size"),
        predicted=("probability", "mean"),
        observed=("observed", "sum"),
    )
    table["low"] = [0.0 if one < 0 else _BINS[one] for one in table.index]
    table["high"] = [0.0 if one < 0 else _BINS[one + 1] for one in table.index]
    table["share"] = table["observed"] / table["forecasts"]
    return RELIABILITY.conform(table)

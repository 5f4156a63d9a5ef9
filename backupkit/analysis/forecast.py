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
    everyone = np.arange(number)
    frames = []
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
        state, outcome = _find_outcomes(intervals, names, at)
        usable = (state == "compliant") & (rates.known >= _MIN_SLOTS) & ~np.isnat(breach_at)
        frames.append(
            pd.DataFrame(
                {
                    "appliance": names,
                    "breach_at": to_utc_column(breach_at),
                    "runs_left": left,
                    "known_slots": rates.known,
                    "missed_slots": rates.missed,
                    "probability": chance,
                    "outcome": outcome,
                    "day": day,
                }
            )[usable]
        )
    every = pd.concat(frames, ignore_index=True)
    now = every[every["day"] == 0].sort_values("probability", ascending=False, kind="stable")
    is_next = upcoming["slot"] >= end
    following = upcoming[is_next].groupby("appliance")["slot"].min().rename("next_slot")
    now = now.merge(following, how="left", left_on="appliance", right_index=True)
    past = every[(every["day"] > 0) & every["outcome"].isin(["breach", "no breach"])]
    return Forecasts(FORECAST.conform(now), _measure_reliability(past))


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


def _find_outcomes(
    intervals: pd.DataFrame, names: pd.Index, at: np.datetime64
) -> tuple[np.ndarray, np.ndarray]:
    """Return the state of each appliance at a time, and what followed within a day."""
    codes = to_codes(intervals["appliance"], names)
    begins, ends = to_times(intervals["start"]), to_times(intervals["end"])
    states = intervals["state"].to_numpy(dtype=object)
    state = np.full(len(names), "", dtype=object)
    now = (begins < at) & (ends >= at)  # right before it, also at the period's end
    state[codes[now]] = states[now]
    outcome = np.full(len(names), "no breach", dtype=object)
    within = (begins < at + _DAY) & (ends > at)
    for kind, found in (
        ("not known", within & ~np.isin(states, ["compliant", "breach"])),
        ("breach", within & (states == "breach")),
    ):
        outcome[codes[found]] = kind
    return state, outcome


def _measure_reliability(past: pd.DataFrame) -> pd.DataFrame:
    """Compare the mean probability with the share of breaches, by range of probability."""
    place = np.searchsorted(_BINS[1:], past["probability"].to_numpy(), side="left")
    place = np.where(past["probability"] == 0, -1, np.minimum(place, len(_BINS) - 2))
    groups = past.assign(observed=past["outcome"].eq("breach")).groupby(place)
    table = groups.agg(
        forecasts=("probability", "size"),
        predicted=("probability", "mean"),
        observed=("observed", "sum"),
    )
    table["low"] = [0.0 if one < 0 else _BINS[one] for one in table.index]
    table["high"] = [0.0 if one < 0 else _BINS[one + 1] for one in table.index]
    table["share"] = table["observed"] / table["forecasts"]
    return RELIABILITY.conform(table)

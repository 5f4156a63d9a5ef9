"""The figures of `tests.benchmarks.engines` as a good script computes them: pandas and numpy.

It does as much as polars and DuckDB do, reads the same frame as backupkit, and loops over nothing
but time zones.
"""

from datetime import timedelta

import numpy as np
import pandas as pd

from tests.benchmarks.engines import LOOK_BACK, Core, Question

__all__ = ["by_pandas"]

Numbers = np.ndarray
"""Of microseconds, codes or flags."""


def by_pandas(asked: Question) -> Core:
    """Answer with vectorised pandas and numpy."""
    start, end = (_micros(pd.Series([moment]))[0] for moment in (asked.start, asked.end))
    since = pd.Timestamp(asked.start, tz="UTC") - LOOK_BACK
    jobs = asked.frame.loc[asked.frame["end_time"] >= since]
    names = pd.Index(asked.plans["appliance"].to_numpy())
    who = names.get_indexer(pd.Index(jobs["appliance"]))
    begun, ended = _micros(jobs["start_time"]), _micros(jobs["end_time"])
    good = (jobs["outcome"] == "success").to_numpy()
    failed = jobs.loc[~good & (ended >= start), "messages"]
    texts = failed.list[0].struct.field("default_message").astype("str")
    order = np.lexsort((ended, who))
    who, begun, ended, good = who[order], begun[order], ended[order], good[order]
    by_end = (who[good], begun[good], ended[good])
    return {
        "compliant": _compliant(*by_end, start, end, _span(asked.threshold)),
        **_slots(who, begun, ended, good, _expected(asked, names), asked, start, end),
        **_strikes(who, ended, good, start),
        "failed": len(failed),
        "patterns": int(texts.str.replace(r"\d+", "#", regex=True).nunique()),
    }


def _compliant(
    who: Numbers, begun: Numbers, ended: Numbers, start: int, end: int, threshold: int
) -> int:
    """Sum the time in which the newest recovery point was young enough; by appliance and end."""
    each = who.astype(np.int64) << 52  # microseconds since 1970 need fewer bits
    point = np.maximum.accumulate(begun + each) - each
    following = np.append(ended[1:], end)
    following[np.append(who[1:] != who[:-1], True)] = end
    until = np.minimum(np.minimum(following, point + threshold), end)
    return int((until - np.maximum(ended, start)).clip(0).sum())


def _expected(asked: Question, names: pd.Index) -> tuple[Numbers, Numbers]:
    """Return the appliances and the times of the expected runs, by appliance and time."""
    day = pd.Timedelta(days=1)
    days = pd.date_range(
        pd.Timestamp(asked.start).normalize() - day, pd.Timestamp(asked.end) + 2 * day, freq="D"
    ).as_unit("us")
    plans = asked.plans.to_pandas()
    owners, times = [], []
    for zone, some in plans.groupby("timezone"):
        minutes = (some["hour"] * 60 + some["minute"]).to_numpy()
        wall = days.to_numpy() + minutes[:, None].astype("timedelta64[m]")
        local = pd.DatetimeIndex(wall.ravel()).tz_localize(
            str(zone), ambiguous=np.ones(wall.size, dtype=bool), nonexistent="NaT"
        )
        owners.append(names.get_indexer(pd.Index(some["appliance"])).repeat(len(days)))
        times.append(local.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]"))
    who, slots = np.concatenate(owners), np.concatenate(times).astype(np.int64)
    order = np.lexsort((slots, who))
    return who[order], slots[order]


def _slots(
    who: Numbers,
    begun: Numbers,
    ended: Numbers,
    good: Numbers,
    expected: tuple[Numbers, Numbers],
    asked: Question,
    start: int,
    end: int,
) -> Core:
    """Count the slots by state."""
    owner, slot = expected
    lower = slot - _span(asked.early)
    upper = np.append(lower[1:], end)
    each = owner.astype(np.int64) << 52
    order = np.lexsort((begun, who))
    who, begun, ended, good = who[order], begun[order], ended[order], good[order]
    at = np.searchsorted(lower + each, begun + (who.astype(np.int64) << 52), side="right") - 1
    inside = (at >= 0) & (owner[at] == who) & (begun < upper[at])
    at, begun, ended, good = at[inside], begun[inside], ended[inside], good[inside]
    in_time = good & (ended <= upper[at])
    first = np.zeros(len(slot), dtype=bool)
    late = _span(asked.late)
    firsts = np.append(True, at[1:] != at[:-1])
    first[at[firsts]] = (in_time & (begun <= slot[at] + late))[firsts]
    some, attempted = np.zeros_like(first), np.zeros_like(first)
    some[at[in_time]], attempted[at] = True, True
    counted = (slot >= start) & (slot < end)
    missed = ~first & ~some & (~attempted | (upper <= end))
    return {
        "met": int((first & counted).sum()),
        "rescued": int((some & ~first & counted).sum()),
        "missed": int((missed & counted).sum()),
    }


def _strikes(who: Numbers, ended: Numbers, good: Numbers, start: int) -> Core:
    """Sum the failures since the last success, and the longest sequences; by appliance and end."""
    begins = np.append(True, who[1:] != who[:-1])
    runs = np.flatnonzero(good | begins)
    streak = np.add.reduceat((~good).astype(np.int64), runs)
    following = np.append(begins[runs][1:], True)
    reaches = following | (np.append(ended[runs][1:], 0) > start)
    owner = who[runs]
    worst = np.zeros(owner.max() + 1, dtype=np.int64)
    np.maximum.at(worst, owner[reaches], streak[reaches])
    return {"strikes": int(streak[following].sum()), "worst": int(worst.sum())}


def _micros(times: pd.Series) -> Numbers:
    values: Numbers = times.astype("int64").to_numpy()
    if times.dt.unit != "us":
        raise SystemExit(f"times in {times.dt.unit}")
    return values


def _span(length: timedelta) -> int:
    return length // timedelta(microseconds=1)

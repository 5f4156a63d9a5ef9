"""Slots of the schedules: wall times converted to instants."""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    NAT,
    Codes,
    Flags,
    Spans,
    Times,
    find_sort_order,
    from_codes,
    mark_among,
    mark_group_starts,
    to_codes,
    to_instant,
    to_times,
    to_utc_column,
)
from backupkit.analysis.clocks import Clocks
from backupkit.analysis.wall_times import to_utc
from backupkit.errors import SettingsError
from backupkit.settings import time_zone
from backupkit.tables import SCHEDULES, WEEKDAYS, list_was_read

__all__ = [
    "complete_schedules",
    "current_schedules",
    "expected_slots",
    "mark_schedule_reads",
    "schedule_zones",
]

_ZERO: Final = np.timedelta64(0, "us")
_EPOCH_WEEKDAY: Final = 3  # a Thursday
_ZONE_MARGIN: Final = 2  # days; a zone is at most 14 h away from UTC
_MARGIN: Final = 10  # days; includes the slots of a weekly schedule beside one, and a skipped day


def schedule_zones(schedules: pd.DataFrame, *, fallback: pd.Series) -> pd.DataFrame:
    """Return the time zone of each schedule.

    Parameters
    ----------
    schedules : DataFrame
        Of `backupkit.tables.SCHEDULES`.
    fallback : Series of str
        The zone in fleet.toml, by appliance; missing where it is not set.

    Returns
    -------
    DataFrame
        zone and source (appliance, fleet.toml or assumed, with a remark if a name is no zone), on
        the index of `schedules`.

    Notes
    -----
    The appliance's own zone, else the one of fleet.toml, else UTC. An invalid name is skipped, so
    that bad data of an appliance raises no error.
    """
    own = schedules["timezone"]
    member = fallback.reindex(schedules["appliance"]).set_axis(schedules.index)
    pairs = pd.DataFrame({"own": own, "member": member})
    chosen = {
        (mine, theirs): _find_valid_zone(mine, theirs)
        for mine, theirs in pairs.drop_duplicates().itertuples(index=False)
    }
    decided = [chosen[pair] for pair in pairs.itertuples(index=False, name=None)]
    return pd.DataFrame(decided, columns=["zone", "source"], index=schedules.index, dtype="str")


def _find_valid_zone(own: object, member: object) -> tuple[str, str]:
    """Return the first valid zone and its source."""
    remark = ""
    for name, source in ((own, "appliance"), (member, "fleet.toml")):
        if not isinstance(name, str):
            continue
        try:
            return time_zone(name, where=source).key, source + remark
        except SettingsError:
            printable = "".join(letter for letter in name[:40] if letter.isprintable())
            remark = f'; "{printable}" of {source} is no zone'
    return "UTC", "assumed" + remark


def complete_schedules(schedules: pd.DataFrame, polls: pd.DataFrame) -> pd.DataFrame:
    """Add what polls without a schedule, and unread values, say about the schedules.

    Parameters
    ----------
    schedules : DataFrame
        Of `backupkit.tables.SCHEDULES`, in any order.
    polls : DataFrame
        Of `backupkit.tables.POLLS`; has at least the first poll of each appliance that read its
        schedules, see `mark_schedule_reads`.

    Returns
    -------
    DataFrame
        With a row that ends each schedule (``removed``) at the first poll that read the schedules
        without it, if that was before it was first seen. A schedule with a time of day is enabled
        if it could not be read whether it is: a run that is missed must not go unnoticed.

    Examples
    --------
    >>> from backupkit.tables import POLLS, SCHEDULES
    >>> days = pd.to_datetime(["2026-11-02T00:00Z", "2026-11-03T00:00Z"])
    >>> polls = {"appliance": ["a"], "polled_at": days[:1], "ok": [True], "schedules_read": [0]}
    >>> polls = POLLS.frame(polls)
    >>> plans = {"appliance": ["a"], "schedule": ["s"], "seen_at": days[1:]}
    >>> complete_schedules(SCHEDULES.frame(plans), polls)["removed"].to_list()
    [True, <NA>]
    """
    is_unread = schedules["enabled"].isna() & schedules["read_error"].notna()
    has_time = schedules["hour"].notna() & schedules["minute"].notna()
    enabled = schedules["enabled"].mask(is_unread & has_time, other=True)
    schedules = schedules.assign(enabled=enabled)
    read = polls[mark_schedule_reads(polls)].groupby("appliance")["polled_at"].min()
    first = _sort_by_time(schedules).drop_duplicates(["appliance", "schedule"])
    since = read.reindex(first["appliance"]).set_axis(first.index)
    created = first[since < first["seen_at"]]
    if created.empty:
        return schedules
    absent = SCHEDULES.frame(
        {
            "appliance": created["appliance"],
            "schedule": created["schedule"],
            "seen_at": since[created.index],
            "removed": [True] * len(created),
        }
    )
    return pd.concat([absent, schedules], ignore_index=True)


def mark_schedule_reads(polls: pd.DataFrame) -> Flags:
    """Return which polls read the schedules of their appliance.

    Parameters
    ----------
    polls : DataFrame
        Of `backupkit.tables.POLLS`; of each appliance, at least one poll with ``schedules_read`` if
        there is any.

    Returns
    -------
    array of bool
        The good polls with ``schedules_read``. Where no poll of an appliance has it, all good ones
        of an API with schedules (``details``) that tell no ``schedules_error``.

    Examples
    --------
    >>> from backupkit.tables import POLLS
    >>> columns = {"appliance": ["a", "b", "b"], "ok": [True] * 3, "details": [True] * 3}
    >>> mark_schedule_reads(POLLS.frame(columns | {"schedules_read": [None, None, 1]}))
    array([ True, False,  True])
    """
    good = list_was_read(polls).fillna(value=False)
    stated = good & polls["schedules_read"].notna()
    silent = ~mark_among(polls["appliance"], pd.Index(polls["appliance"][stated].unique()))
    has_them = polls["details"].fillna(value=False) & polls["schedules_error"].isna()
    read: Flags = (stated | (good & silent & has_them)).to_numpy(dtype=bool)
    return read


def _sort_by_time(schedules: pd.DataFrame) -> pd.DataFrame:
    """Sort by appliance, schedule and time; a row without a time covers all earlier time."""
    by = ["appliance", "schedule", "seen_at"]
    return schedules.sort_values(by, kind="stable", na_position="first", ignore_index=True)


def current_schedules(schedules: pd.DataFrame, *, at: pd.Timestamp) -> pd.DataFrame:
    """Return the row of each schedule that is in force.

    Parameters
    ----------
    schedules : DataFrame
        Of `backupkit.tables.SCHEDULES`, in any order.
    at : Timestamp
        The instant.

    Returns
    -------
    DataFrame
        One row per (appliance, schedule): the newest seen by then, else the first one, which
        covers all earlier time. None for a schedule that was removed.
    """
    ordered = _sort_by_time(schedules)
    first = ordered.drop_duplicates(["appliance", "schedule"], keep="first")
    seen = ordered[ordered["seen_at"] <= at]
    newest = pd.concat([first, seen]).drop_duplicates(["appliance", "schedule"], keep="last")
    newest = newest[~newest["removed"].fillna(value=False).astype("bool")]
    return newest.sort_values(["appliance", "schedule"], ignore_index=True)


def expected_slots(
    schedules: pd.DataFrame,
    *,
    fallback: pd.Series,
    since: pd.Series,
    end: pd.Timestamp,
    clocks: Clocks | None = None,
) -> pd.DataFrame:
    """Return the slots of the schedules.

    Parameters
    ----------
    schedules : DataFrame
        Of `backupkit.tables.SCHEDULES`, in any order.
    fallback : Series of str
        The zone in fleet.toml, by appliance.
    since : Series of datetime64
        Earliest slot by appliance [UTC], no slots where missing; same index as `fallback`.
    end : Timestamp
        End of the time to list, exclusive.
    clocks : Clocks, optional
        The clocks of the appliances, with the index of `fallback`: a schedule follows them.

    Returns
    -------
    DataFrame
        appliance, schedule, location, slot [UTC], previous_slot [UTC, NaT without one],
        next_slot [UTC], dst_tolerance and next_dst_tolerance (timedelta64, see Notes; of the slot
        and of the next one), sorted by appliance and slot.

    Notes
    -----
    A row of a schedule is in force from when it was seen until the next row of that schedule was
    seen; the first row covers all earlier time. Two schedules with the same instant make one slot.
    A wall time that the clocks skip makes one slot at the old offset. Its tolerances are widened by
    the size of the clock change. A repeated wall time counts the first time. Where a zone skips a
    whole day, two wall times are one instant: one slot, with the smaller tolerance.

    The next slot is the next one of all schedules in force, or the next one of the slot's own
    schedule as it was then, whichever is earlier: a changed schedule does not move the end of a
    slot. Such an instant is also the previous slot of the one after it.

    References
    ----------
    .. [1] docs/sla.md, section 5, "spring gap", "autumn fold".

    Examples
    --------
    >>> from backupkit.tables import SCHEDULES
    >>> schedules = SCHEDULES.frame(
    ...     {
    ...         "appliance": ["vc-1"],
    ...         "schedule": ["default"],
    ...         "enabled": [True],
    ...         "hour": [2],
    ...         "minute": [30],
    ...         "timezone": ["Europe/Berlin"],
    ...     }
    ... )
    >>> since = pd.Series(pd.Timestamp("2026-03-28", tz="UTC"), index=["vc-1"])
    >>> end = pd.Timestamp("2026-03-31", tz="UTC")
    >>> slots = expected_slots(
    ...     schedules, fallback=pd.Series("UTC", index=["vc-1"]), since=since, end=end
    ... )
    >>> [str(slot)[:16] for slot in slots["slot"]]
    ['2026-03-28 01:30', '2026-03-29 01:30', '2026-03-30 00:30']
    """
    index = fallback.index
    rows = _sort_by_time(schedules)
    codes = to_codes(rows["appliance"], index)
    begin, until = _find_validity(rows)
    wanted_from = to_times(since)
    # slots before the first wanted one decide where that begins
    low: Times = np.fmax(begin, (wanted_from - np.timedelta64(_MARGIN, "D"))[codes])
    high: Times = np.fmin(until, to_instant(end))
    usable = (
        rows["enabled"].fillna(value=False).astype("bool")
        & rows["hour"].between(0, 23).fillna(value=False)
        & rows["minute"].between(0, 59).fillna(value=False)
    ).to_numpy(dtype=bool)
    # a row that comes into force after the end may contain the slot after the last one
    beyond = np.fmin(until, to_instant(end) + np.timedelta64(_MARGIN, "D"))
    usable &= ~np.isnat(wanted_from[codes]) & (low < beyond)
    kept = np.flatnonzero(usable)
    clocks = Clocks.constant(pd.Series(_ZERO, index=index)) if clocks is None else clocks
    behind, ahead = np.full(len(index), _ZERO), np.full(len(index), _ZERO)
    np.minimum.at(behind, clocks.codes, clocks.corrections)
    np.maximum.at(ahead, clocks.codes, clocks.corrections)
    planned = _list_planned_times(
        rows.loc[kept],
        schedule_zones(rows.loc[kept], fallback=fallback)["zone"],
        low[kept] + behind[codes[kept]],
        high[kept] + ahead[codes[kept]],
    )
    source = kept[planned.row]
    slot = clocks.correct(codes[source], planned.slot)
    own_next = clocks.correct(codes[source], planned.next_slot)
    # where the clock was set past both, the next one keeps its distance
    own_next = np.where(own_next > slot, own_next, slot + (planned.next_slot - planned.slot))
    in_force = (np.isnat(begin[source]) | (slot >= begin[source])) & (
        np.isnat(until[source]) | (slot < until[source])
    )
    # at the same instant, the schedule that is first by name counts
    order = np.flatnonzero(in_force)[find_sort_order(codes[source[in_force]], slot[in_force])]
    order = order[mark_group_starts(codes[source[order]], slot[order])]
    code, at = codes[source[order]], slot[order]
    following = _find_next(code, at)
    own = ~(following <= own_next[order])
    following = np.where(own, own_next[order], following)
    tolerance = planned.dst_tolerance[order]
    next_tolerance = np.where(
        own, planned.next_dst_tolerance[order], np.append(tolerance[1:], _ZERO)
    )
    previous = np.full(len(at), NAT)
    previous[1:] = np.where(following[:-1] < at[1:], following[:-1], at[:-1])
    previous[mark_group_starts(code)] = NAT
    listed = np.flatnonzero((at >= wanted_from[code]) & (at < to_instant(end)))
    source = source[order[listed]]
    return pd.DataFrame(
        {
            "appliance": from_codes(code[listed], index),
            "schedule": rows["schedule"].array.take(source),
            "location": rows["location"].array.take(source),
            "slot": to_utc_column(at[listed]),
            "previous_slot": to_utc_column(previous[listed]),
            "next_slot": to_utc_column(following[listed]),
            "dst_tolerance": tolerance[listed],
            "next_dst_tolerance": next_tolerance[listed],
        }
    )


def _find_validity(rows: pd.DataFrame) -> tuple[Times, Times]:
    """Return from when to when each row of a schedule is in force; NaT is no limit."""
    seen = to_times(rows["seen_at"])
    key = rows[["appliance", "schedule"]]
    same = (key == key.shift()).all(axis=1).to_numpy()
    begin = np.where(same, seen, NAT)
    until = np.full(len(rows), NAT)
    until[:-1] = np.where(same[1:], seen[1:], NAT)
    return begin, until


def _find_next(groups: Codes, slots: Times) -> Times:
    """Return the next slot of the same group, NaT for the last; both sorted."""
    following = np.full(len(slots), NAT)
    following[:-1] = np.where(groups[1:] == groups[:-1], slots[1:], NAT)
    return following


class _Planned(NamedTuple):
    """The instants that each row of the schedules plans by itself, sorted by row and time."""

    row: Codes
    slot: Times
    dst_tolerance: Spans
    next_slot: Times
    next_dst_tolerance: Spans


def _list_planned_times(rows: pd.DataFrame, zones: pd.Series, low: Times, high: Times) -> _Planned:
    """Return each row's instants around [low, high)."""
    row, local, zone = _list_wall_times(rows, zones, low, high)
    slot, tolerance = to_utc(local, zone)
    order = find_sort_order(row, slot)
    row, slot, tolerance = row[order], slot[order], tolerance[order]
    first = np.flatnonzero(mark_group_starts(row, slot))
    if len(first):
        tolerance = np.minimum.reduceat(tolerance, first)
    row, slot = row[first], slot[first]
    return _Planned(row, slot, tolerance, _find_next(row, slot), np.append(tolerance[1:], _ZERO))


def _list_wall_times(
    rows: pd.DataFrame, zones: pd.Series, low: Times, high: Times
) -> tuple[Codes, Times, pd.Series]:
    """Return each row's wall times around [low, high), as row, time and zone."""
    first = low.astype("datetime64[D]").astype(np.int64) - _ZONE_MARGIN
    last = high.astype("datetime64[D]").astype(np.int64) + _MARGIN
    count = last - first + 1
    row = np.repeat(np.arange(len(rows), dtype=np.intp), count)
    day = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[row]
    wanted = np.array([_parse_weekdays(days) for days in rows["days"].array], dtype=bool)
    row_day = wanted.reshape(len(rows), len(WEEKDAYS))[row, (day + _EPOCH_WEEKDAY) % 7]
    row, day = row[row_day], day[row_day]
    minutes = (rows["hour"] * 60 + rows["minute"]).to_numpy("int64")
    local = day.astype("datetime64[D]").astype("datetime64[us]")
    local = local + minutes[row].astype("timedelta64[m]")
    return row, local, zones.iloc[row].reset_index(drop=True)


def _parse_weekdays(days: object) -> list[bool]:
    """Return which of Monday to Sunday the schedule includes; no days mean every day."""
    named = {str(day).upper() for day in days} if isinstance(days, (list, np.ndarray)) else set()
    return [not named or day in named for day in WEEKDAYS]

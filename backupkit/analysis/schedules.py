"""Slots of the schedules: wall times converted to instants."""

from collections.abc import Hashable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import (
    NAT,
    Codes,
    Spans,
    Times,
    find_sort_order,
    from_codes,
    mark_group_starts,
    to_codes,
    to_instant,
    to_spans,
    to_times,
    to_utc_column,
)
from backupkit.analysis.target_load import target_of
from backupkit.errors import SettingsError, one_line
from backupkit.settings import time_zone
from backupkit.tables import SCHEDULES, WEEKDAYS

__all__ = [
    "complete_schedules",
    "current_schedules",
    "describe_schedule_change",
    "expected_slots",
    "schedule_drift",
    "schedule_zones",
    "to_utc",
]

_Plan = Mapping[Hashable, Any]

_DRIFT_FIELDS: Final = ("schedule", "start", "days", "timezone", "location", "backups kept")
_UNREAD: Final = "not known"
_ZERO: Final = np.timedelta64(0, "us")
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 # a wall time, as schedules are
_EPOCH_WEEKDAY: Final = 3  # a Thursday
_MARGIN_BEFORE: Final = 2  # days; a zone is at most 14 h away from UTC
_MARGIN_AFTER: Final = 10  # days; includes the next slot of a weekly schedule


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
        schedules.

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
    >>> polls = POLLS.frame({"appliance": ["a"], "polled_at": days[:1], "schedules_read": [0]})
    >>> plans = {"appliance": ["a"], "schedule": ["s"], "seen_at": days[1:]}
    >>> complete_schedules(SCHEDULES.frame(plans), polls)["removed"].to_list()
    [True, <NA>]
    """
    is_unread = schedules["enabled"].isna() & schedules["read_error"].notna()
    has_time = schedules["hour"].notna() & schedules["minute"].notna()
    enabled = schedules["enabled"].mask(is_unread & has_time, other=True)
    schedules = schedules.assign(enabled=enabled)
    read = polls[polls["schedules_read"].notna()].groupby("appliance")["polled_at"].min()
    ordered = schedules.sort_values("seen_at", kind="stable")
    first = ordered.drop_duplicates(["appliance", "schedule"])
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


def schedule_drift(
    schedules: pd.DataFrame, *, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """Return how each schedule was last changed in a period.

    Parameters
    ----------
    schedules : DataFrame
        Of `backupkit.tables.SCHEDULES`, in any order.
    start, end : Timestamp
        The period, half-open.

    Returns
    -------
    DataFrame
        appliance, schedule, change (a sentence: what, from and to) and since [UTC].
    """
    ordered = schedules[~(schedules["seen_at"] >= end)].sort_values(
        ["appliance", "schedule", "seen_at"], kind="stable"
    )
    key = ["appliance", "schedule"]
    newest = ordered.drop_duplicates(key, keep="last")
    earlier = ordered.drop(newest.index).drop_duplicates(key, keep="last").set_index(key)
    rows = []
    for row in newest[newest["seen_at"] >= start].to_dict("records"):
        place = (row["appliance"], row["schedule"])
        if place in earlier.index:
            rows.append((*place, describe_schedule_change(earlier.loc[place], row), row["seen_at"]))
    columns = ["appliance", "schedule", "change", "since"]
    found = pd.DataFrame(rows, columns=columns).astype({"change": "str"})
    return found[found["change"] != ""].reset_index(drop=True)


def describe_schedule_change(before: _Plan, after: _Plan) -> str:
    """Describe what changed between two rows of a schedule; "" if nothing that is read did."""
    texts = [_describe_plan(plan) for plan in (before, after)]
    return ", ".join(
        f"{name} {texts[0][name]} -> {texts[1][name]}"
        for name in _DRIFT_FIELDS
        if texts[0][name] != texts[1][name] and _UNREAD not in (texts[0][name], texts[1][name])
    )


def _describe_plan(plan: _Plan) -> dict[str, str]:
    """Return the values of a schedule as texts."""
    texts = dict.fromkeys(_DRIFT_FIELDS, _UNREAD)
    if isinstance(plan["removed"], (bool, np.bool_)) and plan["removed"]:
        return texts | {"schedule": "removed"}
    if not pd.isna(plan["enabled"]):
        texts["schedule"] = "on" if plan["enabled"] else "off"
    if not (pd.isna(plan["hour"]) or pd.isna(plan["minute"])):
        texts["start"] = f"{plan['hour']:02}:{plan['minute']:02}"
    if isinstance(plan["read_error"], str):
        return texts
    days = plan["days"]
    texts["days"] = ", ".join(map(str, days)) if isinstance(days, (list, np.ndarray)) else "all"
    kept = plan["max_count"]
    texts["backups kept"] = "all" if pd.isna(kept) or kept < 1 else str(kept)
    for name in ("timezone", "location"):
        if isinstance(plan[name], str):
            texts[name] = plan[name]
    if isinstance(plan["location"], str):
        texts["location"] = target_of(plan["location"]) or _UNREAD
    return {name: one_line(text, limit=80) for name, text in texts.items()}


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
    ordered = schedules.sort_values(["appliance", "schedule", "seen_at"], kind="stable")
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
    corrections: pd.Series | None = None,
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
    corrections : Series of timedelta64, optional
        Clock correction to subtract from each appliance's times; same index as `fallback`.

    Returns
    -------
    DataFrame
        appliance, schedule, location, slot [UTC], next_slot [UTC], dst_tolerance and
        next_dst_tolerance (timedelta64, see Notes; of the slot and of the next one),
        sorted by appliance and slot.

    Notes
    -----
    A row of a schedule is in force from when it was seen until the next row of that schedule was
    seen; the first row covers all earlier time. Two schedules with the same instant make one slot.
    A wall time that the clocks skip makes one slot at the old offset. Its tolerances are widened by
    the size of the clock change. A repeated wall time counts the first time.

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
    rows = schedules.sort_values(["appliance", "schedule", "seen_at"], kind="stable")
    rows = rows.reset_index(drop=True)
    codes = to_codes(rows["appliance"], index)
    begin, until = _find_validity(rows)
    low: Times = np.fmax(begin, to_times(since)[codes])
    high: Times = np.fmin(until, to_instant(end))
    usable = (
        rows["enabled"].fillna(value=False).astype("bool")
        & rows["hour"].between(0, 23).fillna(value=False)
        & rows["minute"].between(0, 59).fillna(value=False)
    ).to_numpy(dtype=bool)
    # a row that comes into force after the end may contain the slot after the last one
    beyond = np.fmin(until, to_instant(end) + np.timedelta64(_MARGIN_AFTER, "D"))
    usable &= ~np.isnat(to_times(since)[codes]) & (low < beyond)
    kept = np.flatnonzero(usable)
    usable_rows = rows.loc[kept]
    own_zones = schedule_zones(usable_rows, fallback=fallback)["zone"]
    # the schedule follows the appliance's clock
    shift = np.full(len(rows), _ZERO) if corrections is None else to_spans(corrections)[codes]
    row, local, zone = _list_wall_times(
        usable_rows, own_zones, low[kept] + shift[kept], high[kept] + shift[kept]
    )
    slot, dst_tolerance = to_utc(local, zone)
    source = kept[row]
    order = find_sort_order(source, slot)
    slot, dst_tolerance, source = slot[order], dst_tolerance[order], source[order]
    own_next, own_tolerance = _find_next_slots(source, slot), np.append(dst_tolerance[1:], _ZERO)
    slot, own_next = slot - shift[source], own_next - shift[source]
    in_force = (np.isnat(begin[source]) | (slot >= begin[source])) & (
        np.isnat(until[source]) | (slot < until[source])
    )
    # at the same instant, the schedule that is first by name counts
    order = np.flatnonzero(in_force)[find_sort_order(codes[source[in_force]], slot[in_force])]
    code, at = codes[source[order]], slot[order]
    kept_once = mark_group_starts(code, at)
    order, code, at = order[kept_once], code[kept_once], at[kept_once]
    following = _find_next_slots(code, at)
    own = ~(following <= own_next[order])
    following = np.where(own, own_next[order], following)
    next_tolerance = np.where(own, own_tolerance[order], np.append(dst_tolerance[order[1:]], _ZERO))
    listed = (at >= to_times(since)[code]) & (at < to_instant(end))
    order, code = order[listed], code[listed]
    return pd.DataFrame(
        {
            "appliance": from_codes(code, index),
            "schedule": rows["schedule"].array.take(source[order]),
            "location": rows["location"].array.take(source[order]),
            "slot": to_utc_column(at[listed]),
            "next_slot": to_utc_column(following[listed]),
            "dst_tolerance": dst_tolerance[order],
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


def _find_next_slots(groups: Codes, slots: Times) -> Times:
    """Return the next slot of the same group, NaT for the last; both sorted."""
    following = np.full(len(slots), NAT)
    following[:-1] = np.where(groups[1:] == groups[:-1], slots[1:], NAT)
    return following


def _list_wall_times(
    rows: pd.DataFrame, zones: pd.Series, low: Times, high: Times
) -> tuple[Codes, Times, pd.Series]:
    """Return each row's wall times around [low, high), as row, time and zone."""
    first = low.astype("datetime64[D]").astype(np.int64) - _MARGIN_BEFORE
    last = high.astype("datetime64[D]").astype(np.int64) + _MARGIN_AFTER
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


def to_utc(local: Times, zone: pd.Series) -> tuple[Times, Spans]:
    """Convert wall times, each in its zone, to instants [UTC] and the tolerance of each.

    A skipped time uses the old offset, a repeated time is its first one. The tolerance is the size
    of the clock change if it skips the time, else 0. The offset of a zone is looked up once per
    day, and once per time on days with a clock change.
    """
    slot = np.full(len(local), NAT)
    dst_tolerance = np.full(len(local), np.timedelta64(0, "us"))
    number = local.astype("datetime64[D]").astype(np.int64)
    for name, rows in zone.groupby(zone).indices.items():
        where = ZoneInfo(str(name))
        days = np.arange(number[rows].min(), number[rows].max() + 2)
        offsets = np.array([_find_utc_offset(where, _EPOCH + timedelta(int(day))) for day in days])
        at = number[rows] - days[0]
        slot[rows] = local[rows] - offsets[at]
        for position in rows[offsets[at] != offsets[at + 1]]:
            wall = local[position].item()
            early, late = (
                _find_utc_offset(where, wall),
                _find_utc_offset(where, wall.replace(fold=1)),
            )
            slot[position] = local[position] - early
            dst_tolerance[position] = max(late - early, np.timedelta64(0, "us"))
    return slot, dst_tolerance


def _find_utc_offset(zone: ZoneInfo, wall: datetime) -> np.timedelta64:
    """Return the offset from UTC at a wall time; ``fold`` chooses the side of a change."""
    return np.timedelta64(wall.replace(tzinfo=zone).utcoffset() or timedelta(0), "us")

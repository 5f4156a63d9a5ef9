"""Feasibility of the RPO: whether the schedules can meet it if every job succeeds."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.analysis.arrays import (
    NO_SPAN,
    Codes,
    Spans,
    mark_among,
    mark_group_starts,
    to_codes,
    to_spans,
)
from backupkit.analysis.schedules import expected_slots

__all__ = [
    "DstTransition",
    "feasibility",
    "find_dst_transitions",
    "list_enabled_schedules",
    "list_schedule_slots",
    "list_weekly_minutes",
]

_MONDAY: Final = pd.Timestamp("2024-01-01", tz="UTC")  # any Monday: a week of wall times
_WEEK_DAYS: Final = 7
_WEEK_MINUTES: Final = _WEEK_DAYS * 24 * 60  # minutes
_MINUTE: Final = timedelta(minutes=1)
_SECOND: Final = timedelta(seconds=1)
_DST_SEARCH_DAYS: Final = 366  # days in which clock changes are considered
_MAX_DURATION: Final = np.timedelta64(100_000, "D")  # longer durations are cut to it
_NO_SLOT: Final = -1

_Minutes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DstTransition:
    """One clock change of a zone: the half-open wall times that it skips or repeats."""

    begin: datetime
    end: datetime
    back: bool

    def contains(self, minute: int) -> bool:
        """Return whether a minute of the week (0 is Monday, 00:00) is one of these times."""
        return (minute - _get_minute_of_week(self.begin)) % _WEEK_MINUTES < self.minutes

    @property
    def minutes(self) -> int:
        """The size of the change [min]."""
        return (self.end - self.begin) // _MINUTE


def feasibility(
    current: pd.DataFrame,
    resolved_policy: pd.DataFrame,
    typical: pd.Series,
    *,
    zones: pd.DataFrame,
    at: pd.Timestamp,
) -> pd.DataFrame:
    """Check whether the schedules can meet the RPO if every job succeeds.

    Parameters
    ----------
    current : DataFrame
        The schedules in force, of `backupkit.tables.SCHEDULES`.
    resolved_policy : DataFrame
        Result of `Policy.rules`; reads threshold.
    typical : Series of timedelta64
        The typical duration of a job, by appliance; unknown ones count as 0.
    zones : DataFrame
        Result of `schedule_zones` for `current`.
    at : Timestamp
        Clock changes in the 12 months after it are considered.

    Returns
    -------
    DataFrame
        By appliance of the rules: max_gap (timedelta64, the longest gap between two slots of a
        usual week, all enabled schedules together), needed (timedelta64, max_gap + typical),
        needed_at_change (timedelta64, the same in the worst week with a clock change) and
        feasible (boolean, needed <= RPO + grace; missing if there is no slot).

    Notes
    -----
    When the clocks go back, the gap with the change is longer by the change, such as 25 h. When
    they go forward, no gap grows, because a skipped time uses the old offset.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 23; section 5, "23 h / 25 h days"; section 7, N.

    Examples
    --------
    >>> from backupkit.analysis import schedule_zones
    >>> from backupkit.policy import Member, Policy
    >>> from backupkit.tables import SCHEDULES
    >>> resolved_policy = Policy(members=[Member(appliance="vc-1")]).rules()
    >>> columns = {"appliance": ["vc-1"], "enabled": [True], "hour": [23], "minute": [59]}
    >>> schedules = SCHEDULES.frame(columns | {"timezone": ["America/New_York"]})
    >>> typical = pd.Series([pd.Timedelta(minutes=20)], index=["vc-1"])
    >>> result = feasibility(
    ...     schedules,
    ...     resolved_policy,
    ...     typical,
    ...     zones=schedule_zones(schedules, fallback=resolved_policy["timezone"]),
    ...     at=pd.Timestamp("2026-10-01", tz="UTC"),
    ... )
    >>> [str(result.loc["vc-1", name]) for name in ("needed", "needed_at_change", "feasible")]
    ['1 days 00:20:00', '1 days 01:20:00', 'True']
    """
    rows = list_enabled_schedules(current, zones=zones, appliances=resolved_policy.index)
    week = list_weekly_minutes(rows)
    row, minute = week["row"].to_numpy(), week["minute"].to_numpy()
    code = to_codes(rows["appliance"], resolved_policy.index)[row]
    _, first = np.unique(code * _WEEK_MINUTES + minute, return_index=True)
    row, minute, code = row[first], minute[first], code[first]
    gap = _measure_gaps(code, minute)
    at_change = _measure_gaps_at_transition(minute, gap, rows["zone"].iloc[row], at)
    usual = np.fmax(to_spans(typical.reindex(resolved_policy.index)), np.timedelta64(0, "us"))
    usual = np.minimum(usual, _MAX_DURATION)
    max_gap = _find_longest_gaps(code, gap, size=len(resolved_policy))
    needed = max_gap + usual
    feasible = pd.Series(needed <= to_spans(resolved_policy["threshold"]), dtype="boolean")
    return pd.DataFrame(
        {
            "max_gap": max_gap,
            "needed": needed,
            "needed_at_change": _find_longest_gaps(code, at_change, size=len(resolved_policy))
            + usual,
            "feasible": feasible.mask(np.isnat(needed)),
        }
    ).set_axis(resolved_policy.index)


def list_enabled_schedules(
    current: pd.DataFrame, *, zones: pd.DataFrame, appliances: pd.Index
) -> pd.DataFrame:
    """Return the enabled schedules of some appliances, with zone and source from `zones`."""
    enabled = current["enabled"].fillna(value=False).astype("bool")
    enabled &= mark_among(current["appliance"], appliances)
    with_zones = current.assign(**{name: zones[name].to_numpy() for name in ("zone", "source")})
    kept: pd.DataFrame = with_zones[enabled].reset_index(drop=True)
    return kept


def list_schedule_slots(
    rows: pd.DataFrame, zone: pd.Series | str, *, start: pd.Timestamp, end: pd.Timestamp
) -> pd.DataFrame:
    """Return the slots of each schedule by itself, in its zone.

    The columns are row (intp, the position in `rows`, a result of `list_enabled_schedules`) and
    slot [UTC].
    """
    ids = pd.Index([str(row) for row in range(len(rows))], dtype="str")
    begin = pd.Series(start, index=ids, dtype="datetime64[us, UTC]")
    no_zone = pd.Series(None, index=ids, dtype="str")
    separate = rows.assign(appliance=ids, timezone=zone)
    slots = expected_slots(separate, fallback=no_zone, since=begin, end=end)
    return pd.DataFrame({"row": to_codes(slots["appliance"], ids), "slot": slots["slot"]})


def list_weekly_minutes(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the start minutes of each schedule in a week; a schedule without a time has no row.

    The columns are row (intp, the position in `rows`) and minute (of the week; 0 is Monday, 00:00).
    """
    slots = list_schedule_slots(
        rows, "UTC", start=_MONDAY, end=_MONDAY + pd.Timedelta(days=_WEEK_DAYS)
    )
    return pd.DataFrame({"row": slots["row"], "minute": (slots["slot"] - _MONDAY) // _MINUTE})


@lru_cache(maxsize=1024)
def find_dst_transitions(zone: str, at: datetime) -> tuple[DstTransition, ...]:
    """Return the clock changes of a zone in the 12 months after a moment, in order, to the second.

    Examples
    --------
    >>> from datetime import UTC
    >>> for change in find_dst_transitions("Europe/Berlin", datetime(2026, 1, 1, tzinfo=UTC)):
    ...     print(change.begin, change.end, change.back)
    2026-03-29 02:00:00 2026-03-29 03:00:00 False
    2026-10-25 02:00:00 2026-10-25 03:00:00 True
    """
    where = ZoneInfo(zone)
    start = at.astimezone(UTC).replace(microsecond=0)

    def offset(moment: datetime) -> timedelta:
        return moment.astimezone(where).utcoffset() or timedelta(0)

    changes = []
    for day in range(_DST_SEARCH_DAYS):
        low, high = start + timedelta(days=day), start + timedelta(days=day + 1)
        before, after = offset(low), offset(high)
        if before == after:
            continue
        while high - low > _SECOND:
            middle = low + (high - low) // _SECOND // 2 * _SECOND
            low, high = (low, middle) if offset(middle) != before else (middle, high)
        wall = high.replace(tzinfo=None)
        first, last = sorted((before, after))
        changes.append(DstTransition(wall + first, wall + last, back=after < before))
    return tuple(changes)


def _get_minute_of_week(wall: datetime) -> int:
    return (wall - _MONDAY.to_pydatetime().replace(tzinfo=None)) // _MINUTE % _WEEK_MINUTES


def _measure_gaps(codes: Codes, minutes: _Minutes) -> _Minutes:
    """Return the gap [min] from each slot to the next one in a repeating week; inputs sorted."""
    begins = mark_group_starts(codes)
    first = np.maximum.accumulate(np.where(begins, np.arange(len(codes)), 0))
    following = np.append(minutes[1:], 0)
    last = np.append(begins[1:], True)[: len(codes)]
    return np.where(last, minutes[first] + _WEEK_MINUTES, following[: len(codes)]) - minutes


def _measure_gaps_at_transition(
    minutes: _Minutes, gaps: _Minutes, zones: pd.Series, at: pd.Timestamp
) -> _Minutes:
    """Return these gaps [min] if the clocks go back in them; repeated times count once."""
    longer = gaps.copy()
    for zone, rows in zones.reset_index(drop=True).groupby(zones.to_numpy()).indices.items():
        for change in find_dst_transitions(str(zone), at.to_pydatetime()):
            until = (_get_minute_of_week(change.end) - minutes[rows] - 1) % _WEEK_MINUTES + 1
            inside = change.back & (until <= gaps[rows])
            longer[rows] = np.maximum(longer[rows], gaps[rows] + inside * change.minutes)
    return longer


def _find_longest_gaps(codes: Codes, gaps: _Minutes, *, size: int) -> Spans:
    """Return the longest gap of each appliance, NaT without a slot."""
    longest = np.full(size, _NO_SLOT, dtype=np.int64)
    np.maximum.at(longest, codes, gaps)
    spans = longest.astype("timedelta64[m]").astype("timedelta64[us]")
    return np.where(longest == _NO_SLOT, NO_SPAN, spans)

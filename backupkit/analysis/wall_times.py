"""Wall times of a zone, converted to instants and back."""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import NAT, Spans, Times

__all__ = ["to_utc", "to_wall_times"]

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 # a wall time, as schedules are


def to_wall_times(times: Times, zone: pd.Series) -> Times:
    """Convert instants [UTC] to wall times, each in its zone."""
    wall = times.copy()
    for name, rows in zone.groupby(zone.to_numpy()).indices.items():
        local = pd.DatetimeIndex(times[rows]).tz_localize("UTC").tz_convert(str(name))
        wall[rows] = local.tz_localize(None).to_numpy("datetime64[us]")
    return wall


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

"""Times of the figures: axes in UTC, and times as matplotlib's day numbers."""

import re
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

from backupkit.errors import SettingsError
from backupkit.tables import find_implausible_times

__all__ = [
    "MomentLike",
    "drop_implausible_times",
    "find_job_ends",
    "format_time_axis",
    "to_day_number",
    "to_day_numbers",
    "to_moment",
    "to_span",
]

Floats = npt.NDArray[np.float64]

MomentLike = pd.Timestamp | datetime | str
"""A time, also as text; without a time zone it is UTC."""

_MICROSECONDS_PER_DAY: Final = 86_400_000_000
_MIN_TICKS: Final = 3


def format_time_axis(
    ax: Axes, start: pd.Timestamp | None = None, end: pd.Timestamp | None = None
) -> None:
    """Format the horizontal axis as UTC time, and label it.

    By default, or if the period is empty, the axis shows that of the data.
    """
    if start is not None and start != end:
        ax.set_xlim(left=to_day_number(start))
    if end is not None and start != end:
        ax.set_xlim(right=to_day_number(end))
    locator = AutoDateLocator(tz="UTC", minticks=_MIN_TICKS, maxticks=9)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))
    ax.set_xlabel("time (UTC)")


def to_moment(time: MomentLike | None) -> pd.Timestamp | None:
    """Convert a time to UTC; None stays None.

    Examples
    --------
    >>> to_moment("2026-11-08T01:00+01:00")
    Timestamp('2026-11-08 00:00:00+0000', tz='UTC')
    >>> to_moment("2026-11-08")
    Timestamp('2026-11-08 00:00:00+0000', tz='UTC')
    """
    if time is None:
        return None
    moment = pd.Timestamp(time)
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")


def to_span(span: str | timedelta) -> pd.Timedelta:
    """Convert a length of time, also as text.

    Examples
    --------
    >>> to_span("1d 12h")
    Timedelta('1 days 12:00:00')
    """
    try:
        # the "d" of policies is deprecated in pandas
        return pd.Timedelta(re.sub(r"(?<=\d)d\b", "D", span) if isinstance(span, str) else span)
    except (OverflowError, pd.errors.OutOfBoundsTimedelta) as error:
        raise SettingsError(
            f'last: "{str(span)[:40]}" is too long: at most {pd.Timedelta.max.days}d.'
        ) from error
    except ValueError as error:
        raise SettingsError(
            f'last: "{span}" is not a duration; write a number and its unit, such as 24h or 3d.'
        ) from error


def to_day_number(time: pd.Timestamp) -> float:
    """Convert a time to matplotlib's day number: days since 1970 UTC."""
    return float(date2num(time.tz_convert("UTC").tz_localize(None).to_datetime64()))


def to_day_numbers(times: pd.Series | pd.DatetimeIndex) -> Floats:
    """Convert UTC times to matplotlib's day numbers; NaN where the time is missing."""
    naive = pd.DatetimeIndex(times).tz_localize(None).to_numpy("datetime64[us]")
    # date2num is ten times slower
    numbers = naive.view(np.int64) / _MICROSECONDS_PER_DAY
    numbers[np.isnat(naive)] = np.nan
    return numbers


def drop_implausible_times(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return jobs without the times that cannot be right, which would stretch an axis.

    Reads ``last_seen_at`` of jobs, or ``observed_at`` of observations, if there.
    """
    seen = next((jobs[name] for name in ("last_seen_at", "observed_at") if name in jobs), None)
    seen_at = np.array("NaT", "datetime64[us]") if seen is None else _to_naive(seen)
    implausible = {
        name: find_implausible_times(_to_naive(jobs[name]), seen_at)
        for name in ("start_time", "end_time")
        if name in jobs
    }
    return jobs.assign(
        **{name: jobs[name].mask(flags) for name, flags in implausible.items() if flags.any()}
    )


def _to_naive(times: pd.Series) -> npt.NDArray[np.datetime64]:
    naive: npt.NDArray[np.datetime64] = times.dt.tz_localize(None).to_numpy("datetime64[us]")
    return naive


def find_job_ends(jobs: pd.DataFrame) -> pd.Series:
    """Return when each job ended, or vanished from its appliance's list without an end."""
    ends = jobs["end_time"]
    return ends.fillna(jobs["vanished_at"]) if "vanished_at" in jobs else ends

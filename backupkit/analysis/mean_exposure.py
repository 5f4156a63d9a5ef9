"""Mean exposure: the age of the newest backup, averaged over the observed time."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.analysis.arrays import Spans, to_codes, to_times
from backupkit.tables import OBSERVED_STATES

__all__ = ["mean_exposure"]

_HOUR: Final = np.timedelta64(1, "h")
_HOUR_IN_US: Final = 3_600_000_000


def mean_exposure(segments: pd.DataFrame, *, appliances: pd.Index) -> pd.DataFrame:
    """Average the exposure of each appliance over its observed time.

    Parameters
    ----------
    segments : DataFrame
        Result of `segments`; compliant and breach time is observed.
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    DataFrame
        By appliance: exposure_integral (float64) [h²], exposed_time [h] (float64) and their ratio
        mean_exposure (timedelta64). The mean is NaT where no recovery point was known.

    Notes
    -----
    Exposure rises by 1 h per hour, so its integral from b to e with the recovery point p is
    ((e - p)² - (b - p)²) / 2. Where p is later than the time, exposure is 0. Time without a
    recovery point is in neither part, because exposure has only a lower bound there.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 36.

    Examples
    --------
    >>> noon = pd.Timestamp("2026-11-02T12:00Z")
    >>> hours = [noon + pd.Timedelta(hours=h) for h in (0, 2, 6)]
    >>> pieces = pd.DataFrame(
    ...     {
    ...         "appliance": ["vc-1", "vc-1"],
    ...         "state": ["compliant", "compliant"],
    ...         "start": hours[:2],
    ...         "end": hours[1:],
    ...         "point": [noon, noon + pd.Timedelta(hours=2)],
    ...     }
    ... )
    >>> mean_exposure(pieces, appliances=pd.Index(["vc-1"]))["mean_exposure"].to_list()
    [Timedelta('0 days 01:40:00')]
    """
    observed = segments[segments["state"].isin(OBSERVED_STATES) & segments["point"].notna()]
    codes = to_codes(observed["appliance"], appliances)
    start, end, point = (to_times(observed[name]) for name in ("start", "end", "point"))
    first, last = (_to_hours(time - point).clip(min=0) for time in (start, end))
    number = len(appliances)
    integral = np.bincount(codes, (last - first) * (first + last) / 2, minlength=number)
    time = np.bincount(codes, _to_hours(end - start), minlength=number)
    with np.errstate(invalid="ignore"):
        mean = integral / time
    known = np.where(np.isnan(mean), 0, mean * _HOUR_IN_US).round().astype("timedelta64[us]")
    return pd.DataFrame(
        {
            "exposure_integral": integral,
            "exposed_time": time,
            "mean_exposure": pd.Series(known, index=appliances).where(time > 0),
        },
        index=appliances,
    )


def _to_hours(spans: Spans) -> npt.NDArray[np.float64]:
    hours: npt.NDArray[np.float64] = spans / _HOUR
    return hours

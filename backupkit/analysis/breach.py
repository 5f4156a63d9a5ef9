"""Since when the appliances in breach are without a backup that is young enough."""

import numpy as np
import pandas as pd

from backupkit.analysis.coverage import NO_EXCLUSIONS, Exclusions

__all__ = ["breach_since"]


def breach_since(
    facts: pd.DataFrame,
    intervals: pd.DataFrame,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
    excluded: Exclusions = NO_EXCLUSIONS,
) -> pd.Series:
    """Find when the breach began that lasts at the period's end.

    Parameters
    ----------
    facts : DataFrame
        By appliance: state, exposure, threshold and known_since [UTC], at the period's end.
    intervals : DataFrame
        Result of `backupkit.analysis.state_intervals`, of the same appliances and period.
    start, end : Timestamp
        The period, half-open [UTC].
    excluded : Exclusions
        The dated exclusions.

    Returns
    -------
    Series of datetime64
        By appliance [UTC]; NaT unless it is in breach.

    Notes
    -----
    A breach that began in the period has the start of its interval. An earlier one began at the
    newest recovery point + threshold, or without any at known_since + threshold; not before the
    end of an exclusion.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 38.

    Examples
    --------
    >>> start, end = pd.to_datetime(["2026-11-02T00:00Z", "2026-11-09T00:00Z"])
    >>> facts = pd.DataFrame(
    ...     {
    ...         "state": "breach",
    ...         "exposure": pd.Timedelta(days=10),
    ...         "threshold": pd.Timedelta(hours=26),
    ...         "known_since": start,
    ...     },
    ...     index=["vc-1"],
    ... )
    >>> intervals = pd.DataFrame(
    ...     {"appliance": ["vc-1"], "state": "breach", "start": start, "end": end}
    ... )
    >>> str(breach_since(facts, intervals, start=start, end=end)["vc-1"])
    '2026-10-31 02:00:00+00:00'
    """
    crossed = (end - facts["exposure"]).fillna(facts["known_since"]) + facts["threshold"]
    ends = pd.Series(excluded.ends, dtype="datetime64[us]").dt.tz_localize("UTC")
    over = pd.Series(excluded.codes)[(ends <= end).to_numpy(dtype=np.bool_)]
    last_end = ends.loc[over.index].groupby(facts.index.take(over.to_numpy())).max()
    last_end = last_end.reindex(facts.index)
    earlier = crossed.where(~(last_end > crossed), last_end)
    is_last = intervals["state"].eq("breach") & intervals["end"].eq(end)
    began = intervals[is_last].set_index("appliance")["start"].reindex(facts.index)
    latest = began.fillna(end)  # without an interval, it began at the last instant
    since = began.where(began > start, earlier.where(earlier < latest, latest))
    return since.where(facts["state"].eq("breach")).rename("breach_since")

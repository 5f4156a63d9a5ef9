"""Breaches of the next hours that no scheduled run can prevent."""

from typing import Final

import pandas as pd

__all__ = ["coming_breach"]

_DAY: Final = pd.Timedelta(days=1)
_HOUR: Final = pd.Timedelta(hours=1)


def coming_breach(
    figures: pd.DataFrame,
    runs: pd.DataFrame,
    *,
    typical_duration: pd.Series,
    at: pd.Timestamp,
) -> pd.Series:
    """Find the compliant appliances that no scheduled run can keep from a breach within a day.

    Parameters
    ----------
    figures : DataFrame
        Of `backupkit.tables.APPLIANCES`; reads state, exposure, threshold and last_outcome.
    runs : DataFrame
        appliance and slot [UTC] of the pending slots, and of those of the next day.
    typical_duration : Series of timedelta64
        How long a run of each appliance takes; missing: 1 h.
    at : Timestamp
        The period's end.

    Returns
    -------
    Series of datetime64
        When the breach begins [UTC], by appliance, the earliest first.

    Notes
    -----
    As in the forecast, a run counts as long as it is not overdue by an hour. An appliance with an
    open job is left out, because that job may still succeed.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 39.

    Examples
    --------
    >>> at = pd.Timestamp("2026-11-09T00:00Z")
    >>> figures = pd.DataFrame(
    ...     {
    ...         "state": "compliant",
    ...         "exposure": pd.Timedelta(hours=20),
    ...         "threshold": pd.Timedelta(hours=26),
    ...         "last_outcome": "success",
    ...     },
    ...     index=pd.Index(["vc-1", "vc-2"], name="appliance"),
    ... )
    >>> runs = pd.DataFrame({"appliance": ["vc-2"], "slot": [at + pd.Timedelta(hours=1)]})
    >>> typical = pd.Series(pd.Timedelta(minutes=20), index=figures.index)
    >>> coming_breach(figures, runs, typical_duration=typical, at=at)
    appliance
    vc-1   2026-11-09 06:00:00+00:00
    Name: breach_at, dtype: datetime64[us, UTC]
    """
    begins = at - figures["exposure"] + figures["threshold"]
    undecided = figures["last_outcome"].eq("open").fillna(value=False)
    coming = begins[figures["state"].eq("compliant") & ~undecided & (begins < at + _DAY)]
    took = typical_duration.reindex(runs["appliance"]).fillna(_HOUR).array
    done = runs["slot"] + took
    limit = begins.reindex(runs["appliance"]).array
    in_time = (done <= limit) & (done + _HOUR > at)
    unhelped = coming[~coming.index.isin(runs.loc[in_time, "appliance"])]
    return unhelped.sort_values(kind="stable").rename("breach_at")

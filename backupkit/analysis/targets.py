"""Targets of a period: how much its figures may fall short, and whether they do."""

from typing import Final

import numpy as np
import pandas as pd

from backupkit.analysis.arrays import to_codes, to_times
from backupkit.tables import IN_SCOPE_STATES, TARGET_STATES

__all__ = ["allowed_runs", "allowed_time", "judge_target", "target_shares", "worst_target_state"]

_MICROSECONDS_PER_HOUR: Final = 3_600_000_000
_TOLERANCE: Final = 1e-9  # of the denominator: sums of fractions are not exact


def judge_target(
    numerator: pd.Series, denominator: pd.Series, undecided: pd.Series, allowed: pd.Series
) -> pd.Series:
    """Judge fractions against the shortfall that their targets allow.

    Parameters
    ----------
    numerator, denominator : Series of float64
        What is good, and all that counts.
    undecided : Series of float64
        The part of the denominator whose outcome could not be read. It is not in the numerator.
    allowed : Series of float64
        How much may be missing from the numerator: (1 - target) x denominator.

    Returns
    -------
    Series of str
        ``met`` if no more is missing than allowed, ``missed`` if more is missing even without
        the undecided part, else ``unknown``. Missing where the denominator is 0.

    References
    ----------
    .. [1] docs/sla.md, section 3, "Period and targets".

    Examples
    --------
    >>> states = judge_target(
    ...     pd.Series([99.0, 90.0, 90.0, 0.0]),
    ...     pd.Series([100.0, 100.0, 100.0, 0.0]),
    ...     pd.Series([0.0, 0.0, 10.0, 0.0]),
    ...     pd.Series([1.0, 1.0, 1.0, 0.0]),
    ... )
    >>> states.to_list()
    ['met', 'missed', 'unknown', nan]
    """
    missing = denominator - numerator
    limit = allowed + _TOLERANCE * denominator
    states = np.where(
        missing <= limit, "met", np.where(missing - undecided > limit, "missed", "unknown")
    )
    return pd.Series(states, index=numerator.index, dtype="str").where(denominator > 0)


def worst_target_state(states: pd.DataFrame) -> pd.Series:
    """Return the most serious state of each row; missing if all are.

    Examples
    --------
    >>> worst_target_state(pd.DataFrame({"time": ["met", "met"], "runs": ["missed", None]}))
    0    missed
    1       met
    dtype: str
    """
    worst = pd.Series(index=states.index, dtype="str")
    for state in reversed(TARGET_STATES):
        worst = worst.mask(states.isin([state]).any(axis="columns"), state)
    return worst


def allowed_time(segments: pd.DataFrame, *, appliances: pd.Index) -> pd.Series:
    """Sum the time that may be out of compliance by the target of its time.

    Parameters
    ----------
    segments : DataFrame
        Result of `backupkit.analysis.segments`, and target (float64).
    appliances : Index of str
        The appliances to report.

    Returns
    -------
    Series of float64
        By appliance: (1 - target) x time in scope [h].

    References
    ----------
    .. [1] docs/sla.md, section 3, "Period and targets".
    """
    rows = segments[segments["state"].isin(IN_SCOPE_STATES)]
    spans = (to_times(rows["end"]) - to_times(rows["start"])).astype(np.int64)
    # rounded, as 1 - 0.99 is not quite 0.01
    hours = (1 - rows["target"].to_numpy()).round(12) * spans / _MICROSECONDS_PER_HOUR
    codes = to_codes(rows["appliance"], appliances)
    total = np.bincount(codes, weights=hours, minlength=len(appliances))
    return pd.Series(total, index=appliances, name="rpo_allowed")


def allowed_runs(runs: pd.Series, target: pd.Series) -> pd.Series:
    """Return the number of runs that may fail a check: (1 - target) x runs.

    Examples
    --------
    >>> allowed_runs(pd.Series([200]), pd.Series([0.99])).to_list()
    [2.0]
    """
    return (1 - target).round(12) * runs.astype("Float64")


def target_shares(allowed: pd.Series, denominator: pd.Series) -> pd.Series:
    """Return the target that appliances have together; missing where the denominator is 0.

    Examples
    --------
    >>> target_shares(pd.Series([1.5]), pd.Series([200.0])).to_list()
    [0.9925]
    """
    return (1 - allowed / denominator.where(denominator > 0)).round(9)

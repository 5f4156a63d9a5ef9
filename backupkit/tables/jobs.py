"""Outcome classes of job statuses, and detection of changed observations and schedules."""

from typing import Final

import pandas as pd

from backupkit.tables.constants import ENDED, OUTCOME_BY_STATUS
from backupkit.tables.frames import CONFLICTS, OBSERVATIONS, SCHEDULES

__all__ = [
    "DETAILS_ONLY",
    "changed_observations",
    "changed_schedules",
    "conflicts_in",
    "has_ended",
    "outcome_of",
]

DETAILS_ONLY: Final = ("type", "size", "location", "build")
"""The columns that job/{id} never returns."""

_JOB_KEY: Final = ["appliance", "job_id"]
_SCHEDULE_KEY: Final = ["appliance", "schedule"]


def outcome_of(status: pd.Series) -> pd.Series:
    """Return the outcome class of each raw status.

    Parameters
    ----------
    status : Series of str
        Raw statuses of job/{id} or job/details.

    Returns
    -------
    Series of str
        success, failure, open, void or other; an unknown status is ``other``.

    References
    ----------
    .. [1] docs/sla.md, section 3, "outcome class".

    Examples
    --------
    >>> outcome_of(pd.Series(["SUCCEEDED", "BLOCKED", "NONE", "EXPLODED"])).to_list()
    ['success', 'open', 'void', 'other']
    """
    return status.map(OUTCOME_BY_STATUS).fillna("other").astype("str")


def has_ended(status: pd.Series) -> pd.Series:
    """Return which jobs have ended.

    Parameters
    ----------
    status : Series of str
        Raw statuses of job/{id} or job/details.

    Returns
    -------
    Series of bool
        True where the outcome is success or failure.
    """
    return status.isin(ENDED)


def changed_observations(new: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return the observations that differ from the newest known one of their job.

    Parameters
    ----------
    new, known : DataFrame
        Of `backupkit.tables.OBSERVATIONS`.

    Returns
    -------
    DataFrame
        The changed rows of `new`. Values that job/{id} never returns are no change if missing.
        Observations no newer than the known one are dropped.
    """
    ignored = {*_JOB_KEY, "observed_at", "source"}
    return _changed(
        new,
        known,
        key=_JOB_KEY,
        time="observed_at",
        content=[name for name in OBSERVATIONS.names if name not in ignored],
        optional=DETAILS_ONLY,
    )


def conflicts_in(observations: pd.DataFrame) -> pd.DataFrame:
    """Find ended jobs for which an appliance later reported another start or end.

    Parameters
    ----------
    observations : DataFrame
        Of `backupkit.tables.OBSERVATIONS`, in any order.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.CONFLICTS`: one row per change.
    """
    ended = observations[has_ended(observations["status"])]
    ended = ended[ended.duplicated(_JOB_KEY, keep=False)]
    ended = ended.sort_values([*_JOB_KEY, "observed_at"], kind="stable")
    before = ended.groupby(_JOB_KEY, sort=False)[["start_time", "end_time"]].shift()
    differs = pd.Series(data=False, index=ended.index)
    for name in ("start_time", "end_time"):
        differs |= ended[name].notna() & before[name].notna() & (ended[name] != before[name])
    told = ended.assign(known_start_time=before["start_time"], known_end_time=before["end_time"])
    return CONFLICTS.conform(told[differs])


def changed_schedules(new: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return the schedules that differ from the newest known ones.

    Parameters
    ----------
    new, known : DataFrame
        Of `backupkit.tables.SCHEDULES`.

    Returns
    -------
    DataFrame
        The changed rows of `new`.
    """
    ignored = {*_SCHEDULE_KEY, "seen_at"}
    return _changed(
        new,
        known,
        key=_SCHEDULE_KEY,
        time="seen_at",
        content=[name for name in SCHEDULES.names if name not in ignored],
    )


def _changed(
    new: pd.DataFrame,
    known: pd.DataFrame,
    *,
    key: list[str],
    time: str,
    content: list[str],
    optional: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Drop rows of `new` that equal, or are no newer than, the newest known row of their key."""
    arrived = new.sort_values(time, kind="stable").drop_duplicates([*key, time], keep="last")
    told = {}
    if optional:  # the newest row may come from job/{id} and lack these columns
        ordered = known.sort_values(time, kind="stable")
        for column in optional:
            rows = ordered.dropna(subset=[column]).drop_duplicates(key, keep="last")
            told[column] = rows.set_index(key)[column]
    newest = known.sort_values(time, kind="stable").drop_duplicates(key, keep="last").set_index(key)
    index = pd.MultiIndex.from_frame(arrived[key])
    before = newest.reindex(index)
    known_already = index.isin(newest.index)
    differs = pd.Series(data=False, index=arrived.index)
    for column in content:
        old = told[column].reindex(index) if column in told else before[column]
        unequal = _unequal(arrived[column], old)
        if column in optional:
            unequal &= arrived[column].notna().to_numpy()
        differs |= unequal
    later = arrived[time].reset_index(drop=True) > before[time].reset_index(drop=True)
    return arrived[~known_already | (differs & later.to_numpy()).to_numpy()]


def _unequal(new: pd.Series, old: pd.Series) -> pd.Series:
    """Return where values differ, by position; missing equals missing."""
    if isinstance(new.dtype, pd.ArrowDtype):  # lists have no vectorised comparison
        pairs = zip(new.array, old.array, strict=True)
        unequal = [_plain(left) != _plain(right) for left, right in pairs]
        return pd.Series(unequal, index=new.index, dtype="bool")
    left, right = new.reset_index(drop=True), old.reset_index(drop=True)
    equal = (left == right).fillna(value=False).astype("bool") | (left.isna() & right.isna())
    return pd.Series(~equal.to_numpy(), index=new.index)


def _plain(value: object) -> object:
    """Return a list cell, None if it is missing."""
    return value if isinstance(value, list) else None

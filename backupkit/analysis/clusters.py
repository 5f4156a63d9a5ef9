"""Values that failing appliances share, and appliances with two names."""

from collections.abc import Hashable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from backupkit.analysis.arrays import find_sort_order, to_codes, to_times
from backupkit.analysis.failures import select_ended_jobs
from backupkit.analysis.target_load import target_of
from backupkit.tables import CLUSTERS
from backupkit.tables.constants import DUPLICATE_JOBS

__all__ = ["clusters", "duplicate_appliances", "recent_jobs"]

_PHRASE_BY_PROPERTY: Final = {
    "target": "on the same target",
    "build": "on the same build",
    "site": "at the same site",
    "group": "in the same group",
}
_MIN_SHARED_JOBS: Final = 3  # fewest jobs that two names share
_MAX_VALUE_LENGTH: Final = 100  # characters of a value in a sentence
_MIN_APPLIANCES: Final = 2  # fewest appliances that share a value


def clusters(
    jobs: pd.DataFrame,
    signatures: pd.DataFrame,
    members: pd.DataFrame,
    *,
    start: pd.Timestamp,
    end: pd.Timestamp,
) -> pd.DataFrame:
    """Find values that appliances with the same failure share more often than the others.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once.
    signatures : DataFrame
        Result of `failure_signatures` for at least these jobs.
    members : DataFrame
        By appliance: site and group.
    start, end : Timestamp
        The period, half-open; a job counts by its end.

    Returns
    -------
    DataFrame
        Of `backupkit.tables.CLUSTERS`: the signature with the most appliances first, then by
        lift; a value that no other appliance has comes first.

    Notes
    -----
    Only appliances with a finished job in the period are compared. The target and the build of an
    appliance are the newest of its jobs in the period; for a signature, the newest of its jobs with
    this signature. An appliance without a value is not counted for that kind of value.
    A value is reported if at least two, and more than half, of the affected appliances share it.
    Appliances with it must also be affected more than 1.5 times as often as the others. A value
    that all appliances share is not reported.
    A cluster is a hint, no proof: with few appliances it may be chance.

    Examples
    --------
    >>> from backupkit.analysis import failure_signatures
    >>> from backupkit.tables import JOBS
    >>> day = pd.Timestamp("2026-11-02", tz="UTC")
    >>> jobs = JOBS.frame(
    ...     {
    ...         "appliance": ["a", "b", "c"],
    ...         "outcome": ["failure", "failure", "success"],
    ...         "end_time": [day] * 3,
    ...         "location": ["sftp://nas-1/a", "sftp://nas-1/b", "sftp://nas-2/c"],
    ...     }
    ... )
    >>> members = pd.DataFrame({"site": "Hamburg", "group": "test"}, index=list("abc"))
    >>> signatures = failure_signatures(jobs)
    >>> result = clusters(jobs, signatures, members, start=day, end=day + pd.Timedelta(days=1))
    >>> result["finding"].to_list()
    ['2 of 2 on the same target sftp://nas-1, no other appliance (0 of 1)']
    """
    ended = select_ended_jobs(jobs, start, end).sort_values("ended_at", kind="stable")
    failed = ended[ended["outcome"] == "failure"].join(signatures["signature"])
    appliance_values = _list_attribute_values(ended, ["appliance"], members)
    affected_values = _list_attribute_values(failed, ["signature", "appliance"], members)
    shared = pd.concat(
        [_find_shared_values(by, appliance_values, affected_values) for by in _PHRASE_BY_PROPERTY],
        ignore_index=True,
    )
    size = affected_values.groupby("signature").size()
    ranked = shared.assign(
        size=shared["signature"].map(size),
        order=shared["lift"].fillna(np.inf),
        finding=[_describe_shared_value(row) for row in shared.to_dict("records")],
    ).sort_values(["size", "signature", "order"], ascending=[False, True, False], kind="stable")
    return CLUSTERS.conform(ranked)


def duplicate_appliances(jobs: pd.DataFrame) -> pd.DataFrame:
    """Find pairs of names that list the same jobs: one appliance, configured twice.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once; or the result of `recent_jobs`.

    Returns
    -------
    DataFrame
        appliance, duplicate (str) and jobs (int64, number of shared jobs), sorted by name.

    Notes
    -----
    The newest 100 jobs of each name are compared. Equal jobs have the same id, start and end; the
    id alone is not enough, because it is made of the start. At least 3 jobs, and half of the jobs
    of the smaller name, must be equal.
    Of three names of one appliance, the first is paired with each of the others.

    References
    ----------
    .. [1] docs/sla.md, section 4, number 32; section 5, "duplicate records"; section 7, L.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> days = [pd.Timestamp(f"2026-11-0{day}", tz="UTC") for day in (1, 2, 3)]
    >>> ids = {"job_id": ["1", "2", "3"] * 2, "start_time": days * 2, "end_time": days * 2}
    >>> duplicate_appliances(
    ...     JOBS.frame({"appliance": ["a"] * 3 + ["b"] * 3} | ids)
    ... ).to_numpy().tolist()
    [['a', 'b', 3]]
    """
    key = ["job_id", "start_time", "end_time"]
    listed = recent_jobs(jobs)
    size = listed["appliance"].value_counts()
    listed = listed[listed.duplicated(["start_time", "end_time"], keep=False)]  # cheap filter first
    shared = listed[listed.duplicated(key, keep=False)].sort_values([*key, "appliance"])
    first = shared.groupby(key)["appliance"].transform("first")
    pairs = shared.assign(duplicate=shared["appliance"], appliance=first)
    pairs = pairs[pairs["appliance"] != pairs["duplicate"]]
    pair_counts = pairs.groupby(["appliance", "duplicate"]).size().rename("jobs").reset_index()
    smaller = np.minimum(
        *(size.reindex(pair_counts[name]).to_numpy() for name in ("appliance", "duplicate"))
    )
    duplicates: pd.DataFrame = pair_counts[
        (pair_counts["jobs"] >= _MIN_SHARED_JOBS) & (2 * pair_counts["jobs"] >= smaller)
    ]
    return duplicates.reset_index(drop=True)


def recent_jobs(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return the newest jobs of each appliance, which `duplicate_appliances` compares.

    Parameters
    ----------
    jobs : DataFrame
        Of `backupkit.tables.JOBS`, each job once. Of two with the same start, the last is newer.

    Returns
    -------
    DataFrame
        appliance, job_id, start_time and end_time, none missing: the newest 100 per appliance.

    Examples
    --------
    >>> from backupkit.tables import JOBS
    >>> day = pd.Timestamp("2026-11-01", tz="UTC")
    >>> ids = {"appliance": ["a"], "job_id": ["1"], "start_time": [day], "end_time": [day]}
    >>> len(recent_jobs(JOBS.frame(ids)))
    1
    """
    listed = jobs[["appliance", "job_id", "start_time", "end_time"]].dropna()
    names = pd.Index(listed["appliance"].unique())
    codes = to_codes(listed["appliance"], names)
    order = find_sort_order(codes, to_times(listed["start_time"]))
    ends = np.searchsorted(codes[order], codes[order], side="right")
    return listed.iloc[order[ends - np.arange(len(order)) <= DUPLICATE_JOBS]]


def _list_attribute_values(
    jobs: pd.DataFrame, keys: list[str], members: pd.DataFrame
) -> pd.DataFrame:
    """Return the newest known values of each key; `jobs` is sorted by end."""
    newest = jobs.groupby(keys)[["location", "build"]].last()
    names = newest.index.get_level_values("appliance")
    values = {
        "target": newest["location"].map(target_of, na_action="ignore"),
        "build": newest["build"],
        **{name: members[name].reindex(names).set_axis(newest.index) for name in ("site", "group")},
    }
    return pd.DataFrame({name: column.astype("str") for name, column in values.items()})


def _find_shared_values(
    column: str, appliance_values: pd.DataFrame, affected_values: pd.DataFrame
) -> pd.DataFrame:
    """Return the value that most appliances of each signature share, if its lift is above 1.5."""
    usual = appliance_values[column].rename("usual")
    failed = affected_values[column].dropna().rename("value").reset_index()
    names = affected_values.index.get_level_values("appliance")
    usual_values = usual.reindex(names).set_axis(affected_values.index).dropna().reset_index()
    counts = failed.groupby(["signature", "value"]).size()
    signature = counts.index.get_level_values("signature")
    value = counts.index.get_level_values("value")
    affected_sharing = counts.to_numpy("int64")
    total = _count_group_rows(failed.groupby("signature"), signature)
    # an affected appliance counts with the value of its failed jobs, not with its usual one
    with_usual_value = _count_group_rows(usual_values.groupby(["signature", "usual"]), counts.index)
    sharing = _count_group_rows(usual.groupby(usual), value) - with_usual_value + affected_sharing
    appliance_count = (
        usual.count() - _count_group_rows(usual_values.groupby("signature"), signature) + total
    )
    shared = pd.DataFrame(
        {
            "signature": signature.astype("str"),
            "property": column,
            "value": value.astype("str"),
            "appliances": affected_sharing,
            "affected": total,
            "sharing": sharing,
            "others": appliance_count - sharing,
        }
    )
    affected_others = total - affected_sharing
    other_appliances = shared["others"].where(affected_others > 0)
    shared["lift"] = ((affected_sharing / sharing) / (affected_others / other_appliances)).astype(
        "Float64"
    )
    # in integers, so that a lift of exactly 1.5 is excluded
    has_lift = 2 * affected_sharing * shared["others"] > 3 * affected_others * sharing
    kept: pd.DataFrame = shared[
        (affected_sharing >= _MIN_APPLIANCES)
        & (affected_sharing > affected_others)
        & (shared["others"] > 0)
        & has_lift
    ]
    return kept


def _count_group_rows(groups: Any, keys: pd.Index) -> npt.NDArray[np.int64]:  # noqa: ANN401 # of a Series or a frame
    """Count the rows of each group, 0 for a key without rows."""
    sizes: npt.NDArray[np.int64] = groups.size().reindex(keys, fill_value=0).to_numpy("int64")
    return sizes


def _describe_shared_value(row: dict[Hashable, Any]) -> str:
    """Describe a row of `_find_shared_values` in a sentence."""
    value = row["value"][:_MAX_VALUE_LENGTH]
    shared = (
        f"{row['appliances']} of {row['affected']} {_PHRASE_BY_PROPERTY[row['property']]} {value}"
    )
    if pd.isna(row["lift"]):
        return f"{shared}, no other appliance (0 of {row['others']})"
    return f"{shared}, {row['lift']:.1f}x more often than the rest"
